"""Protocols for streams whose events have a `type`: images, transcription, speech, and `stream_request`.

The stream ends with an event of a certain type, or with `[DONE]`. The end of the body alone means that it was cut.

"""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable
from typing import Any, Generic, TypeVar, cast

from trio_openai._wire.failures import api_error
from trio_openai._wire.json import is_object, objects_in
from trio_openai._wire.protocol import Ending
from trio_openai._wire.text import join_text
from trio_openai.errors import APIError, APIResponseValidationError
from trio_openai.types._base import NamedEvent, Unknown
from trio_openai.types._fields import hook_for
from trio_openai.types._raw import Raw
from trio_openai.types.audio import (
    Speech,
    SpeechAudioDeltaEvent,
    SpeechAudioDoneEvent,
    SpeechStreamEvent,
    Transcription,
    TranscriptionDiarizedSegment,
    TranscriptionStreamEvent,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
)
from trio_openai.types.images import (
    Image,
    ImageEditCompletedEvent,
    ImageEvent,
    ImageGenCompletedEvent,
    ImagesResponse,
    ImageStreamEvent,
)

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")


class TypedEventProtocol(ABC, Generic[EventT, WholeT]):
    """The base of these protocols.

    Args:
        event_type: the class of the events, or the union of their classes.
    """

    def __init__(self, event_type: Any) -> None:
        self.text = ""
        self.has_content = False
        self._reason: str | None = None
        self._last: tuple[object, str | None] = None, None  # the event that ends the stream, and its type
        self._usage: object = None
        self._hook: Callable[[Raw, object], EventT] = hook_for(event_type)

    def event(self, raw: Raw, name: str) -> EventT | Ending[EventT]:
        if self._is_error(raw, name):
            return Ending(None, api_error(APIError, raw))
        event = self._made(raw, name)
        if (reason := self._end_reason(event, name)) is None:
            return event
        self._last = event, reason
        return Ending(event)

    def _made(self, raw: Raw, name: str) -> EventT:
        event: Any = self._hook(raw if "type" in raw else {**raw, "type": name}, None)
        event.raw = raw  # as it was sent
        made: EventT = event
        return made

    def add(self, events: list[Any]) -> None:
        for event in events:
            self.text = self._add(event)
        self._usage = next((usage for event in reversed(events) if (usage := _raw(event).get("usage"))), self._usage)
        if self._last[0] is not None and events[-1] is self._last[0]:
            self._reason = self._last[1]

    @abstractmethod
    def _end_reason(self, event: EventT, name: str) -> str | None:
        """Return the type of an event that ends the stream, or None for any other event."""

    @abstractmethod
    def _add(self, event: EventT) -> str:
        """Add an event to the snapshot and return the text that it adds. Sets `has_content`."""

    @abstractmethod
    def snapshot(self) -> WholeT:
        """Return the whole answer so far."""

    def _is_error(self, raw: Raw, name: str) -> bool:
        """Return whether this is an `error` event, an untyped object with an `error`, or an error object (vLLM)."""
        is_named = "error" in (raw.get("type"), raw.get("object"), name)
        return is_named or ("type" not in raw and bool(raw.get("error")))

    def is_answer(self, raw: Raw) -> bool:  # noqa: ARG002
        return False

    def knows(self, name: str) -> bool:
        return name.startswith(("image_", "transcript.", "speech."))

    def whole_without_end(self) -> bool:
        return False

    @property
    def reason(self) -> str | None:
        return self._reason

    @property
    def usage(self) -> object:
        return self._usage

    def failure(self) -> APIError | None:
        return None

    def resume_path(self) -> str | None:
        return None

    def delta_of(self, event: Any) -> tuple[Hashable, str] | None:  # noqa: ARG002
        return None

    def with_delta(self, event: Any, text: str) -> EventT:
        return self._hook({**event.raw, "delta": text}, None)


