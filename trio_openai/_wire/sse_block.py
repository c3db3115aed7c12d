"""One event of a server-sent stream, and the block of lines that it is made of.

Nearly every block is one line of data, and `sse.py` reads it without this file. `BlockInParts` interprets any other.
Its lines may come in several parts, and only what counts is held. `sse.py` explains the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from .json import decode_json
from .large import LARGE, GrowingBytes

COMMENT: Final = ord(":")
"""The first byte of a line that is a comment."""

_WORDS_KEPT = 64 * 1024  # bytes of lines that are not fields
_FIELD_COST = 150  # bytes that Python needs for each kept field; they count towards the limit of the event


@attrs.define
class ServerSentEvent:
    """One event of a stream.

    Attributes:
        data: the `data` lines, joined with LF. None if the block has none; only a parser with `extras` returns such
            blocks.
        event: the name of the event. It is "" if the stream did not name it; the standard then says "message".
        id: the last event id, from this event or an earlier one.
        retry: the reconnection time in milliseconds, if this event set one.
        fields: the lines that the standard ignores, as (name, value): unknown fields, and comments under the name "".
            None unless the parser has `extras`.
    """

    data: bytes | None
    event: str = ""
    id: str = ""
    retry: int | None = None
    fields: list[tuple[str, bytes]] | None = None

    @property
    def text(self) -> str:
        """The data as text. Invalid UTF-8 is replaced, as the standard demands."""
        return (self.data or b"").decode(errors="replace")

    def json(self) -> Any:
        """Decode the data as JSON.

        Raises:
            ValueError: the data are not JSON, for example `[DONE]`.
        """
        return decode_json(self.data or b"")


class BlockInParts:
    """A block whose lines are being interpreted.

    Attributes:
        event: the event so far, without its data.
        words: the lines that are neither fields of the standard nor comments, as they came.
        size: the bytes of the fragments so far, and the memory of their fields.
        has_fragments: whether the block came in fragments.
        is_blank: whether the block consists of comments only.
        pieces: the data of a large event as a list of byte strings, if the parser keeps them apart.
    """

    # These are class attributes because few blocks ever change them, and `__init__` runs for every block.
    words: bytearray | None = None
    size = 0
    has_fragments = False
    is_blank = True
    pieces: Sequence[bytes] = ()
    _large: GrowingBytes | None = None  # the data of the fragments so far
    _open: GrowingBytes | None = None  # the line that has not ended; it is `_large` if that is a line of data

    def __init__(self, last_id: str, *, extras: bool) -> None:
        self.event = ServerSentEvent(None, id=last_id)
        self._extras = extras
        self._data: list[bytes] = []

    def add_lines(self, lines: list[bytes]) -> None:
        """Interpret complete lines."""
        for line in lines:
            if not line or (line[0] == COMMENT and not self._extras):
                continue
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                self._data.append(value)
            else:
                self._field(name, value, line)

    def _field(self, name: bytes, value: bytes, line: bytes) -> None:
        """Interpret a field other than `data`."""
        event = self.event
        self.is_blank = self.is_blank and not name
        if name == b"event":
            event.event = value.decode(errors="replace")
        elif name == b"id":
            if b"\x00" not in value:
                event.id = value.decode(errors="replace")
        elif name == b"retry":
            if value.isdigit() and len(value) < 16:  # isdigit accepts ASCII only; int() refuses thousands of digits
                event.retry = int(value)
        else:
            self._unknown(name, value, line)

    def _unknown(self, name: bytes, value: bytes, line: bytes) -> None:
        if name:
            self.words = bytearray() if self.words is None else self.words
            if len(self.words) < _WORDS_KEPT:
                self.words += line[:_WORDS_KEPT] + b"\n"
        if self._extras:
            self.event.fields = self.event.fields or []
            self.event.fields.append((name.decode(errors="replace"), value))
            self.size += _FIELD_COST

    @property
    def is_open(self) -> bool:
        """True if the last line is incomplete."""
        return self._open is not None

    def add_fragment(self, lines: list[bytes], *, is_open: bool) -> None:
        """Interpret the lines of a fragment. If it `is_open`, its last line goes on in the next fragment."""
        if self._open is not None:
            self._go_on(lines.pop(0))
            if not lines and is_open:
                return
            self._close()
        rest = lines.pop() if is_open else b""
        self.add_lines(lines)
        if self._data:
            self._sink().write(b"\n".join(self._data))
            self._data = []
        if is_open:
            self._open = GrowingBytes()
            self._go_on(rest)

    def _go_on(self, more: bytes) -> None:
        """Append to the incomplete line. If it turns out to be `data`, write its value directly to the data."""
        line = self._open
        assert line is not None
        line.write(more)
        if line is not self._large and line.size < len(b"data: ") + len(more):
            start = line.joined()
            if len(start) >= len(b"data: ") and start.startswith(b"data:"):
                self._open = self._sink()
                self._open.write(start[5:].removeprefix(b" "))

    def _close(self) -> None:
        line, self._open = self._open, None
        if line is not None and line is not self._large:
            self.add_lines([line.joined()])

    def _sink(self) -> GrowingBytes:
        """Return the buffer for the next line of data."""
        if self._large is None:
            self._large = GrowingBytes()
        else:
            self._large.write(b"\n")
        return self._large

    def finished(self, *, keep_pieces: bool = False) -> ServerSentEvent:
        """Return the event of this block, which is complete. Its `data` is None if the block has no `data` line.

        Args:
            keep_pieces: leave the data of a large event in `pieces` instead of joining them. Its `data` is then empty.
        """
        self._close()
        data, large = self._data, self._large
        if large is not None:
            if data:
                large.write(b"\n" + b"\n".join(data))
            is_kept = keep_pieces and large.size >= LARGE
            self.pieces = large.pieces if is_kept else ()
            self.event.data = b"" if is_kept else large.joined()
        elif data:
            self.event.data = data[0] if len(data) == 1 else b"\n".join(data)
        self.is_blank = self.is_blank and self.event.data is None
        return self.event
