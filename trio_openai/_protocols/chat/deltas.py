"""Deltas of a chat stream.

* A text ends when something else of its choice begins, or with the finish reason of the choice. If the same kind of
  text comes again later, it is another part.
* `tool_calls.py` decides when a tool call is done, usually as soon as its arguments are complete. Anything that a
  server sends for it later is not reported.
* The end of a complete stream ends all other parts.
* A chunk that reports an error ends no part, because the parts were cut.
* If a delta has the same reasoning under both names (`reasoning` and `reasoning_content`), it counts once.

"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from trio_openai._protocols.open_parts import CONTENT, REASONING, REFUSAL, OpenText, TextKind
from trio_openai._wire.failures import has_failed
from trio_openai._wire.json import is_object, objects_in
from trio_openai._wire.text import join_text
from trio_openai.types._raw import Raw
from trio_openai.types.deltas import CallKind, Delta, ToolCallArgumentsDelta, ToolCallDone

from .choice import ChatChoice, said_in, texts_in
from .tool_calls import CallPieces, ToolCalls

_KINDS = {"reasoning_content": REASONING, "reasoning": REASONING, "content": CONTENT, "refusal": REFUSAL}


class ChatDeltas:
    """Translates the chunks of a chat into deltas.

    Args:
        before: the choices so far.
    """

    def __init__(self, before: Iterable[ChatChoice]) -> None:
        self._numbers = itertools.count()
        self._choices = {choice.index: _ChoiceDeltas(choice.index, self._numbers, choice) for choice in before}

    def add(self, event: Any) -> list[Delta]:
        """Take a chunk and return its deltas, in order."""
        made: list[Delta] = []
        raw = event.raw
        for choice in objects_in(raw.get("choices")):
            self._choice(choice).add(choice, raw, made)
        return made

    def end(self) -> list[Delta]:
        """End all open parts, because the stream is complete."""
        made: list[Delta] = []
        for choice in self._choices.values():
            choice.end(made)
        return made

    def _choice(self, raw: Raw) -> _ChoiceDeltas:
        index = raw.get("index")
        if type(index) is not int:
            index = 0
        return self._choices.get(index) or self._choices.setdefault(index, _ChoiceDeltas(index, self._numbers))


class _ChoiceDeltas:
    """The parts of one choice. Its methods append deltas to the list that they are given."""

    __slots__ = ("_calls", "_function_call", "_index", "_numbers", "_parts", "_seen", "_text")

    def __init__(self, index: int, numbers: Iterator[int], before: ChatChoice | None = None) -> None:
        self._index = index
        self._numbers = numbers
        self._seen: set[str] = set()  # fields of deltas
        self._text: OpenText | None = None
        self._calls = ToolCalls()
        self._parts: dict[CallPieces, _Call] = {}
        self._function_call: _Call | None = None
        if before is not None:
            self._take(before)

    def _take(self, before: ChatChoice) -> None:
        """Go on after what has come already."""
        said: list[Delta] = []
        self._add_texts({key: join_text(pieces) for key, pieces in before.texts.items()}, said)
        if before.tool_calls is not None:
            self._calls = before.tool_calls.fork()
            self._seen.add("tool_calls")
            self._go_on(self._calls.all, said)
        if before.function_call is not None:
            self._seen.add("function_call")
            self._begin_function_call(before.function_call.fork(), said).go_on(said)
        if before.finish_reason is not None:
            self._end_text(said)

    def add(self, choice: Raw, chunk: Raw, made: list[Delta]) -> None:
        delta = choice.get("delta")
        if is_object(delta) and len(delta) == 1 and type(content := delta.get("content")) is str:  # nearly every one
            if content:
                self._add_text(CONTENT, content, made)
        elif said := said_in(choice, chunk, lambda: self._seen):
            self._add_delta(said, made)
        if choice.get("finish_reason") and not chunk.get("error") and not has_failed(choice):
            self._finish(made)

    def _add_delta(self, delta: Raw, made: list[Delta]) -> None:
        self._add_texts(delta, made)
        for number, raw in enumerate(objects_in(delta.get("tool_calls"))):
            self._seen.add("tool_calls")
            self._go_on(self._calls.add(raw, is_first=not number), made)
        if is_object(call := delta.get("function_call")):
            self._seen.add("function_call")
            part = self._function_call or self._begin_function_call(CallPieces(0, needs_id=False), made)
            part.call.add({"function": call})
            part.go_on(made)

    def _add_texts(self, delta: Raw, made: list[Delta]) -> None:
        for key in _KINDS:  # reasoning first: it was, where one delta has the end of it and the beginning of the rest
            value = delta.get(key)
            if not value or (key == "reasoning" and _is_twice(value, delta.get("reasoning_content"))):
                continue
            for name, text in texts_in(key, value):
                if text:
                    self._add_text(_KINDS[name], text, made)

    def _add_text(self, kind: TextKind, text: str, made: list[Delta]) -> None:
        part = self._text
        if part is None or part.kind is not kind:
            self._end_text(made)
            self._seen |= {key for key in _KINDS if _KINDS[key] is kind}
            part = self._text = OpenText(kind, self._index, 0, next(self._numbers))
        made.append(part.add(text))

    def _go_on(self, calls: list[CallPieces], made: list[Delta]) -> None:
        """Report what is new of some calls."""
        for call in calls:
            part = self._parts.get(call)
            if part is None:
                self._end_text(made)
                index = len(self._parts) if call.index is None else call.index
                part = self._parts[call] = _Call(call, self._index, index, next(self._numbers))
            part.go_on(made)

    def _begin_function_call(self, call: CallPieces, made: list[Delta]) -> _Call:
        self._end_text(made)
        self._function_call = _Call(call, self._index, 0, next(self._numbers), is_old=True)
        return self._function_call

    def _end_text(self, made: list[Delta]) -> None:
        if self._text is not None:
            made.append(self._text.end())
            self._text = None

    def _finish(self, made: list[Delta]) -> None:
        """Take the finish reason of the choice."""
        self._end_text(made)
        self._go_on(self._calls.finish(), made)
        if self._function_call is not None and self._function_call.call.can_finish:
            self._function_call.end(made)

    def end(self, made: list[Delta]) -> None:
        """Nothing more is to come."""
        self._end_text(made)
        for call in [*self._parts.values(), *([self._function_call] if self._function_call else [])]:
            call.end(made)


def _is_twice(reasoning: object, other: object) -> bool:
    """Return whether one delta holds the same reasoning under both of its names."""
    return bool(other) and texts_in("reasoning", reasoning) == texts_in("reasoning", other)


class _Call:
    """A call, of which pieces are added to `call`. `is_old`: it is the one function call of the API's old way."""

    __slots__ = ("_choice", "_count", "_index", "_is_old", "_is_over", "_number", "call")

    def __init__(self, call: CallPieces, choice: int, index: int, number: int, *, is_old: bool = False) -> None:
        self.call = call
        self._is_over = False
        self._choice, self._index, self._number = choice, index, number
        self._is_old = is_old
        self._count = 0

    def end(self, made: list[Delta]) -> None:
        """Nothing more is to come."""
        self.call.is_done = True
        self.go_on(made)

    def go_on(self, made: list[Delta]) -> None:
        """Report what is new. An empty object is held back, because what follows may replace it."""
        if self._is_over:
            return
        call, count, pieces = self.call, self._count, self.call.text.pieces
        self._count = len(pieces) if call.is_done else call.text.sure
        if new := join_text(pieces[count : self._count]):
            where = (self._choice, self._index, self._number)
            made.append(ToolCallArgumentsDelta(new, *where, pieces, self._count, call.id, call.name))
        if call.is_done:
            self._is_over = True
            made.append(self._done())

    def _done(self) -> ToolCallDone:
        call = self.call
        kind: CallKind = "function_call" if self._is_old else "custom" if call.is_custom else "function"
        where = (self._choice, self._index, self._number)
        return ToolCallDone(call.id, call.name, join_text(call.text.pieces), kind, *where, extra=call.extra)
