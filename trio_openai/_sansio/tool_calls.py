"""Chat Completions: tool calls that arrive in pieces. Which piece belongs to which call, and when one is whole.

* A call is keyed by its `index`; without one, a new non-empty `id` begins a call and a piece without an id belongs to
  the latest.
* Where that call has whole arguments already, and the piece has another id, or names a tool once more and brings
  arguments, it is another call: some servers give all of them index 0.
* The first non-empty id, name and type win; only `arguments` (and a custom tool's `input`) is appended. Of what else
  there is the last value counts: Gemini's `extra_content` has to be sent back.
* Arguments are whole when they are one JSON object; nothing that could follow would leave them one.
"""

from __future__ import annotations

import math
import re
from typing import Any

from trio_openai.types._base import Raw
from trio_openai.types.chat import CustomTool, Function, ToolCall

from .json import decode_json, encode_text, is_object

_KNOWN = frozenset(("index", "id", "type", "function", "custom"))
_JSON_SPACE = " \t\r\n"
_OUTSIDE = re.compile(r'[{}\[\]"]')  # what counts outside of a string,
_INSIDE = re.compile(r'["\\]')  # and in one


class ObjectScan:
    """Whether a text that comes in pieces is one whole JSON object. Each piece is looked at once."""

    __slots__ = ("_depth", "_in_string", "_is_closed", "_is_escaped", "_is_valid", "_seen")

    def __init__(self) -> None:
        self._seen = self._depth = 0
        self._in_string = self._is_escaped = self._is_closed = False
        self._is_valid = True

    def is_whole(self, pieces: list[str]) -> bool:
        """Whether it is, so far. The pieces are those of the last time, and those that have come since."""
        was_closed = self._is_closed
        while self._seen < len(pieces):
            if self._is_valid:
                self._look_at(pieces[self._seen])
            self._seen += 1
        if self._is_closed and not was_closed and self._is_valid:
            self._is_valid = _is_json("".join(pieces))
        return self._is_closed and self._is_valid

    def _look_at(self, text: str) -> None:
        at = 0
        if not self._depth:  # before the object, or after it
            text = text.lstrip(_JSON_SPACE)
            self._is_valid = not text or (text[0] == "{" and not self._is_closed)
        elif self._is_escaped and text:
            at, self._is_escaped = 1, False
        while self._is_valid and (mark := (_INSIDE if self._in_string else _OUTSIDE).search(text, at)):
            at = mark.end()
            self._step(mark[0])
            if self._is_escaped and at < len(text):
                at, self._is_escaped = at + 1, False
            if self._is_closed:
                self._is_valid = not text[at:].strip(_JSON_SPACE)
                return

    def _step(self, char: str) -> None:
        if char == '"':
            self._in_string = not self._in_string
        elif char == "\\":
            self._is_escaped = True
        elif char in "{[":
            self._depth += 1
        else:
            self._depth -= 1
            self._is_closed = not self._depth


def _is_json(text: str) -> bool:
    """Whether brackets that are balanced are those of JSON."""
    try:
        decode_json(text.encode(errors="surrogatepass"))
    except ValueError:
        return False
    return True


class Pieces:
    """A small object whose fields arrive in pieces.

    Attributes:
        values: of its fields that come whole.
        texts: of the others, the pieces.
    """

    __slots__ = ("_scan", "texts", "values")

    def __init__(self) -> None:
        self.values: Raw = {}
        self.texts: dict[str, list[str]] = {}
        self._scan: ObjectScan | None = None

    def add(self, raw: Raw, *, first: tuple[str, ...], joined: tuple[str, ...], last: tuple[str, ...] = ()) -> None:
        """Of `first` fields the first non-empty value counts, of `last` the last; `joined` ones are appended."""
        for name in first:
            if raw.get(name) and not self.values.get(name):
                self.values[name] = raw[name]
        for name in last:
            if raw.get(name) is not None:
                self.values[name] = raw[name]
        for name in joined:
            value = raw.get(name)
            if value is not None:
                self.texts.setdefault(name, []).append(value if type(value) is str else encode_text(value))

    @property
    def has_whole_arguments(self) -> bool:
        """Whether its arguments are one whole JSON object."""
        pieces = self.texts.get("arguments")
        if not pieces:
            return False
        self._scan = self._scan or ObjectScan()
        return self._scan.is_whole(pieces)

    def build(self, cls: type[Any]) -> Any:
        """The object so far."""
        return cls(**self.as_raw())

    def as_raw(self) -> Raw:
        """The same as a JSON object."""
        return {**self.values, **{name: "".join(pieces) for name, pieces in self.texts.items()}}


