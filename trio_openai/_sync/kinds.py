"""The kinds of streams for threads, one for each endpoint, as in `_stream/kinds.py` and `_stream/parsed.py`.

Each adds a method for the final result to `SyncStream`. Except for the deltas of an answer (`SyncAnswerStream`), the
classes differ in their types only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from trio_openai._protocols.deltas import Following, HasDeltas
from trio_openai._wire.lifecycle import Decision
from trio_openai.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Completion,
    Delta,
    ImagesResponse,
    ImageStreamEvent,
    ParsedChatCompletion,
    ParsedResponse,
    Response,
    ResponseStreamEvent,
    Speech,
    SpeechStreamEvent,
    ToolCallDone,
    Transcription,
    TranscriptionStreamEvent,
    Unparsed,
)

from .stream import SyncStream
from .views import SyncDerivedIterator

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")
T = TypeVar("T")


class SyncAnswerStream(SyncStream[EventT, WholeT]):
    """A stream of a model's answer: of Chat Completions or of Responses."""

    _following: Following | None = None  # made when `deltas` or `tool_calls` is first iterated

    @property
    def deltas(self) -> Iterator[Delta]:
        """The parts of the answer as they grow: text, reasoning, refusals and tool calls of every choice.

        They have the same shape for both APIs. See `ChatCompletionStream.deltas`.

        Raises:
            APIError: While iterating: as for the stream itself; also if the response failed (`response.failed`).
        """
        return SyncDerivedIterator(self._source, self._next_delta)

    @property
    def tool_calls(self) -> Iterator[ToolCallDone]:
        """The tool calls, each as soon as it is complete. Raises the same errors as `deltas`."""
        return SyncDerivedIterator(self._source, self._next_tool_call)

    def _next_delta(self) -> Delta | None:
        self._begin_reading()
        try:
            following = self._following or self._follow()
            if following.waiting:  # one event may bring several deltas
                self._portal.check_cancelled()
                self._source.raise_if_closed()
                return following.waiting.popleft()
            try:
                next(self)
            except StopIteration:
                # No event of a chat says that its last parts are complete. The end of the stream does.
                if (last := following.first_at_end(self._source.lifecycle.decoder.events)) is None:
                    raise
                return last
            return following.first_said()
        finally:
            self._reading_lock.release()

    def _next_tool_call(self) -> ToolCallDone | None:
        delta = self._next_delta()
        return delta if isinstance(delta, ToolCallDone) else None

    def _follow(self) -> Following:
        """Start to make deltas. From now on every event is translated, even if it is iterated directly."""
        with self._result_lock:
            events = self._source.lifecycle.decoder.events
            following = Following(cast("HasDeltas", self._source.protocol).deltas(), events)
        next_step = self._next_step

        def followed() -> EventT | Decision:
            if not isinstance(step := next_step(), Decision):
                following.add(step)
            return step

        # Streams whose deltas nobody asked for keep the plain method, so they do not pay for this.
        self._next_step = followed  # type: ignore[method-assign]
        self._following = following
        return following


class SyncChatCompletionStream(SyncAnswerStream[ChatCompletionChunk, ChatCompletion]):
    """A stream of Chat Completions."""

    def get_final_completion(self) -> ChatCompletion:
        """Read to the end and return the complete result. Raises the same errors as `until_done`."""
        self.until_done()
        return self.snapshot


class SyncResponseStream(SyncAnswerStream[ResponseStreamEvent, Response]):
    """A stream of Responses."""

    def get_final_response(self) -> Response:
        """Read to the end and return the response of the terminal event. It may be completed, incomplete or failed.

        Raises the same errors as `until_done`.
        """
        self.until_done()
        return self.snapshot


class SyncParsed(Generic[T]):
    """A mixin for streams whose answer was requested in the shape of a class."""

    _stream: Any
    _result_lock: threading.RLock

    @property
    def parsed(self) -> T | Unparsed:
        """The answer as an object of the class, or an `Unparsed` that says why there is none (yet)."""
        with self._result_lock:
            parsed: T | Unparsed = self._stream.parsed
            return parsed

    @property
    def parsed_partial(self) -> dict[str, Any]:
        """The answer so far as decoded JSON. Members may be missing and strings may be cut.

        See `ParsedChatCompletionStream.parsed_partial`.
        """
        with self._result_lock:
            parsed_partial: dict[str, Any] = self._stream.parsed_partial
            return parsed_partial


class SyncParsedChatCompletionStream(SyncParsed[T], SyncChatCompletionStream):
    """A stream of Chat Completions that was requested with a class as `response_format`.

    `get_final_completion` returns the completion even if the answer does not fit the class. Its `parsed` says so.
    """

    if TYPE_CHECKING:  # the methods are inherited; only the types are narrower

        @property
        def snapshot(self) -> ParsedChatCompletion[T]: ...
        def get_final_completion(self) -> ParsedChatCompletion[T]: ...


class SyncParsedResponseStream(SyncParsed[T], SyncResponseStream):
    """A stream of Responses that was requested with a class as `text_format`.

    `get_final_response` returns the response even if the answer does not fit the class. Its `parsed` says so.
    """

    if TYPE_CHECKING:  # the methods are inherited; only the types are narrower

        @property
        def snapshot(self) -> ParsedResponse[T]: ...
        def get_final_response(self) -> ParsedResponse[T]: ...


class SyncCompletionStream(SyncStream[Completion, Completion]):
    """A stream of Completions, the endpoint without messages."""

    def get_final_completion(self) -> Completion:
        """Read to the end and return the complete result. Raises the same errors as `until_done`."""
        self.until_done()
        return self.snapshot


class SyncImageStream(SyncStream[ImageStreamEvent, ImagesResponse]):
    """A stream of images. Until an image is complete, the snapshot has its latest preview."""

    def get_final_images(self) -> ImagesResponse:
        """Read to the end and return the complete images. Raises the same errors as `until_done`."""
        self.until_done()
        return self.snapshot


class SyncTranscriptionStream(SyncStream[TranscriptionStreamEvent, Transcription]):
    """A stream of the text of a recording."""

    def get_final_transcription(self) -> Transcription:
        """Read to the end and return the complete text. Raises the same errors as `until_done`."""
        self.until_done()
        return self.snapshot


class SyncSpeechStream(SyncStream[SpeechStreamEvent, Speech]):
    """A stream of spoken audio."""

    def get_final_speech(self) -> Speech:
        """Read to the end and return the complete audio. Raises the same errors as `until_done`."""
        self.until_done()
        return self.snapshot
