"""Tool calls in a chat: which delta belongs to which call, and when a call is done.

A tool call arrives in pieces, like text. The API numbers them with `index` and repeats nothing; compatible servers
leave the index out, give every call index 0, reuse ids, or repeat arguments. The snapshot, the deltas,
`stream.tool_calls` and `run_tools` all use the classes in this file, so they always agree about a call.

A piece belongs to the call with its `index`. Without an index, it belongs to the call with its `id`; without both, to
the latest call. But it starts another call at that place in three cases:

* The arguments of the call are complete, and the piece has another id or another name. Or it names the same tool again
  and brings other arguments. (Some servers give all calls index 0, or all calls of one tool the same id.)
* The arguments are incomplete, and both id and name are different. But if the text of the piece can only be the rest of
  an open JSON object, it continues the call.
* The piece has a name but neither index nor id, and is not the first piece of its chunk. Such servers send each call
  whole.

Within a call:

* The first id and type that are not empty count.
* A name may come in pieces until the arguments begin. A piece that repeats the name so far adds nothing.
* `arguments.py` appends the arguments, and recognizes when they are complete.
* For fields that the API does not know, the last value counts. Gemini's `extra_content` has to be sent back.

A call is done as soon as its arguments are complete and its id and name are known. After that it never changes, because
a tool may have run. An empty object `{}` is complete only when the next call starts, since some servers send it first
and the arguments later. A finish reason completes calls that lack an id or a name, empty objects, and custom tools with
input. The end of the stream completes all others.

"""

from __future__ import annotations

import copy
import math
from typing import Any, Self

from trio_openai._wire.json import encode_text, is_object
from trio_openai._wire.text import join_text
from trio_openai.types._raw import Raw

from .arguments import JSON_SPACE, Arguments, CustomInput

_KNOWN = frozenset(("index", "id", "type", "function", "custom"))


class Name:
    """A name that may come in pieces. If a server sends something other than text, the first such value is kept."""

    __slots__ = ("_length", "_more", "_value")

    def __init__(self) -> None:
        self._value: Any = None
        self._more: list[str] = []  # pieces that are not joined to the value yet
        self._length = 0

    def __bool__(self) -> bool:
        return bool(self._value)

    @property
    def value(self) -> Any:
        """The name so far; None if none was sent."""
        if self._more:
            self._value = join_text([self._value, *self._more])
            self._more = []
        return self._value

    def fork(self) -> Self:
        """Return a copy that later pieces of this one do not change."""
        twin = copy.copy(self)
        twin._more = list(self._more)
        return twin

    def set(self, value: Any) -> None:
        """Take the name, if nothing was sent before."""
        if not self._value and value is not None:
            self._value = value
            self._length = len(value) if type(value) is str else 0

    def add(self, piece: Any) -> None:
        """Take a piece of the name, or the whole name again."""
        if not self._value or type(piece) is not str or type(self._value) is not str:
            self.set(piece)
        elif len(piece) >= self._length and piece.startswith(self.value):
            self._value, self._length = piece, len(piece)
        else:
            self._more.append(piece)
            self._length += len(piece)

    def differs(self, other: Any) -> bool:
        """Return whether both names are known and different. The cost depends only on the length of the other."""
        if type(other) is str and len(other) != self._length:
            return bool(self and other)
        return _differ(self.value, other)


class Called:
    """The tool of a call: a function with its `arguments`, or a custom tool with its `input`."""

    __slots__ = ("_is_sent", "_key", "_more", "name", "text")

    def __init__(self, *, is_custom: bool = False) -> None:
        self.name = Name()
        self.text = CustomInput() if is_custom else Arguments()
        self._key = "input" if is_custom else "arguments"
        self._is_sent = False
        self._more: Raw = {}

    def fork(self) -> Self:
        """Return a copy that later pieces of this one do not change."""
        twin = copy.copy(self)
        twin.name, twin.text, twin._more = self.name.fork(), self.text.fork(), dict(self._more)
        return twin

    def add(self, raw: Raw) -> None:
        """Add a piece of the object."""
        for key, value in raw.items():
            if key == self._key:
                self._is_sent = True
                if value is not None:
                    self.text.add(value if type(value) is str else encode_text(value))
            elif key == "name":
                self._add_name(value)
            elif value is not None or key not in self._more:
                self._more[key] = value

    def _add_name(self, value: Any) -> None:
        if self.text.pieces:
            self.name.set(value)
        else:
            self.name.add(value)

    def as_raw(self) -> Raw:
        """Return the object so far."""
        raw = dict(self._more)
        if self.name.value is not None:
            raw["name"] = self.name.value
        if self._is_sent:
            raw[self._key] = join_text(self.text.pieces)
        return raw


