"""The parts of a chat.

* A text goes on until something else of its choice begins, or until the choice has its finish reason. If the same kind
  of text comes again, it is another part.
* A tool call is done as soon as its arguments are one whole JSON object and its id and name are known; else, and if it
  is a custom tool's, when its choice has its finish reason. What a server sends for it later is not reported.
* What is left when the stream has ended is done then.
* A chunk that reports an error ends nothing, whatever else it says: the parts were cut.
* Reasoning that one delta holds under both of its names is one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from trio_openai.types._base import Raw
from trio_openai.types.deltas import CallKind, Delta, ToolCallArgumentsDelta, ToolCallDone

from .json import is_array, is_object, objects_in
from .parts import CONTENT, REASONING, REFUSAL, TextKind, TextPart
from .snapshot_chat import texts_in
from .tool_calls import CallPieces, ToolCalls

_KINDS = {"reasoning_content": REASONING, "reasoning": REASONING, "content": CONTENT, "refusal": REFUSAL}


class ChatParts:
    """The parts of the choices of one chat.

    Args:
        before: chunks that have come already.
    """

    def __init__(self, before: list[Raw]) -> None:
        self._choices: dict[int, _Choice] = {}
        self._numbers = itertools.count()
        for raw in before:
            self._add(raw)

    def add(self, event: Any) -> list[Delta]:
        """Take a chunk. Returns what it says, in order."""
        return self._add(event.raw)

    def end(self) -> list[Delta]:
        """The stream is whole: the parts that were not known to be."""
        made: list[Delta] = []
        for choice in self._choices.values():
            choice.end(made)
        return made

    def _add(self, raw: Raw) -> list[Delta]:
        made: list[Delta] = []
        choices = raw.get("choices")
        if is_array(choices):
            for choice in choices:
                if is_object(choice):
                    self._choice(choice).add(choice, made, may_end=not raw.get("error"))
        return made

    def _choice(self, raw: Raw) -> _Choice:
        index = raw.get("index")
        if type(index) is not int:
            index = 0
        return self._choices.get(index) or self._choices.setdefault(index, _Choice(index, self._numbers))


class _Choice:
    """The parts of one choice. What it makes of a chunk it appends to a list."""

    __slots__ = ("_calls", "_function_call", "_index", "_numbers", "_parts", "_text")

    def __init__(self, index: int, numbers: Iterator[int]) -> None:
        self._index = index
        self._numbers = numbers
        self._text: TextPart | None = None
        self._calls = ToolCalls()
        self._parts: dict[CallPieces, _Call] = {}
        self._function_call: _Call | None = None

    def add(self, choice: Raw, made: list[Delta], *, may_end: bool) -> None:
        if is_object(delta := choice.get("delta")):
            if len(delta) == 1 and type(content := delta.get("content")) is str:  # nearly every one
                if content:
                    self._add_text(CONTENT, content, made)
            else:
                self._add_delta(delta, made)
        if may_end and choice.get("finish_reason"):
            self.end(made)

    def _add_delta(self, delta: Raw, made: list[Delta]) -> None:
        for key in _KINDS:  # reasoning first: it was, where one delta has the end of it and the beginning of the rest
            value = delta.get(key)
            if value and not (key == "reasoning" and value == delta.get("reasoning_content")):
                for name, text in texts_in(key, value):
                    if text:
                        self._add_text(_KINDS[name], text, made)
        if pieces := delta.get("tool_calls"):
            self._add_calls(objects_in(pieces), made)
        if is_object(call := delta.get("function_call")):
            self._add_function_call(call, made)

    def _add_text(self, kind: TextKind, text: str, made: list[Delta]) -> None:
        part = self._text
        if part is None or part.kind is not kind:
            self._end_text(made)
            part = self._text = TextPart(kind, self._index, 0, next(self._numbers))
        made.append(part.add(text))

    def _add_calls(self, pieces: list[Raw], made: list[Delta]) -> None:
        for raw in pieces:
            call = self._calls.add(raw)
            part = self._parts.get(call)
            if part is None:
                self._end_text(made)
                index = len(self._parts) if call.index is None else call.index
                part = self._parts[call] = _Call(call, self._index, index, next(self._numbers))
            part.go_on(made)

    def _add_function_call(self, raw: Raw, made: list[Delta]) -> None:
        part = self._function_call
        if part is None:
            self._end_text(made)
            part = self._function_call = _Call(CallPieces(0), self._index, 0, next(self._numbers), is_old=True)
        part.call.add({"function": raw})
        part.go_on(made)

    def _end_text(self, made: list[Delta]) -> None:
        if self._text is not None:
            made.append(self._text.end())
            self._text = None

    def end(self, made: list[Delta]) -> None:
        """Nothing more is to come."""
        self._end_text(made)
        calls = [*self._parts.values(), *([self._function_call] if self._function_call else [])]
        made.extend(call.end() for call in calls if not call.is_over)


class _Call:
    """A call, of which pieces are added to `call`. `is_old`: it is the one function call of the API's old way."""

    __slots__ = ("_choice", "_count", "_index", "_is_old", "_number", "call", "is_over")

    def __init__(self, call: CallPieces, choice: int, index: int, number: int, *, is_old: bool = False) -> None:
        self.call = call
        self.is_over = False
        self._choice, self._index, self._number = choice, index, number
        self._is_old = is_old
        self._count = 0

    def go_on(self, made: list[Delta]) -> None:
        """A piece was added."""
        call, count = self.call, self._count
        if self.is_over:
            return
        pieces = call.text
        self._count = len(pieces)
        if new := "".join(pieces[count:]):
            made.append(
                ToolCallArgumentsDelta(
                    new, self._choice, self._index, self._number, pieces, self._count, call.id, call.name
                )
            )
        if call.function.has_whole_arguments and call.name and (call.id or self._is_old):
            made.append(self.end())

    def end(self) -> ToolCallDone:
        """Nothing more is to come."""
        self.is_over = True
        call = self.call
        kind: CallKind = "function_call" if self._is_old else "custom" if call.custom else "function"
        where = (self._choice, self._index, self._number)
        return ToolCallDone(call.id, call.name, "".join(call.text), kind, *where, extra=call.extra)
