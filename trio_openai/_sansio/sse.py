"""Server-Sent Events, decoded by the WHATWG HTML standard, section "Interpreting an event stream".

Bytes go in by `receive_data`, events are pulled out by `next_event`, so the good events before a bad one are not lost
and nobody is called back.

Rules of the standard that are easy to get wrong: lines end with LF, CR or CRLF and nothing else (U+2028 and U+0085 are
text); one byte-order mark at the very start is dropped; one space after the colon is dropped; an event without a `data`
line is not dispatched; an `id` that holds a NULL is ignored and a good one stays for all later events; `retry` is ASCII
digits or ignored; an event that the end of the stream cuts off is dropped (`take_unfinished` hands it to those who know
better).

Strategy: events are blocks that end with an empty line. Line ends are made LF once a read, and only if there is a CR in
it; then the whole blocks of a read are found by one `split`, and a block that spans reads is kept as a list of pieces
and joined once. So every byte is looked at a fixed number of times however the input is cut. `data` stays bytes: the
JSON decoder checks the UTF-8.
"""

from __future__ import annotations

from typing import Any

import attrs

from trio_openai.errors import APIResponseValidationError

from .json import decode_json

DEFAULT_LIMIT = 16 * 1024 * 1024
"""Bytes that one event may have."""

_BOM = b"\xef\xbb\xbf"


@attrs.define
class ServerSentEvent:
    """One event.

    Attributes:
        data: the `data` lines, joined with LF, as they came; None for a block without any, which only a parser with
            `extras` hands out.
        event: the event's type; "" if the stream did not name one, which the standard takes as "message".
        id: the last event id, from this event or an earlier one.
        retry: the reconnection time in milliseconds that this event asked for.
        fields: what the standard ignores, as (name, value): comments under the name "", and unknown fields. Only from a
            parser with `extras`.
    """

    data: bytes | None
    event: str = ""
    id: str = ""
    retry: int | None = None
    fields: list[tuple[str, bytes]] | None = None

    @property
    def text(self) -> str:
        """The data as text; what is not UTF-8 is replaced, as the standard says."""
        return (self.data or b"").decode(errors="replace")

    def json(self) -> Any:
        """The data, decoded.

        Raises:
            ValueError: it is not JSON, such as `[DONE]`.
        """
        return decode_json(self.data or b"")