class CallPieces:
    """One tool call that arrives in pieces.

    Args:
        index: the index that the server gave it, or None.
        needs_id: whether the call needs an id to be done.

    Attributes:
        index: the index that the server gave it, or None.
        id: the id of the call, or None.
        extra: the fields that the API does not know.
        is_done: whether the call is complete. Nothing changes it after that.
    """

    __slots__ = ("_custom", "_function", "_needs_id", "_type", "extra", "id", "index", "is_done")

    def __init__(self, index: int | None, *, needs_id: bool = True) -> None:
        self.index = index
        self.id: Any = None
        self.extra: Raw = {}
        self.is_done = False
        self._type: Any = None
        self._needs_id = needs_id
        self._function = Called()
        self._custom: Called | None = None

    def fork(self) -> Self:
        """Return a copy that later pieces of this one do not change."""
        twin = copy.copy(self)
        twin.extra, twin._function = dict(self.extra), self._function.fork()
        twin._custom = self._custom.fork() if self._custom else None
        return twin

    @property
    def is_custom(self) -> bool:
        """True if a custom tool is called."""
        return self._custom is not None

    @property
    def name(self) -> Any:
        """The tool's name so far, or None."""
        return (self._custom or self._function).name.value

    @property
    def text(self) -> CustomInput:
        """The arguments of the function, or the input of the custom tool."""
        return (self._custom or self._function).text

    @property
    def can_finish(self) -> bool:
        """True if a finish reason completes this call."""
        return not self.is_done and (self.text.is_whole or bool(self._custom and self.text.pieces))

    def add(self, raw: Raw) -> bool:
        """Add a piece of the call. Return whether it adds to the arguments or the input."""
        if not _KNOWN.issuperset(raw):
            self.extra |= {
                key: value
                for key, value in raw.items()
                if key not in _KNOWN and (value is not None or key not in self.extra)
            }
        if self.is_done:
            return False
        taken = (self._custom or self._function).text.taken
        self.id = self.id or raw.get("id") or None
        self._type = self._type or raw.get("type")
        if is_object(function := raw.get("function")):
            self._function.add(function)
        if is_object(custom := raw.get("custom")):
            self._custom = self._custom or Called(is_custom=True)
            self._custom.add(custom)
        self.end_arguments()
        return (self._custom or self._function).text.taken > taken

    def end_arguments(self) -> None:
        """Complete the call if its arguments are complete. Called after they have changed."""
        text = (self._custom or self._function).text
        if text.is_whole and not text.is_empty_object:
            self.complete()

    @property
    def is_open(self) -> bool:
        """True if a function is called, and its arguments have begun and are incomplete."""
        text = self._function.text
        return bool(text.pieces) and self._custom is None and not text.is_whole and not self.is_done

    def complete(self) -> None:
        """Mark the call as done if its id and name are known. Called when its arguments are complete."""
        self.is_done = bool(self.name and (self.id or not self._needs_id))

    def is_followed_by(self, raw: Raw) -> bool:
        """Return whether a piece at the place of this call starts another call."""
        new_id, is_custom = raw.get("id"), type(raw.get("custom")) is dict
        said = raw.get("custom" if is_custom else "function")
        name = said.get("name") if is_object(said) else None
        if not name and not new_id:
            return False  # as nearly all pieces
        has_new_id = _differ(self.id, new_id)
        is_renamed = (self._custom or self._function).name.differs(name)
        text = said.get("input" if is_custom else "arguments") if is_object(said) else None
        if self.is_done or self.text.is_whole:
            return has_new_id or is_renamed or (bool(name) and self._is_called_again(raw, text))
        return has_new_id and is_renamed and not (self.text.pieces and _goes_on(text))

    def _is_called_again(self, raw: Raw, text: object) -> bool:
        """Return whether a piece that repeats the name of the tool starts another call."""
        text = _as_text(text)
        if not text.lstrip(JSON_SPACE).startswith("{"):
            return False
        if type(raw.get("index")) is not int and not raw.get("id"):
            return True  # such servers send each call whole
        arguments = self.text
        is_sure = self.is_done or not arguments.is_empty_object
        return is_sure and isinstance(arguments, Arguments) and not arguments.is_repeated_by(text)

    def as_raw(self) -> Raw:
        """Return the call so far, as a JSON object."""
        raw: Raw = {**self.extra} if self.id is None else {"id": self.id, **self.extra}
        raw["type"] = self._type or ("custom" if self._custom else "function")
        called = self._custom or self._function
        raw["custom" if self._custom else "function"] = called.as_raw()
        return raw

    def function_as_raw(self) -> Raw:
        """Return the function as a JSON object. The older `function_call` has nothing else."""
        return self._function.as_raw()


def _differ(known: Any, other: Any) -> bool:
    """Return whether two ids or names are known and different. Python cannot compare deeply nested lists."""
    if not known or not other:
        return False
    return type(known) is not type(other) or (isinstance(known, str | int | float) and bool(known != other))