class ImageProtocol(TypedEventProtocol[ImageStreamEvent, ImagesResponse]):
    """Images. The stream ends when all images are complete.

    Until an image is complete, the snapshot holds its latest partial image.

    Args:
        pictures: the number of images that were asked for (the parameter `n`).
    """

    def __init__(self, pictures: int = 1) -> None:
        super().__init__(ImageStreamEvent)
        self._missing = pictures
        self._completed: list[ImageGenCompletedEvent | ImageEditCompletedEvent] = []
        self._sketch: ImageEvent | None = None

    def _end_reason(self, event: ImageStreamEvent, name: str) -> str | None:
        if not isinstance(event, ImageGenCompletedEvent | ImageEditCompletedEvent):
            return None
        self._missing -= 1
        return _kind(event, name) if self._missing <= 0 else None

    def _add(self, event: ImageStreamEvent) -> str:
        if isinstance(event, ImageGenCompletedEvent | ImageEditCompletedEvent):
            self._completed.append(event)
            self._sketch = None
        elif isinstance(event, ImageEvent):
            self._sketch = event
        self.has_content = self.has_content or isinstance(event, ImageEvent)
        return ""

    def snapshot(self) -> ImagesResponse:
        events: list[ImageEvent] = [*self._completed, *([self._sketch] if self._sketch is not None else [])]
        whole = ImagesResponse(data=[Image(b64_json=event.b64_json) for event in events])
        if events:
            last = events[-1]
            whole.created, whole.background, whole.size = last.created_at, last.background, last.size
            whole.output_format, whole.quality = last.output_format, last.quality
        if self._completed:
            whole.usage, whole.safety_identifier = self._completed[-1].usage, self._completed[-1].safety_identifier
        return whole


class TranscriptionProtocol(TypedEventProtocol[TranscriptionStreamEvent, Transcription]):
    """Transcription. The stream ends with the event that has the complete text.

    vLLM sends chunks like those of a chat instead. The text is in `choices[].delta.content`, and a finish reason is the
    end, unless more text follows.
    """

    def __init__(self) -> None:
        super().__init__(TranscriptionStreamEvent)
        self._texts: list[str] = []
        self._segments: list[Raw] = []
        self._done: Raw = {}
        self._is_finished = False

    def _end_reason(self, event: TranscriptionStreamEvent, name: str) -> str | None:
        return _kind(event, name) if isinstance(event, TranscriptionTextDoneEvent) else None

    def _add(self, event: TranscriptionStreamEvent) -> str:
        if isinstance(event, TranscriptionTextDeltaEvent):
            return self._add_text(event.delta)
        if isinstance(event, TranscriptionDiarizedSegment):
            self._segments.append(event.raw)
            self.has_content = True
        elif isinstance(event, TranscriptionTextDoneEvent):
            self._done = event.raw
            if not self._texts:
                return self._add_text(event.text)
        else:
            return join_text(map(self._add_choice, objects_in(event.raw.get("choices"))))
        return ""

    def _add_choice(self, choice: Raw) -> str:
        """Add a choice of a chunk like those of a chat."""
        delta = choice.get("delta")
        text = self._add_text(delta.get("content")) if is_object(delta) else ""
        if reason := choice.get("finish_reason"):
            self._is_finished, self._reason = True, str(reason)
        return text

    def _add_text(self, text: object) -> str:
        if type(text) is not str:
            return ""
        self._texts.append(text)
        if text:
            self.has_content, self._is_finished = True, False
        return text

    def whole_without_end(self) -> bool:
        return self._is_finished

    def snapshot(self) -> Transcription:
        raw = {name: value for name, value in self._done.items() if name != "type"}
        raw["text"] = given if type(given := raw.get("text")) is str and given else join_text(self._texts)
        if self._segments:
            raw["segments"] = list(self._segments)
        if is_object(self._usage):
            raw.setdefault("usage", self._usage)
        whole: Transcription = hook_for(Transcription)(raw, None)
        return whole

    def delta_of(self, event: Any) -> tuple[Hashable, str] | None:
        if not isinstance(event, TranscriptionTextDeltaEvent) or type(event.delta) is not str or event.logprobs:
            return None
        return event.raw.get("segment_id"), event.delta


