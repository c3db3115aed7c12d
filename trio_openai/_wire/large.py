"""Large events, such as pictures in base64, whose memory has to stay below twice their size.

A JSON decoder needs the whole text, and makes a copy of it beside what it decodes. So the long strings of base64 are
taken out of the text before: each becomes a `str` piece by piece, while the pieces it is made of are given up, and a
short name stands for it in the text. What is left is decoded as ever, and the strings take the place of their names.

A piece is taken for the middle of a string if it is nothing but letters of base64. JSON has none of that length outside
of a string but numbers, and before those stands no quote.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

from .json import is_array, is_object

LARGE = 1024 * 1024
"""Bytes of an event that is worth the effort."""

_NAME = "long string taken out of this event by trio_openai: "  # a server that sends this gets what it asks for
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
_SMALL = 1024  # bytes of pieces that are put together
_LEAST = 16 * 1024  # bytes of a piece that may be the middle of a string
_SHOWN = 200  # characters
_LOOKED_BACK = 256 * 1024  # bytes before it in which its quote is looked for: more than two pieces have
_START = re.compile(rb"(?:data:[\w/+.-]+;base64,)?[\w+/=-]*", re.ASCII)


class GrowingBytes:
    """Bytes that grow, without a copy of what came before."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Add a piece."""
        self.size += len(piece)
        if self.pieces and len(self.pieces[-1]) + len(piece) < _SMALL:
            piece = self.pieces.pop() + piece
        self.pieces.append(piece)

    def joined(self) -> bytes:
        """Return all pieces as one, which they are from now on. They are given up one by one, as they are copied."""
        whole, pieces = BytesIO(), self.pieces
        pieces.reverse()
        while pieces:
            whole.write(pieces.pop())
        self.pieces = [whole.getvalue()]  # this does not copy
        return self.pieces[0]


def take_strings_out(pieces: list[bytes]) -> tuple[bytes, dict[str, str]]:
    """Return the text that the pieces are, with names in place of its long strings, and the strings by name.

    The list is emptied.
    """
    pieces.reverse()  # so that they are given up from the end
    text = bytearray()
    strings: dict[str, str] = {}
    while pieces:
        piece = pieces.pop()
        at = _opened_at(text) if _is_middle(piece) else None
        if at is None:
            text += piece
            continue
        string, rest = _string(bytes(text[at:]), piece, pieces)
        del text[at:]
        if rest.startswith(b'"'):
            name = f"{_NAME}{len(strings)}"
            strings[name] = string
            text += name.encode()
        else:
            text += string.encode()  # it is more than base64
        text += rest
    return bytes(text), strings


def _is_middle(piece: bytes) -> bool:
    return len(piece) >= _LEAST and not piece.translate(None, _BASE64)


def _opened_at(text: bytearray) -> int | None:
    """Return where the string begins that is open at the end of the text; None if it has more than base64 in it."""
    at = text.rfind(b'"', max(len(text) - _LOOKED_BACK, 0))
    if at < 0 or bytes(text[at - 1 : at]) == b"\\" or not _START.fullmatch(text, at + 1):
        return None
    return at + 1


def _string(start: bytes, piece: bytes, pieces: list[bytes]) -> tuple[str, bytes]:
    """Return the base64 that begins with these bytes, and what follows it. The pieces are given up one by one.

    CPython lengthens a string in place if only one variable has it, in a `for` loop that has run for some turns. Where
    it does not, it copies 64 times at the most.
    """
    step = sum(map(len, pieces)) // 64
    string, rest = "", b""
    group = [start, piece]
    size = len(start) + len(piece)
    for _ in range(len(pieces)):
        piece = pieces.pop()
        if piece.translate(None, _BASE64):
            rest = piece.lstrip(_BASE64)
        group.append(piece[: len(piece) - len(rest)])
        size += len(group[-1])
        if size > step or rest:
            string += _text(group)
            size = 0
        if rest:
            break
    if group:
        string += _text(group)
    return string, rest


def _text(group: list[bytes]) -> str:
    """Return a group of pieces as text. The group is emptied."""
    text = b"".join(group).decode()
    group.clear()
    return text


def put_strings_back(value: object, strings: dict[str, str]) -> Any:
    """Put the long strings in place of their names, in a decoded value, which is changed."""
    whole = [value]
    todo: list[Any] = [whole]
    while todo:
        place = todo.pop()
        if is_object(place) and not strings.keys().isdisjoint(place):
            members = list(place.items())
            place.clear()
            place.update((strings.get(key, key), inner) for key, inner in members)
        key: Any
        for key, inner in place.items() if is_object(place) else enumerate(place):
            if isinstance(inner, str):
                place[key] = strings.get(inner, inner)
            elif is_object(inner) or is_array(inner):
                todo.append(inner)
    return whole[0]


def shown(text: bytes, strings: dict[str, str]) -> bytes:
    """Return the text as an error shows it, with the beginning of each long string."""
    for name, string in strings.items():
        text = text.replace(name.encode(), string[:_SHOWN].encode())
    return text
