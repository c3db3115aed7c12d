"""Large events, such as base64 images, decoded in less than twice their size in memory.

A JSON decoder needs the whole text and copies every string out of it. For an image of 20 MB that makes 40 MB, and the
parser holds the bytes as well. So the long base64 strings are taken out before the JSON is decoded:

1. `take_strings_out` goes through the byte strings of which the event consists. It builds each long base64 string while
   it frees the bytes that it has copied, and leaves a short placeholder in the JSON text.
2. The JSON decoder decodes what is left, which is small.
3. `put_strings_back` replaces each placeholder in the decoded value by its string.

How does it know that it is inside of a string? A byte string of at least 16 KiB that consists of base64 letters only
must be in the middle of a JSON string: numbers are the only other text of such a length, and no quote comes before
those.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

from .json import is_array, is_object

LARGE = 1024 * 1024
"""The size in bytes from which an event counts as large."""

# The beginning of a placeholder. A server that sends this text itself affects only its own answer.
_NAME = "long string taken out of this event by trio_openai: "
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-"
_SMALL = 1024  # smaller byte strings are joined
_LEAST = 16 * 1024  # the smallest byte string that may be the middle of a base64 string
_SHOWN = 200  # characters of a long string in an error message
_LOOKED_BACK = 256 * 1024  # how far back to look for the opening quote: more than two reads
_START = re.compile(rb"(?:data:[\w/+.-]+;base64,)?[\w+/=-]*", re.ASCII)


class GrowingBytes:
    """A byte string that grows without being copied."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self.size += len(piece)
        if self.pieces and len(self.pieces[-1]) + len(piece) < _SMALL:
            piece = self.pieces.pop() + piece
        self.pieces.append(piece)

    def joined(self) -> bytes:
        """Join everything into one byte string and return it. The parts are freed one by one while they are copied."""
        whole, pieces = BytesIO(), self.pieces
        pieces.reverse()
        while pieces:
            whole.write(pieces.pop())
        self.pieces = [whole.getvalue()]  # this does not copy
        return self.pieces[0]


def take_strings_out(pieces: list[bytes]) -> tuple[bytes, dict[str, str]]:
    """Replace the long base64 strings in a JSON text by placeholders.

    Args:
        pieces: the text, cut anywhere. The list is emptied, so that the memory is freed along the way.

    Returns:
        The text with placeholders, and the strings by placeholder.
    """
    pieces.reverse()  # because popping from the end of a list is cheap
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
            text += string.encode()  # the string holds more than base64, so it stays in the text
        text += rest
    return bytes(text), strings


def _is_middle(piece: bytes) -> bool:
    return len(piece) >= _LEAST and not piece.translate(None, _BASE64)


def _opened_at(text: bytearray) -> int | None:
    """Return where the open string at the end of the text begins, or None if it is not pure base64."""
    at = text.rfind(b'"', max(len(text) - _LOOKED_BACK, 0))
    if at < 0 or bytes(text[at - 1 : at]) == b"\\" or not _START.fullmatch(text, at + 1):
        return None
    return at + 1


def _string(start: bytes, piece: bytes, pieces: list[bytes]) -> tuple[str, bytes]:
    """Return the base64 string that begins with these bytes, and the bytes after it.

    CPython extends a string in place if a single local variable refers to it, once the loop has been specialized. To
    limit the cost if it does not, the string is extended 64 times at most.
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
    """Return byte strings as text, and empty the list."""
    text = b"".join(group).decode()
    group.clear()
    return text


def put_strings_back(value: object, strings: dict[str, str]) -> Any:
    """Replace the placeholders in a decoded value by their strings. The value is changed in place."""
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
