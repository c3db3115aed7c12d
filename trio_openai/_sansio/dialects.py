"""What differs from one streaming endpoint to the next: the type of its events, what they add up to, how it ends.

A dialect serves one stream and holds what that stream has added up to. The reader asks it three things of an event's
JSON object: what event it is, whether it reports an error, and whether it ends the stream; and, when the body ends
without saying so, whether what came is whole. To make an event and to add it up are two things, since the events of one
read are decoded together, and each belongs to the sum when it has been handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol, TypeVar, get_args

import attrs

from trio_openai.errors import APIError
from trio_openai.types._base import Raw
from trio_openai.types.chat import ChatCompletion, ChatCompletionChunk
from trio_openai.types.responses import Response, ResponseStreamEvent

from . import coalesce
from .convert import hook_for
from .failures import api_error
from .limits import used_tokens
from .snapshot_chat import ChatSnapshot
from .snapshot_response import TERMINAL, ResponseSnapshot

EventT = TypeVar("EventT", covariant=True)
WholeT = TypeVar("WholeT", covariant=True)


_ORDINARY = {attrs.fields_dict(cls)["type"].default for cls in get_args(ResponseStreamEvent)} - {
    None,
    "error",
    *TERMINAL,
}


@attrs.frozen
class Reported:
    """An error that the server reported inside the stream.

    Attributes:
        error: what to raise.
        is_event: whether the object is also an event to hand over first, since it holds more than the error.
        may_end: whether an event that ends the stream may still follow and take the error's place.
    """

    error: APIError
    is_event: bool = False
    may_end: bool = False


class Dialect(Protocol[EventT, WholeT]):
    """One endpoint's way of streaming."""

    ended: bool  # whether the last event that was made was the stream's end, by its own terms

    @property
    def text(self) -> str:
        """What the last event adds to the main text."""
        ...

    @property
    def has_content(self) -> bool:
        """Whether anything that the model produced has arrived: text, reasoning, a refusal, a tool call, audio."""
        ...

    def event(self, raw: Raw, name: str) -> EventT:
        """Make the typed event of an SSE message named `name`."""
        ...

    def ordinary(self, raw: Raw) -> EventT | None:
        """The same, in one step for nearly all events: if it reports no error, and the stream goes on; else None."""
        ...

    def add(self, events: list[Any]) -> None:
        """Add events up, one or more."""
        ...

    def error(self, raw: Raw, name: str) -> Reported | None:
        """The error that an object reports, if it does."""
        ...

    def whole_without_end(self) -> bool:
        """Whether what came is whole, though nothing said that it was the end."""
        ...

    @property
    def reason(self) -> str | None:
        """Why the model stopped, as the wire says it."""
        ...

    @property
    def tokens(self) -> int | None:
        """The tokens that were used, if the stream has said so."""
        ...

    def failure(self) -> APIError | None:
        """The error that a stream ended with by its own terms, which only its events show."""
        ...

    def snapshot(self) -> WholeT:
        """What the events so far add up to."""
        ...

    def resume_path(self) -> str | None:
        """Where the rest of a stream that broke can be had."""
        ...

    def delta_of(self, event: Any) -> tuple[Hashable, str] | None:
        """What kind of delta an event is and its text, if it is that and nothing else."""
        ...

    def with_delta(self, event: Any, text: str) -> EventT:
        """The event with another text in place of its delta's."""
        ...


