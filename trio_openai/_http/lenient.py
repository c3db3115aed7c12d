"""Repair responses that the HTTP parser refuses although their meaning is clear, without I/O.

llhttp accepts most of what sloppy gateways send once its leniencies are on. Two things remain:

* A length that is given more than once with the same value, as two headers or as `5, 5`. RFC 9112, section 6.3, allows
  a client to take it as one. Lengths that differ stay an error.
* A chunked body whose lines end with LF alone. llhttp accepts these line ends in a head, but not after a chunk's size.

`ResponseParser` repairs a head after an error only, and the line ends of a body only if its first line needs it.
"""

from __future__ import annotations

import re

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"\s*HTTP/\d\.\d 1\d\d")
_LENGTH = re.compile(rb"^content-length:[ \t]*([^\r\n]*?)[ \t]*\r?(?:\n|$)", re.IGNORECASE | re.MULTILINE)
_LENGTH_NAME = re.compile(rb"^content-length", re.IGNORECASE | re.MULTILINE)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")


def split_head(data: bytes) -> tuple[bytes, bytes] | None:
    """Split off the head of the final response, and of the 1xx responses before it. None if it is not complete."""
    start = len(data) - len(data.lstrip(b"\r\n"))
    while (end := _HEAD_END.search(data, start)) is not None:
        if not _INTERIM.match(data, start):
            return data[: end.end()], data[end.end() :]
        start = end.end()
    return None


def repeats_length(data: bytes) -> bool:
    """Return whether a head, or what has arrived of it, gives its length more than once."""
    unfolded = _FOLD.sub(b" ", data)
    return len(_LENGTH_NAME.findall(unfolded)) > 1 or any(b"," in length for length in _LENGTH.findall(unfolded))


def with_one_length(head: bytes) -> bytes:
    """Return the head with one length if it repeats the same one, else unchanged."""
    unfolded = _FOLD.sub(b" ", head)
    values = {value.strip() for length in _LENGTH.findall(unfolded) for value in length.split(b",")}
    if len(values) != 1:
        return head
    lines = iter([b"content-length: " + values.pop() + b"\r\n"])
    return _LENGTH.sub(lambda _: next(lines, b""), unfolded)


class LineEnds:
    """Rewrite the lines of a chunked body to end with CRLF. The chunks themselves pass through unchanged."""

    def __init__(self) -> None:
        self._line: bytes = b""  # the beginning of a line whose end has not arrived
        self._left = 0  # bytes of the chunk that are still to come
        self._is_after_chunk = False
        self._in_trailer = False

    def fixed(self, data: bytes) -> bytes:
        """Return what to parse instead of these bytes."""
        out: list[bytes] = []
        while data:
            if self._left:
                chunk, data = data[: self._left], data[self._left :]
                self._left -= len(chunk)
                out.append(chunk)
                continue
            parts = data.partition(b"\n")
            self._line, data = self._line + parts[0], parts[2]
            if parts[1]:
                out.append(self._line.removesuffix(b"\r") + b"\r\n")
                self._end_line()
        return b"".join(out)

    def _end_line(self) -> None:
        line, self._line = self._line, b""
        if self._is_after_chunk:
            self._is_after_chunk = False
        elif not self._in_trailer and (size := _SIZE.match(line)):
            self._left = int(size[0], 16)
            self._is_after_chunk = self._left > 0
            self._in_trailer = self._left == 0
