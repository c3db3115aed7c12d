"""The events that iterating a `ToolRun` yields."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import attrs

from trio_openai._stream.stream import Stream
from trio_openai.types.deltas import ToolCallDone

from .output import ToolOutput

WholeT = TypeVar("WholeT")


@attrs.frozen
class RoundStarted:
    """A request was sent and its stream is open. `type` is `round.started`.

    Attributes:
        number: the round, counted from 1.
        stream: the round's stream. The run reads it; you can look at its `snapshot`, `timings` and `response`, or
            subscribe to it.
    """

    type: ClassVar[Literal["round.started"]] = "round.started"

    number: int
    stream: Stream[Any, Any] = attrs.field(repr=False)


@attrs.frozen
class RoundEvent:
    """One event of the stream, as the server sent it. `type` is `round.event`.

    Attributes:
        number: the round.
        event: the event.
        text: the text that it adds to the answer, ready to print: if a server splits a surrogate pair, the first half
            is held back until the other arrives.
    """

    type: ClassVar[Literal["round.event"]] = "round.event"

    number: int
    event: Any
    text: str = ""


@attrs.frozen
class ToolStarted:
    """A tool starts. `type` is `tool.started`.

    Attributes:
        call: the call as the model wrote it.
        arguments: the parsed arguments by name; for a custom tool, the text.
    """

    type: ClassVar[Literal["tool.started"]] = "tool.started"

    call: ToolCallDone
    arguments: dict[str, Any] | str


@attrs.frozen
class ToolDone:
    """A tool has returned. `type` is `tool.done`.

    Attributes:
        call: the call as the model wrote it.
        result: the function's return value.
        output: the text that is sent to the model, or the list of content parts.
    """

    type: ClassVar[Literal["tool.done"]] = "tool.done"

    call: ToolCallDone
    result: Any
    output: ToolOutput


@attrs.frozen
class ToolFailed:
    """A tool has raised, or its call was invalid. `type` is `tool.failed`.

    Attributes:
        call: the call as the model wrote it.
        error: the tool's exception; a `ValueError` for invalid arguments, a `LookupError` for an unknown tool.
        output: the text that is sent to the model.
    """

    type: ClassVar[Literal["tool.failed"]] = "tool.failed"

    call: ToolCallDone
    error: BaseException
    output: str


@attrs.frozen
class ToolRefused:
    """The program did not approve a call, so its tool was not run. `type` is `tool.refused`.

    Attributes:
        call: the call as the model wrote it.
        reason: the reason that `approve` gave; empty if it returned False.
        output: the text that is sent to the model.
    """

    type: ClassVar[Literal["tool.refused"]] = "tool.refused"

    call: ToolCallDone
    reason: str
    output: str


@attrs.frozen
class RoundDone(Generic[WholeT]):
    """The answer is complete and its tools have run. `type` is `round.done`.

    Attributes:
        number: the round.
        answer: the round's `ChatCompletion` or `Response`.
    """

    type: ClassVar[Literal["round.done"]] = "round.done"

    number: int
    answer: WholeT


RunEvent: TypeAlias = RoundStarted | RoundEvent | ToolStarted | ToolDone | ToolFailed | ToolRefused | RoundDone[WholeT]
