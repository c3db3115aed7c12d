"""The interface between the shared decoder and the protocol of one API.

A protocol is the sans-IO description of one API's events: how JSON becomes a typed event, what the events add up to
(the snapshot), and how a stream ends. Each API has one class with this interface, in `_protocols/`. An object serves
one stream.

Decoding and adding up are two steps on purpose. `event` makes typed events, up to 32 at once, because decoding a whole
read in one loop is twice as fast. `add` adds an event to the snapshot only when the event has been handed over, so the
snapshot never runs ahead of what the program has seen. So `event` must not change the snapshot.

`event` returns an `Ending` instead of an event where something ends the stream. This way the decoder needs no second
question to find out, and nearly every event passes it with one type check.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, Protocol, TypeVar

import attrs

from trio_openai._wire.failures import has_failed
from trio_openai.errors import APIError
from trio_openai.types._raw import Raw

from .failures import api_error
from .json import objects_in

EventT = TypeVar("EventT", covariant=True)
WholeT = TypeVar("WholeT", covariant=True)
_MadeT = TypeVar("_MadeT")


@attrs.frozen(eq=False, repr=False)
class Ending(Generic[EventT]):
    """A message after which its stream ends, well or with an error.

    Attributes:
        event: the last event; None if the message holds nothing but an error.
        error: what to raise after the event; None if the stream is complete.
        may_be_replaced: whether a later event may still end the stream, and take the error's place.
    """

    event: EventT | None
    error: APIError | None = None
    may_be_replaced: bool = False


def ending_beside_choices(raw: Raw, name: str, event: _MadeT) -> Ending[_MadeT] | None:
    """Return the ending for a message of an API with choices, or None if it reports no error.

    An error is an `error` member (OpenRouter puts it beside `choices`), a message named `error`, or an object that is
    an error itself (vLLM). A choice may have an `error` member as well.
    """
    kind = raw.get("object")
    is_error = "error" in (kind, raw.get("type")) and kind != "chat.completion.chunk"  # whatever `type` a chunk has
    if raw.get("error") or name == "error" or is_error:
        return Ending(event if raw.get("choices") else None, api_error(APIError, raw))
    failed = next(filter(has_failed, objects_in(raw.get("choices"))), None)
    return None if failed is None else Ending(event, api_error(APIError, failed))


class StreamProtocol(Protocol[EventT, WholeT]):
    """The description of one API's events, for one stream."""

    @property
    def text(self) -> str:
        """The main text that the last added event brought. Empty if it brought none."""
        ...

    @property
    def has_content(self) -> bool:
        """True once the model has produced anything: text, reasoning, a refusal, a tool call or audio."""
        ...

    def event(self, raw: Raw, name: str) -> EventT | Ending[EventT]:
        """Make the typed event of the SSE message called `name`, or an `Ending` if it ends the stream.

        It is called once for each message, in order, before the events are handed over. It must not change the
        snapshot.
        """
        ...

    def add(self, events: list[Any]) -> None:
        """Add one or more events to the snapshot."""
        ...

    def is_answer(self, raw: Raw) -> bool:
        """Return whether the object is a complete plain answer, which some servers send instead of a stream."""
        ...

    def knows(self, name: str) -> bool:
        """Return whether events of this API have that name. Broken messages with other names are skipped."""
        ...

    def whole_without_end(self) -> bool:
        """Return whether the answer is complete although no event said that the stream ends."""
        ...

    @property
    def reason(self) -> str | None:
        """The reason why the model stopped, as the server wrote it."""
        ...

    @property
    def usage(self) -> object:
        """The `usage` object that the stream has brought, as it was sent; None if there is none yet."""
        ...

    def failure(self) -> APIError | None:
        """Return the error for a complete stream whose last event reports a failure, such as `response.failed`."""
        ...

    def snapshot(self) -> WholeT:
        """Return the whole answer so far."""
        ...

    def resume_path(self) -> str | None:
        """Return the path that serves the rest of a broken stream, or None if the API cannot resume it."""
        ...

    def delta_of(self, event: Any) -> tuple[Hashable, str] | None:
        """Return the kind and text of an event that is only a delta, or None. Deltas of one kind may be merged."""
        ...

    def with_delta(self, event: Any, text: str) -> EventT:
        """Return a copy of a delta event with another text."""
        ...