class SSEParser:
    """A pulled parser: `receive_data`, then `next_event` until it returns None.

    Args:
        limit: bytes that one event may have; more raises `APIResponseValidationError`, and nothing more is kept.
        extras: also hand out comments and unknown fields, and the blocks that hold nothing else, or only a `retry`.
    """

    def __init__(self, *, limit: int = DEFAULT_LIMIT, extras: bool = False) -> None:
        self._limit = limit
        self._extras = extras
        self._blocks: list[bytes] = []  # whole blocks, without the empty line that ended them
        self._at = 0  # those before this one have been pulled
        self._tail: list[bytes] = []  # the pieces of the block that has not ended yet
        self._tail_size = 0
        self._started = False  # whether the place of a byte-order mark is behind us
        self._skip_lf = False  # the last read ended with a CR: an LF at the start of the next belongs to it
        self._last_id = ""

    def receive_data(self, data: bytes) -> None:
        """Take bytes, cut anywhere. Never raises: an event over the limit is reported by `next_event`, in its turn."""
        if not self._started:
            data = self._without_bom(data)
        if self._skip_lf and data:
            data = data.removeprefix(b"\n")
            self._skip_lf = False
        if b"\r" in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if data and not self._over_limit():
            self._split(data)

    def next_event(self) -> ServerSentEvent | None:
        """The next event, or None if more bytes are needed.

        Raises:
            APIResponseValidationError: an event is over the limit. The events before it have been handed out; it and
                all after it are lost.
        """
        while self._at < len(self._blocks):
            block = self._blocks[self._at]
            self._at += 1
            if len(block) > self._limit:
                raise self._too_large()
            event = self._parse(block)
            if event is not None:
                return event
        if self._over_limit():
            raise self._too_large()
        return None

    def plain_data(self, most: int) -> list[bytes]:
        """The data of the next events, as far as each is a line of data and nothing else but its type.

        Nearly every event of a stream is such a one. To make an object of it, as `next_event` does, costs five times as
        much. It stays where it is until `skip`.
        """
        found: list[bytes] = []
        for block in self._blocks[self._at : self._at + most]:
            line, newline, rest = block.partition(b"\n")
            if newline and line[:7] == b"event: ":
                line, newline, _ = rest.partition(b"\n")
            if newline or line[:6] != b"data: " or len(block) > self._limit:
                break
            found.append(line[6:])
        return found

    def skip(self, events: int) -> None:
        """Leave out so many events, whose data have been taken by `plain_data`."""
        self._at += events
        if self._at == len(self._blocks):
            self._blocks, self._at = [], 0  # at once: a stream may now be silent for long

    @property
    def has_more(self) -> bool:
        """Whether `next_event` may have something to hand out, or to raise, without more bytes."""
        return self._at < len(self._blocks) or self._tail_size > self._limit

    def take_unfinished(self) -> ServerSentEvent | None:
        """At the end of the input: the event that lacks its empty line, or None if nothing but comments is left.

        By the standard it is dropped. Some servers end their stream without that line, so the reader looks at it; its
        `data` is None if no whole `data` line had come.
        """
        self._started = True
        lines = b"".join(self._tail).split(b"\n")
        self._tail, self._tail_size = [], 0
        if all(not line or line.startswith(b":") for line in lines):
            return None
        return self._parse(b"\n".join(lines)) or ServerSentEvent(None)

    def _without_bom(self, data: bytes) -> bytes:
        """Drop the byte-order mark; hold what may still become one."""
        data = b"".join(self._tail) + data
        self._tail, self._tail_size = [], 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._tail, self._tail_size = [data], len(data)
            return b""
        self._started = True
        return data.removeprefix(_BOM)

    def _split(self, data: bytes) -> None:
        """Cut the blocks off that end in this data; keep the rest for later."""
        del self._blocks[: self._at]
        self._at = 0
        if self._tail:
            ended = self._tail[-1].endswith(b"\n") and data.startswith(b"\n")
            end = 0 if ended else data.find(b"\n\n")
            if end < 0:
                self._keep(data)
                return
            self._tail.append(data[:end])
            self._blocks.append(b"".join(self._tail).removesuffix(b"\n" if ended else b""))
            self._tail, self._tail_size = [], 0
            data = data[end + (1 if ended else 2) :]
        self._blocks += data.split(b"\n\n")
        if rest := self._blocks.pop():
            self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        self._tail.append(piece)
        self._tail_size += len(piece)

    def _over_limit(self) -> bool:
        if self._tail_size == self._limit + 1 and self._tail:
            return not self._tail[-1].endswith(b"\n")  # the end of its last line is not part of an event
        return self._tail_size > self._limit

    def _too_large(self) -> APIResponseValidationError:
        self._tail = []  # its size stays, so that nothing more is kept
        self._tail_size = self._limit + 1
        self._blocks, self._at = [], 0
        return APIResponseValidationError(
            f"an event of the stream is larger than the limit of {self._limit} bytes; it was not kept"
        )

    def _parse(self, block: bytes) -> ServerSentEvent | None:
        """Interpret the lines of one block; None if there is nothing to dispatch."""
        event = ServerSentEvent(None)
        data: list[bytes] = []
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif line:
                self._field(event, name, value)
        event.id = self._last_id
        if data:
            event.data = b"\n".join(data)
        return event if data or event.fields or (self._extras and event.retry is not None) else None

    def _field(self, event: ServerSentEvent, name: bytes, value: bytes) -> None:
        """Any field but `data`."""
        if name == b"event":
            event.event = value.decode(errors="replace")
        elif name == b"id":
            if b"\x00" not in value:
                self._last_id = value.decode(errors="replace")
        elif name == b"retry":
            if value.isdigit() and len(value) < 16:  # bytes.isdigit is ASCII only; int() refuses thousands of digits
                event.retry = int(value)
        elif self._extras:
            event.fields = event.fields or []
            event.fields.append((name.decode(errors="replace"), value))