def _as_text(value: object) -> str:
    """Return text unchanged, and anything else as JSON text."""
    return value if type(value) is str else "" if value is None else encode_text(value)


def _goes_on(text: object) -> bool:
    """Return whether text can only be the rest of a JSON object."""
    start = _as_text(text).lstrip(JSON_SPACE)
    return bool(start) and not start.startswith("{")


class ToolCalls:
    """The tool calls of one message.

    Attributes:
        all: the calls, in the order in which they began.
        has_grown: whether the last piece started a call or added to its arguments.
    """

    __slots__ = ("_by_id", "_by_index", "_can_finish", "_empty", "_latest", "all", "has_grown")

    def __init__(self) -> None:
        self.all: list[CallPieces] = []
        self.has_grown = False
        self._by_index: dict[int, CallPieces] = {}
        self._by_id: dict[str, CallPieces] = {}
        self._latest: CallPieces | None = None
        self._can_finish: dict[CallPieces, None] = {}  # the calls that a finish reason completes,
        self._empty: dict[CallPieces, None] = {}  # and those that the start of another call completes

    def fork(self) -> ToolCalls:
        """Return a copy that later pieces of this one do not change."""
        forks = {call: call.fork() for call in self.all}
        twin = ToolCalls()
        twin.all = list(forks.values())
        twin._by_index = {index: forks[call] for index, call in self._by_index.items()}
        twin._by_id = {name: forks[call] for name, call in self._by_id.items()}
        twin._latest = forks[self._latest] if self._latest else None
        twin._can_finish = {forks[call]: None for call in self._can_finish}
        twin._empty = {forks[call]: None for call in self._empty}
        return twin

    def add(self, raw: Raw, *, is_first: bool = True) -> list[CallPieces]:
        """Add a piece. `is_first` says whether it is the first piece of its chunk.

        Returns:
            The calls that changed. The last of them is the call of this piece.
        """
        if len(raw) == 2 and (more := self._more_arguments(raw)) is not None:
            return [more]
        call, is_new = self._find(raw, is_first=is_first)
        changed = self._complete(self._empty) if is_new else []
        self.has_grown = call.add(raw) or is_new
        self._latest = call
        if type(call.id) is str and call.id and (is_new or call.id not in self._by_id):
            self._by_id[call.id] = call
        if self._can_finish or call.can_finish:
            self._note(call)
        changed.append(call)
        return changed

    def _more_arguments(self, raw: Raw) -> CallPieces | None:
        """Add a piece that has only an index and arguments, as nearly all pieces do. This path is for speed only.

        Returns:
            The call, or None if the piece needs the full rules.
        """
        index = raw.get("index")
        function: Raw | None = raw.get("function")
        if type(function) is not dict or len(function) != 1 or type(index) is not int:
            return None
        call, text = self._by_index.get(index), function.get("arguments")
        if call is None or not call.is_open or type(text) is not str:
            return None
        call.text.add(text)
        if call.text.is_whole:
            call.end_arguments()
            self._note(call)
        self.has_grown = bool(text)
        self._latest = call
        return call

    def finish(self) -> list[CallPieces]:
        """Complete the calls that a finish reason completes, and return them."""
        done = list(self._can_finish)
        for call in done:
            call.is_done = True
        self._can_finish, self._empty = {}, {}
        return done

    def _complete(self, calls: dict[CallPieces, None]) -> list[CallPieces]:
        found = list(calls)
        calls.clear()
        for call in found:
            call.complete()
            if call.is_done:
                self._can_finish.pop(call, None)
        return found

    def _note(self, call: CallPieces) -> None:
        """Remember which event would complete the call."""
        for calls, is_one in ((self._can_finish, True), (self._empty, call.text.is_empty_object)):
            if is_one and call.can_finish:
                calls[call] = None
            else:
                calls.pop(call, None)

    def _find(self, raw: Raw, *, is_first: bool) -> tuple[CallPieces, bool]:
        """Return the call of a piece, and whether it is new."""
        index, name = raw.get("index"), raw.get("id")
        if type(index) is int:
            call = self._by_index.get(index)
        elif type(name) is str and name:
            index, call = None, self._by_id.get(name)
        else:
            call = self._latest if is_first or not _has_name(raw) else None
            index = self._latest.index if self._latest else 0
        if call is not None and not call.is_followed_by(raw):
            return call, False
        call = CallPieces(index)
        self.all.append(call)
        if index is not None:
            self._by_index[index] = call
        return call, True

    def as_raw(self) -> list[Raw]:
        """Return the calls as JSON objects, sorted by index. Calls without an index come last."""
        in_order = sorted(self.all, key=lambda call: math.inf if call.index is None else call.index)
        return [call.as_raw() for call in in_order]


def _has_name(raw: Raw) -> bool:
    said = raw.get("function") or raw.get("custom")
    return is_object(said) and bool(said.get("name"))