class SpeechProtocol(TypedEventProtocol[SpeechStreamEvent, Speech]):
    """Speech. The audio comes as base64, and the stream ends with the event that has the usage."""

    def __init__(self) -> None:
        super().__init__(SpeechStreamEvent)
        self._audio: list[bytes] = []  # decoded with each event
        self._added = 0  # of these, how many the snapshot holds
        self._done: SpeechAudioDoneEvent | None = None

    def event(self, raw: Raw, name: str) -> SpeechStreamEvent | Ending[SpeechStreamEvent]:
        event = super().event(raw, name)
        if isinstance(event, SpeechAudioDeltaEvent):
            try:
                self._audio.append(decode_base64(event.audio))
            except APIResponseValidationError as error:
                return Ending(None, error)
        return event

    def _end_reason(self, event: SpeechStreamEvent, name: str) -> str | None:
        return _kind(event, name) if isinstance(event, SpeechAudioDoneEvent) else None

    def _add(self, event: SpeechStreamEvent) -> str:
        if isinstance(event, SpeechAudioDeltaEvent):
            self.has_content = self.has_content or bool(self._audio[self._added])
            self._added += 1
        elif isinstance(event, SpeechAudioDoneEvent):
            self._done = event
        return ""

    def snapshot(self) -> Speech:
        return Speech(audio=b"".join(self._audio[: self._added]), usage=self._done.usage if self._done else None)


def decode_base64(text: object) -> bytes:
    """Decode base64 text.

    Raises:
        APIResponseValidationError: the text is not base64.
    """
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError) as error:
        shown = str(text)[:200]
        raise APIResponseValidationError(f"the server sent invalid base64: {shown!r} ({error})", body=shown) from None


class OtherProtocol(TypedEventProtocol[Any, Any]):
    """Any other endpoint. The snapshot is the latest event.

    Args:
        event_type: the class of the events, or None for `NamedEvent`.
        end: the names or types of the events that end the stream. None if the stream ends with the body.
    """

    def __init__(self, event_type: Any, end: Collection[str] | None) -> None:
        super().__init__(event_type or Unknown)  # which is not used: `_made` makes the events
        self._is_plain = event_type is None
        self._end = end
        self._snapshot: Any = None

    def _made(self, raw: Raw, name: str) -> Any:
        return NamedEvent(raw, name) if self._is_plain else super()._made(raw, name)

    def _end_reason(self, event: Any, name: str) -> str | None:
        words = (name, _raw(event).get("type"))
        return next((word for word in words if self._end and isinstance(word, str) and word in self._end), None)

    def _add(self, event: Any) -> str:
        self._snapshot = event
        self.has_content = True
        return ""

    def _is_error(self, raw: Raw, name: str) -> bool:
        """Return whether this is an `error` event, or an object with nothing but an `error` to say what it is."""
        is_bare = raw.keys().isdisjoint(("type", "object")) and (is_object(raw.get("error")) or len(raw) == 1)
        return "error" in (raw.get("type"), raw.get("object"), name) or (is_bare and bool(raw.get("error")))

    def knows(self, name: str) -> bool:
        return name in (self._end or ())

    def whole_without_end(self) -> bool:
        return self._end is None

    def snapshot(self) -> Any:
        return self._snapshot


def _raw(event: Any) -> Raw:
    """Return the JSON object of an event."""
    return cast("Raw", event if isinstance(event, NamedEvent) else event.raw)


def _kind(event: Any, name: str) -> str:
    """Return the type of an event as its server wrote it."""
    return str(event.raw.get("type", name))
