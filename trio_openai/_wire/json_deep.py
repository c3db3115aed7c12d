"""Decoding deeply nested JSON without recursion.

Python's own decoder recurses, so the depth that it reaches depends on the remaining stack. This decoder takes
`MAX_DEPTH` levels everywhere. It is slow, and is used only where the standard decoder has raised `RecursionError`.

"""

from __future__ import annotations

import json
import re
from typing import Any, cast

from trio_openai.types._raw import is_array

MAX_DEPTH = 1024
"""The deepest nesting of lists and objects that is decoded. It is the limit of orjson."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_SPACE = re.compile(r"[ \t\n\r]*")


def check_depth(data: bytes) -> None:
    """Raise `ValueError` if JSON is nested more deeply than `MAX_DEPTH`."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NO_BRACKET):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more deeply than {MAX_DEPTH} levels")


def decode_deep(text: str, scalars: json.JSONDecoder) -> object:
    """Decode JSON, and leave its scalars to a decoder of the standard library.

    Raises:
        ValueError: the text is not JSON.
    """
    reading = _Reading(text, scalars)
    root: list[Any] = []
    open_: list[Any] = [root]
    key: Any = None
    while len(open_) > 1 or not root:
        value, is_open = reading.value()
        _put(open_[-1], key, value)
        if is_open:
            open_.append(value)
        while len(open_) > 1 and reading.took("]" if is_array(open_[-1]) else "}"):
            is_open = False
            open_.pop()
        if len(open_) > 1:
            if not is_open and not reading.took(","):
                raise reading.error("Expecting ',' delimiter")
            key = None if is_array(open_[-1]) else reading.key()
    if reading.peek():
        raise reading.error("Extra data")
    return root[0]


def _put(place: Any, key: Any, value: Any) -> None:
    if is_array(place):
        place.append(value)
    else:
        place[key] = value


class _Reading:
    """A text and the position up to which it has been read."""

    def __init__(self, text: str, scalars: json.JSONDecoder) -> None:
        self._text = text
        self._scan = cast("Any", scalars).scan_once
        self._at = 0

    def peek(self) -> str:
        """Return the next character after white space, or an empty string at the end."""
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._text[self._at : self._at + 1]

    def took(self, char: str) -> bool:
        """Read this character if it comes next. Return whether it did."""
        if self.peek() != char:
            return False
        self._at += 1
        return True

    def value(self) -> tuple[Any, bool]:
        """Read a scalar, or the beginning of a list or object. Return the value, and whether it only began."""
        if self.took("["):
            return [], True
        if self.took("{"):
            return {}, True
        try:
            value, self._at = self._scan(self._text, self._at)
        except StopIteration:
            raise self.error("Expecting value") from None
        return value, False

    def key(self) -> str:
        """Read a key and its colon."""
        if self.peek() != '"':
            raise self.error("Expecting property name enclosed in double quotes")
        key, self._at = self._scan(self._text, self._at)
        if not self.took(":"):
            raise self.error("Expecting ':' delimiter")
        return str(key)

    def error(self, words: str) -> ValueError:
        """Return an error for the current position."""
        return json.JSONDecodeError(words, self._text, self._at)
