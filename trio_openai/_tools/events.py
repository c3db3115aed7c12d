"""What happens in a run of a model and its tools, as events."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import attrs

from trio_openai._stream.stream import Stream
from trio_openai.types.deltas import ToolCallDone

WholeT = TypeVar("WholeT")


@attrs.frozen
class RoundStarted:
    """The model is being asked. `type` is `round.started`.

    Attributes:
        number: of the round, from 1.
        stream: the answer's. The run reads it; look at its `snapshot`, `timings` and `response`, or subscribe to it.
    """

    type: ClassVar[Literal["round.started"]] = "round.started"

    number: int
    stream: Stream[Any, Any] = attrs.field(repr=False)


@attrs.frozen
class RoundEvent:
    """An event of the answer, as the wire sent it. `type` is `round.event`.

    Attributes:
        number: of the round.
        event: the event.
        text: what it adds to the answer's text; mostly what is wanted of it. It can be printed: half a character is
            held back until the other half arrives.
    """

    type: ClassVar[Literal["round.event"]] = "round.event"

    number: int
    event: Any
    text: str = ""


@attrs.frozen
class ToolStarted:
    """A tool begins to run. `type` is `tool.started`.

    Attributes:
        call: what the model wrote.
        arguments: what it was read as: the function's arguments by name; of a custom tool, the text.
    """

    type: ClassVar[Literal["tool.started"]] = "tool.started"

    call: ToolCallDone
    arguments: dict[str, Any] | str


@attrs.frozen
class ToolDone:
    """A tool has returned. `type` is `tool.done`.

    Attributes:
        call: what the model wrote.
        result: what the function returned.
        output: what the model is told of it.
    """

    type: ClassVar[Literal["tool.done"]] = "tool.done"

    call: ToolCallDone
    result: Any
    output: str


@attrs.frozen
class ToolFailed:
    """A tool has raised, or its call could not be made. `type` is `tool.failed`.

    Attributes:
        call: what the model wrote.
        error: what was raised; a `ValueError` for arguments that do not fit, a `LookupError` for a tool that is none.
        output: what the model is told of it.
    """

    type: ClassVar[Literal["tool.failed"]] = "tool.failed"

    call: ToolCallDone
    error: BaseException
    output: str


@attrs.frozen
class RoundDone(Generic[WholeT]):
    """The answer is whole, and its tools have run. `type` is `round.done`.

    Attributes:
        number: of the round.
        answer: the `ChatCompletion` or `Response`.
    """

    type: ClassVar[Literal["round.done"]] = "round.done"

    number: int
    answer: WholeT


RunEvent: TypeAlias = RoundStarted | RoundEvent | ToolStarted | ToolDone | ToolFailed | RoundDone[WholeT]
