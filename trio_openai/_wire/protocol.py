"""What differs from one streaming endpoint to the next: the type of its events, what they add up to, how it ends.

A protocol serves one stream and holds what that stream has added up to. The reader asks it three things of an event's
JSON object: what event it is, whether it reports an error, and whether it ends the stream; and, when the body ends
without saying so, whether what came is whole. To make an event and to add it up are two things, since the events of one
read are decoded together, and each belongs to the sum when it has been handed out.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, Protocol, TypeVar

import attrs

from trio_openai._wire.failures import has_failed
from trio_openai.errors import APIError
from trio_openai.types._base import Raw

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
    """One endpoint's way of streaming."""

    @property
    def text(self) -> str:
        """What the last event adds to the main text."""
        ...

    @property
    def has_content(self) -> bool:
        """Whether anything that the model produced has arrived: text, reasoning, a refusal, a tool call, audio."""
        ...

    def event(self, raw: Raw, name: str) -> EventT | Ending[EventT]:
        """Make the typed event of a message named `name`; an `Ending` if the stream ends with it.

        Messages are decoded in order, each once, and some time before their events are handed over. So this does not
        change what the events add up to.
        """
        ...

    def add(self, events: list[Any]) -> None:
        """Add events up, one or more."""
        ...

    def is_answer(self, raw: Raw) -> bool:
        """Return whether an object is a whole plain answer, which a server may send in place of a stream."""
        ...

    def knows(self, name: str) -> bool:
        """Return whether events of the endpoint have this name. What is no JSON object and has another is skipped."""
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