class CallPieces:
    """One tool call.

    Attributes:
        index: as the server said.
        own: what is the call's own: `id`, `type`.
        function: the function that is called.
        custom: the custom tool that is called, if it is one.
        extra: members of the call that the API does not have.
    """

    __slots__ = ("custom", "extra", "function", "index", "own")

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.own = Pieces()
        self.function = Pieces()
        self.custom: Pieces | None = None
        self.extra: Raw = {}

    def add(self, raw: Raw) -> None:
        """Take a piece of it."""
        if not raw.keys() <= _KNOWN:
            self.extra |= {name: value for name, value in raw.items() if name not in _KNOWN and value is not None}
        self.own.add(raw, first=("id", "type"), joined=())
        if is_object(function := raw.get("function")):
            self.function.add(function, first=("name",), joined=("arguments",))
        if is_object(custom := raw.get("custom")):
            self.custom = self.custom or Pieces()
            self.custom.add(custom, first=("name",), joined=("input",))

    @property
    def id(self) -> Any:
        """The call's id, or None."""
        return self.own.values.get("id")

    @property
    def name(self) -> Any:
        """The tool's name, or None."""
        return (self.custom or self.function).values.get("name")

    @property
    def text(self) -> list[str]:
        """The pieces of what the tool is to be given."""
        if self.custom is not None:
            return self.custom.texts.get("input", [])
        return self.function.texts.get("arguments", [])

    def is_followed_by(self, raw: Raw) -> bool:
        """Whether a piece at this call's place is of another call."""
        function = raw.get("function")
        function = function if is_object(function) else {}
        known, new = self.id, raw.get("id")
        if not (new or function.get("name")) or (new and new == known):
            return False
        is_another = bool(known and new) or _has_text(function.get("arguments"))
        return is_another and self.function.has_whole_arguments

    def as_piece(self) -> Raw:
        """The one piece that says what all pieces have said."""
        raw = {**self.extra, **self.own.values, "function": self.function.as_raw()}
        if self.index is not None:
            raw["index"] = self.index
        return {**raw, "custom": self.custom.as_raw()} if self.custom else raw

    def build(self) -> ToolCall:
        """The call so far."""
        self.own.values.setdefault("type", "custom" if self.custom else "function")
        call: ToolCall = self.own.build(ToolCall)
        call.function = self.function.build(Function)
        call.custom = self.custom.build(CustomTool) if self.custom else None
        if self.extra:
            called = {"custom": self.custom.as_raw()} if self.custom else {"function": self.function.as_raw()}
            call.raw = {**self.extra, **self.own.as_raw(), **called}
        return call


def _has_text(value: object) -> bool:
    """Whether there is more to it than white space."""
    return bool(value.strip(_JSON_SPACE) if type(value) is str else value)


class ToolCalls:
    """The tool calls of one message, each in pieces, in any order."""

    __slots__ = ("_by_id", "_by_index", "_calls", "_latest")

    def __init__(self) -> None:
        self._calls: list[CallPieces] = []
        self._by_index: dict[int, CallPieces] = {}
        self._by_id: dict[str, CallPieces] = {}
        self._latest: CallPieces | None = None

    def add(self, raw: Raw) -> CallPieces:
        """Take a piece. Returns the call that it belongs to."""
        self._latest = call = self._find(raw)
        call.add(raw)
        if type(known := call.id) is str:
            self._by_id.setdefault(known, call)
        return call

    def _find(self, raw: Raw) -> CallPieces:
        index, name = raw.get("index"), raw.get("id")
        if type(index) is int:
            call = self._by_index.get(index)
        elif type(name) is str and name:
            index, call = None, self._by_id.get(name)
        else:
            call = self._latest
            index = call.index if call else 0
        if call is None or call.is_followed_by(raw):
            call = CallPieces(index)
            self._calls.append(call)
            if index is not None:
                self._by_index[index] = call
        return call

    @property
    def in_order(self) -> list[CallPieces]:
        """By index; those without one, in the order in which they came."""
        return sorted(self._calls, key=lambda call: math.inf if call.index is None else call.index)

    def build(self) -> list[ToolCall]:
        """The calls so far."""
        return [call.build() for call in self.in_order]

    def as_pieces(self) -> list[Raw]:
        """One piece for each call, which say what all pieces have said."""
        return [call.as_piece() for call in self.in_order]
