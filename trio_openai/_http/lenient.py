"""Repair responses that the HTTP parser refuses although their meaning is clear, without I/O.

llhttp accepts most of what sloppy gateways send once its lenient options are on. Two things remain:

* A length that is given more than once with the same value, as two headers or as `5, 5`. RFC 9112, section 6.3, lets a
  client treat it as one length. Different lengths stay an error.
* A chunked body whose lines end with LF alone. llhttp accepts such lines in a head, but not after the size of a chunk.

`ResponseParser` repairs a head only after llhttp has refused it, and rewrites the lines of a body only if its first
line ends with LF alone. So ordinary responses cost nothing extra.
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
    """Split off the head of the final response, together with any 1xx responses before it.

    Return the head and the rest, or None if the head is incomplete.
    """
    start = len(data) - len(data.lstrip(b"\r\n"))
    while (end := _HEAD_END.search(data, start)) is not None:
        if not _INTERIM.match(data, start):
            return data[: end.end()], data[end.end() :]
        start = end.end()
    return None


def repeats_length(data: bytes) -> bool:
    """Return whether a head, possibly incomplete, gives its length more than once."""
    unfolded = _FOLD.sub(b" ", data)
    return len(_LENGTH_NAME.findall(unfolded)) > 1 or any(b"," in length for length in _LENGTH.findall(unfolded))


def with_one_length(head: bytes) -> bytes:
    """Return the head with its length given once if it repeats the same length, otherwise unchanged."""
    unfolded = _FOLD.sub(b" ", head)
    values = {value.strip() for length in _LENGTH.findall(unfolded) for value in length.split(b",")}
    if len(values) != 1:
        return head
    lines = iter([b"content-length: " + values.pop() + b"\r\n"])
    return _LENGTH.sub(lambda _: next(lines, b""), unfolded)


class LineEnds:
    """A rewriter that ends the lines of a chunked body with CRLF and leaves the chunks themselves unchanged."""

    def __init__(self) -> None:
        self._line: bytes = b""  # the start of a line whose end has not arrived yet
        self._left = 0  # bytes of the current chunk that have not arrived yet
        self._is_after_chunk = False
        self._in_trailer = False

    def fixed(self, data: bytes) -> bytes:
        """Return the bytes to parse instead of these."""
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
        """Find out from a complete line how many bytes follow before the next line."""
        line, self._line = self._line, b""
        if self._is_after_chunk:
            self._is_after_chunk = False
        elif not self._in_trailer and (size := _SIZE.match(line)):
            self._left = int(size[0], 16)
            self._is_after_chunk = self._left > 0
            self._in_trailer = self._left == 0
