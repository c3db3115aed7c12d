"""The deltas of a stream, part by part: the same for Chat Completions and for Responses.

A part is a stretch of text, of reasoning or of a refusal, or a tool call. Each arrives in deltas, and ends with one
event that holds all of it. These are made by this library; what the server sent is in the events of the stream itself.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import attrs

from ._text import join_text, printable

CallKind = Literal["function", "custom", "mcp", "function_call"]
"""Of a tool call: what is called. An MCP tool is called by the server itself; the last is a chat's old way."""


@attrs.define(match_args=False)
class PartDelta:
    """The base of all deltas.

    Attributes:
        delta: what is new; never empty. Half a character is held back until the other half arrives.
        choice: the index of the chat's choice that it belongs to; 0 for Responses.
        index: where the API counts: of a tool call in a chat, the call's index; in Responses, the index of the output
            item; otherwise 0.
        part: a number of its own for each part of a stream, in the order in which they begin.
    """

    __match_args__: ClassVar = ("delta",)

    delta: str
    choice: int = 0
    index: int = 0
    part: int = 0
    _pieces: list[str] = attrs.field(factory=list[str], repr=False, eq=False)
    _count: int = attrs.field(default=0, repr=False, eq=False)

    @property
    def snapshot(self) -> str:
        """The part so far, this delta included. It is joined when it is looked at, and can be printed."""
        return printable(join_text(self._pieces[: self._count]))


# A class without fields of its own needs no decorator, which takes longer than to hand out a hundred deltas.


class ContentDelta(PartDelta):
    """A piece of the answer's text. `type` is `content.delta`."""

    __slots__ = ()
    type: ClassVar[Literal["content.delta"]] = "content.delta"


class ReasoningDelta(PartDelta):
    """A piece of the model's reasoning, or of a summary of it. `type` is `reasoning.delta`."""

    __slots__ = ()
    type: ClassVar[Literal["reasoning.delta"]] = "reasoning.delta"


class RefusalDelta(PartDelta):
    """A piece of a refusal. `type` is `refusal.delta`."""

    __slots__ = ()
    type: ClassVar[Literal["refusal.delta"]] = "refusal.delta"


@attrs.define(match_args=False)
class ToolCallArgumentsDelta(PartDelta):
    """A piece of a tool call's arguments, or of a custom tool's input. `type` is `tool_call.delta`.

    Attributes:
        id: the call's, if it is known yet.
        name: the tool's, if it is known yet.
    """

    type: ClassVar[Literal["tool_call.delta"]] = "tool_call.delta"

    id: str | None = None
    name: str | None = None


@attrs.define(match_args=False)
class PartDone:
    """A part that is whole.

    Attributes:
        text: all of it.
        choice: as in its deltas.
        index: as in its deltas.
        part: as in its deltas.
    """

    __match_args__: ClassVar = ("text",)

    text: str
    choice: int = 0
    index: int = 0
    part: int = 0


class ContentDone(PartDone):
    """A stretch of the answer's text, whole. `type` is `content.done`."""

    __slots__ = ()
    type: ClassVar[Literal["content.done"]] = "content.done"


class ReasoningDone(PartDone):
    """A stretch of reasoning, whole. `type` is `reasoning.done`."""

    __slots__ = ()
    type: ClassVar[Literal["reasoning.done"]] = "reasoning.done"


class RefusalDone(PartDone):
    """A refusal, whole. `type` is `refusal.done`."""

    __slots__ = ()
    type: ClassVar[Literal["refusal.done"]] = "refusal.done"


@attrs.define(match_args=False)
class ToolCallDone:
    """A tool call that is complete. `type` is `tool_call.done`.

    Attributes:
        id: what its result has to name: `tool_call_id` in a chat, `call_id` in Responses. Of an MCP call, its item's
            id. None if the server sent none.
        name: the tool's.
        arguments: all of it, as the model wrote it: mostly a JSON object, but the model may have been stopped half way,
            or wrong. Of a custom tool, its input, which is any text.
        kind: "function", "custom", "mcp" (the server calls it itself), or "function_call" (a chat's old way).
        extra: of a chat's call, what the server says of it beside that, such as Gemini's `extra_content`, which has to
            be sent back with the call.
        choice: as in its deltas.
        index: as in its deltas.
        part: as in its deltas.
    """

    type: ClassVar[Literal["tool_call.done"]] = "tool_call.done"
    __match_args__: ClassVar = ("id", "name", "arguments", "kind")

    id: str | None
    name: str | None
    arguments: str = ""
    kind: CallKind = "function"
    choice: int = 0
    index: int = 0
    part: int = 0
    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], kw_only=True)


Delta = (
    ContentDelta
    | ContentDone
    | ReasoningDelta
    | ReasoningDone
    | RefusalDelta
    | RefusalDone
    | ToolCallArgumentsDelta
    | ToolCallDone
)
"""Whatever `stream.deltas` gives: a delta of a part, or a part that is done."""