class ChatDialect:
    """Chat Completions: ends with `[DONE]`, or with the body once every choice has its finish reason.

    Args:
        choices: how many choices were asked for (the parameter `n`).
    """

    ended = False  # only `[DONE]` and the end of the body say so

    def __init__(self, choices: int = 1) -> None:
        self._choices = choices
        self._snapshot = ChatSnapshot()
        self._hook: Callable[[Raw, object], ChatCompletionChunk] = hook_for(ChatCompletionChunk)

    @property
    def text(self) -> str:
        return self._snapshot.text

    @property
    def has_content(self) -> bool:
        return self._snapshot.has_content

    def event(self, raw: Raw, name: str) -> ChatCompletionChunk:  # noqa: ARG002
        return self._hook(raw, None)

    def ordinary(self, raw: Raw) -> ChatCompletionChunk | None:
        if "error" in raw or raw.get("object") != "chat.completion.chunk":
            return None
        return self._hook(raw, None)

    def add(self, events: list[ChatCompletionChunk]) -> None:
        self._snapshot.add(events)

    def error(self, raw: Raw, name: str) -> Reported | None:
        """An `error` member (OpenRouter's is beside `choices`), an `error` message, or an object that is one (vLLM)."""
        if raw.get("error") or name == "error" or "error" in (raw.get("object"), raw.get("type")):
            return Reported(api_error(APIError, raw), is_event=bool(raw.get("choices")))
        return None

    def whole_without_end(self) -> bool:
        return not self._snapshot.unfinished(self._choices)

    @property
    def reason(self) -> str | None:
        return self._snapshot.finish_reason

    @property
    def tokens(self) -> int | None:
        return used_tokens(self._snapshot.usage)

    def failure(self) -> APIError | None:
        return None

    def snapshot(self) -> ChatCompletion:
        return self._snapshot.snapshot()

    def resume_path(self) -> str | None:
        return None

    def delta_of(self, event: ChatCompletionChunk) -> tuple[Hashable, str] | None:
        return coalesce.chat_delta(event.raw)

    def with_delta(self, event: ChatCompletionChunk, text: str) -> ChatCompletionChunk:
        return self._hook(coalesce.with_chat_delta(event.raw, text), None)


class ResponseDialect:
    """Responses: ends with the event that carries the finished response."""

    def __init__(self) -> None:
        self.ended = False
        self._snapshot = ResponseSnapshot()
        self._hook: Callable[[Raw, object], ResponseStreamEvent] = hook_for(ResponseStreamEvent)
        self._reason: str | None = None

    @property
    def text(self) -> str:
        return self._snapshot.text

    @property
    def has_content(self) -> bool:
        return self._snapshot.has_content

    def ordinary(self, raw: Raw) -> ResponseStreamEvent | None:
        kind = raw.get("type")
        return self._hook(raw, None) if type(kind) is str and kind in _ORDINARY else None

    def add(self, events: list[ResponseStreamEvent]) -> None:
        self._snapshot.add(events)

    def event(self, raw: Raw, name: str) -> ResponseStreamEvent:
        event = self._hook(raw if "type" in raw else {**raw, "type": name}, None)
        event.raw = raw  # as it was sent
        if (kind := raw.get("type", name)) in TERMINAL:
            self.ended, self._reason = True, kind
        return event

    def error(self, raw: Raw, name: str) -> Reported | None:
        """An `error` event, which `response.failed` may follow, or an unnamed object with an `error` (llama.cpp)."""
        if raw.get("type", name) == "error":
            return Reported(api_error(APIError, raw), is_event=True, may_end=True)
        is_error = name == "error" or ("type" not in raw and raw.get("error"))
        return Reported(api_error(APIError, raw)) if is_error else None

    def whole_without_end(self) -> bool:
        return False

    @property
    def reason(self) -> str | None:
        return self._reason

    @property
    def tokens(self) -> int | None:
        return used_tokens(self._snapshot.usage)

    def failure(self) -> APIError | None:
        if self._reason != "response.failed":
            return None
        response = self.snapshot()
        return api_error(APIError, {"error": response.raw.get("error")}, prefix="the response failed", partial=response)

    def snapshot(self) -> Response:
        return self._snapshot.snapshot()

    def resume_path(self) -> str | None:
        return f"/responses/{self._snapshot.id}" if self._snapshot.id else None

    def delta_of(self, event: ResponseStreamEvent) -> tuple[Hashable, str] | None:
        return coalesce.response_delta(event.raw)

    def with_delta(self, event: ResponseStreamEvent, text: str) -> ResponseStreamEvent:
        return self._hook(coalesce.with_response_delta(event.raw, text), None)
