"""The arguments of a tool call, which arrive in pieces, and when they are complete.

* Arguments are complete when they are one JSON object. Nothing that could follow would leave them one, so later text
  is dropped: some servers send the complete arguments once more.
* An empty object is different. Some servers send `{}` as a placeholder and the arguments after it. So text that starts
  with `{` replaces it, and only the end of the call says that it was meant.

Each piece is looked at once, and nothing is joined while the arguments are incomplete.
"""

from __future__ import annotations

import copy
import re
from typing import Self

from trio_openai._wire.json import decode_text
from trio_openai._wire.text import join_text

JSON_SPACE = " \t\r\n"
_OUTSIDE = re.compile(r'[{}\[\]"]')  # what counts outside of a string,
_INSIDE = re.compile(r'["\\]')  # and in one


class ObjectScan:
    """Tells when a text that comes in pieces is one whole JSON object. Looks at each piece once.

    Attributes:
        is_empty: the object is whole and has no members.
        length: how many characters the object had when it became whole.
    """

    __slots__ = (
        "_depth",
        "_in_string",
        "_is_closed",
        "_is_escaped",
        "_is_valid",
        "_kept",
        "_opened_in",
        "_seen",
        "is_empty",
        "length",
    )

    def __init__(self) -> None:
        self._seen = self._depth = self._opened_in = self._kept = self.length = 0
        self._in_string = self._is_escaped = self._is_closed = self.is_empty = False
        self._is_valid = True

    def is_whole(self, pieces: list[str]) -> bool:
        """Return whether it is, so far. `pieces` are those of the last call and those that have come since."""
        was_closed = self._is_closed
        for at in range(self._seen, len(pieces)):
            if self._is_valid:
                self._look_at(pieces[at])
            self._seen = at + 1
        if not self._is_closed:
            return False
        if not was_closed and self._is_valid:
            self._judge(pieces)
        return self._is_valid

    def reopen(self, pieces: list[str]) -> bool:
        """Forget the last piece, which closed the object and is no longer in `pieces`.

        Returns:
            Whether an earlier piece had opened the object, so that it is open again.
        """
        self._seen = self._kept = len(pieces)
        self._is_closed = self.is_empty = False
        self._depth = int(self._opened_in < self._seen)
        return bool(self._depth)

    def _judge(self, pieces: list[str]) -> None:
        """Decode the object. Balanced brackets are not enough to make it JSON."""
        start = "{" if self._opened_in < self._kept else ""  # all that the pieces before `reopen` hold but white space
        text = start + join_text(pieces[self._kept :])
        try:
            self.is_empty = not decode_text(text)
        except ValueError:
            self._is_valid = False
        self.length = len(text)

    def _look_at(self, text: str) -> None:
        at = 0
        if self._in_string and not self._is_escaped and not _INSIDE.search(text):
            return  # as most pieces of long arguments
        if not self._depth:  # before the object, or after it
            text = text.lstrip(JSON_SPACE)
            self._is_valid = not text or (text[0] == "{" and not self._is_closed)
        elif self._is_escaped and text:
            at, self._is_escaped = 1, False
        while self._is_valid and (mark := (_INSIDE if self._in_string else _OUTSIDE).search(text, at)):
            at = mark.end()
            self._step(mark[0])
            if self._is_escaped and at < len(text):
                at, self._is_escaped = at + 1, False
            if self._is_closed:
                self._is_valid = not text[at:].strip(JSON_SPACE)
                return

    def _step(self, char: str) -> None:
        if char == '"':
            self._in_string = not self._in_string
        elif char == "\\":
            self._is_escaped = True
        elif char in "{[":
            self._opened_in = self._opened_in if self._depth else self._seen
            self._depth += 1
        else:
            self._depth -= 1
            self._is_closed = not self._depth


class CustomInput:
    """The input of a custom tool: any text, in pieces. Nothing in the text says where it ends.

    Attributes:
        pieces: the text so far. Only its last piece is ever taken back, and only while `is_empty_object`.
        taken: how many characters were ever added to it.
    """

    __slots__ = ("pieces", "taken")

    is_whole = False
    is_empty_object = False

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.taken = 0

    def fork(self) -> Self:
        """Return a copy that later pieces of this one do not change."""
        twin = copy.copy(self)
        twin.pieces = list(self.pieces)
        return twin

    def add(self, text: str) -> None:
        """Take a piece."""
        if text:
            self.pieces.append(text)
            self.taken += len(text)

    @property
    def sure(self) -> int:
        """The number of pieces that will not be replaced."""
        return len(self.pieces) - self.is_empty_object


class Arguments(CustomInput):
    """The arguments of a function: the text of one JSON object, if the model does it right."""

    __slots__ = ("_scan", "is_empty_object", "is_whole")

    def __init__(self) -> None:
        super().__init__()
        self.is_whole = self.is_empty_object = False
        self._scan = ObjectScan()

    def fork(self) -> Self:
        """Return a copy that later pieces of this one do not change."""
        twin = super().fork()
        twin._scan = copy.copy(self._scan)
        return twin

    def add(self, text: str) -> None:
        """Take a piece, unless the arguments are complete without it."""
        if self.is_whole:
            text = self._after_whole(text)
        if text:
            self.pieces.append(text)
            self.taken += len(text)
            self.is_whole = is_whole = self._scan.is_whole(self.pieces)
            if is_whole:
                self.is_empty_object = self._scan.is_empty

    def _after_whole(self, text: str) -> str:
        """Return what is left of a piece that follows a whole object. It may replace an empty one."""
        start = text.lstrip(JSON_SPACE)
        if not self.is_empty_object or not start.startswith("{"):
            return text if start and self.is_empty_object else ""
        self.pieces.pop()
        self.taken += 1
        self.is_whole = self.is_empty_object = False
        return start[1:] if self._scan.reopen(self.pieces) else text

    def is_repeated_by(self, text: str) -> bool:
        """Return whether a text says the same as these whole arguments, if perhaps with other white space.

        Costs no more than the text is long, so that a server cannot make it expensive.
        """
        if self._scan.length > 2 * len(text):
            return False
        whole = join_text(self.pieces)
        if whole.strip(JSON_SPACE) == text.strip(JSON_SPACE):
            return True
        try:
            return decode_text(whole) == decode_text(text)
        except (ValueError, RecursionError):
            return False
