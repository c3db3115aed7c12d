"""A parser for Server-Sent Events, following the WHATWG HTML standard, section "Interpreting an event stream".

The parser is pulled, like h11. `receive_data` takes bytes and never raises; `next_events` returns the events. So the
good events before a bad one are not lost.

Rules of the standard that are easy to get wrong:

* A line ends with LF, CR or CRLF, and with nothing else. U+2028 and U+0085 are text.
* One byte-order mark at the very start is dropped, and one space after the colon of a field.
* A block without a `data` line is not an event.
* An `id` stays valid for all later events, but one with a NULL in it is ignored. So is a `retry` that is not ASCII
  digits.
* An event that the end of the input cuts off is dropped. `take_unfinished` returns it for readers that know better.

A stream is a sequence of blocks, which end with an empty line. All blocks go through one queue:

1. `receive_data` replaces all line ends by LF and splits what came into blocks with one `split`. The last, incomplete
   block is kept as a list of byte strings (`_tail`) and joined once, when its end arrives.
2. A block over 64 KiB is queued in fragments. Their lines are interpreted as they come. So the data of a large event is
   held once, and comments and unknown fields are not held at all.
3. `next_events` takes blocks out of the queue. Nearly all of them are one line of data, which needs no state machine.

Every byte is looked at a fixed number of times, however the input was cut. The calls of `next_events` up to one that
returns nothing look at `WORK_AT_ONCE` lines at most. If `has_more` is true then, let other tasks run and call again.
`data` stays bytes, because the JSON decoder checks the UTF-8 anyway. `decoder.py` uses this parser.
"""

from __future__ import annotations

import functools
from typing import Final

from trio_openai.errors import APIResponseValidationError

from .sse_block import COMMENT, BlockInParts, ServerSentEvent

DEFAULT_LIMIT = 128 * 1024 * 1024
"""The default limit for the size of one event, in bytes."""

WORK_AT_ONCE: Final = 400
"""Blocks or lines to look at before other tasks may run: half a millisecond in the worst case."""

_BOM = b"\xef\xbb\xbf"
_WINDOW = 64 * 1024  # bytes to split into blocks at once; larger blocks are queued in fragments


@functools.lru_cache(32)
def _name(line: bytes) -> str:
    """Return the name in a line `event: name`. A stream repeats few names, so looking them up is faster."""
    return line[7:].decode(errors="replace")


class _Fragment(bytes):
    """The beginning or middle of a large block, whose rest is the next item of the queue. It may end inside a line."""


Block = tuple[bytes | None, str]
"""The data and the type of an event, which is all that most readers need: a whole `ServerSentEvent` costs much more."""


def _alike(data: bytes) -> list[Block] | None:
    """Return the events in complete blocks, last one first, if each is a line of data and all have the same name.

    The blocks of one read nearly always are. One `split` then does the work: 0.2 µs for an event instead of 0.5.
    """
    name, lines, start = "", 2, b"data: "
    if data[:7] == b"event: ":
        line = data[: data.find(b"\n")]
        name, lines, start = _name(line), 3, line + b"\ndata: "
    if not data.startswith(start):
        return None
    texts = data.split(b"\n\n" + start)
    if data.count(b"\n") != lines * len(texts):
        return None
    texts[0] = texts[0][len(start) :]
    texts[-1] = texts[-1][:-2]
    texts.reverse()
    return [(text, name) for text in texts]


class SSEParser:
    """A pulled parser: call `receive_data`, then `next_events` until it returns nothing and `has_more` is false.

    Args:
        limit: the largest size of an event in bytes. A larger one raises `APIResponseValidationError`, and nothing
            that follows is kept.
        extras: also return comments and unknown fields, and blocks that consist of these or of a `retry` only.
        words: also return blocks without data that have lines which are not fields, for their `words`.
        pieces: return the data of an event over one megabyte in `pieces`, with `b""` as its `data`.

    Attributes:
        event: the event that was returned last, if it came alone; else None.
        last_id: the last event id of the stream so far.
        words: the lines of the last block that are not fields, as they came, up to about 64 KiB.
        pieces: the data of the last event, if it is large. The reader empties this list, to save memory.
    """

    def __init__(
        self, *, limit: int = DEFAULT_LIMIT, extras: bool = False, words: bool = False, pieces: bool = False
    ) -> None:
        self._work = WORK_AT_ONCE  # blocks or lines that may be looked at before `next_events` returns nothing
        self.event: ServerSentEvent | None = None
        self.words = b""
        self.pieces: list[bytes] = []
        self._keep_pieces = pieces
        self._limit = limit
        self._extras = extras
        self._hands_out_words = words
        self._waiting: list[bytes] = []  # bytes that have not been split into blocks,
        self._waiting_at = 0  # the first of them from here on
        self._blocks: list[bytes] = []  # complete blocks without the empty line at their end, and fragments
        self._at = 0  # the blocks before this one have been pulled
        self._usual: list[Block] | None = None  # events that come before the blocks; the next one is at the end
        self._block: BlockInParts | None = None  # a block that takes more than one call to interpret
        self._large = 0  # the number of blocks in the queue that have fragments
        self._tail: list[bytes] = []  # the incomplete block
        self._tail_size = 0  # its size in bytes, including
        self._fragmented = 0  # its fragments, which are in the queue already
        self._started = False  # whether the position of a byte-order mark has been passed
        self._skip_lf = False  # the last read ended with CR, so an LF at the start of the next belongs to it
        self.last_id = ""

    def receive_data(self, data: bytes) -> None:
        """Take bytes, cut anywhere. Never raises: `next_events` reports an event over the limit, in its turn."""
        if self._waiting or len(data) > _WINDOW:
            self._waiting.extend((data,) if data else ())
            return
        if not self._started:
            data = self._without_bom(data)
        if self._skip_lf and data:
            data = data.removeprefix(b"\n")
            self._skip_lf = False
        if b"\r" in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if data and (self._tail_size <= self._limit or not self._over_limit()):
            self._split(data)

    def single(self, data: bytes) -> Block | None:
        """Take bytes that are exactly one event of the usual form, and return it. Otherwise take nothing.

        A live model's events come alone. With the queue, splitting one costs 1.2 µs, and 0.4 here. To be called only if
        `has_more` is false.
        """
        if self._tail_size or self._skip_lf or self._block is not None or self._extras or not self._started:
            return None
        name, (line, _, rest) = "", data.partition(b"\n")
        if line[:7] == b"event: ":
            name = _name(line)
            line, _, rest = rest.partition(b"\n")
        if rest != b"\n" or line[:6] != b"data: " or b"\r" in data or len(data) > _WINDOW or len(data) > self._limit:
            return None
        self.event = None
        return line[6:], name

    def receive_end(self) -> None:
        """Take the end of the input. Call `next_events` until it is done before `take_unfinished`."""
        if self._waiting:
            self._waiting.append(b"")
        elif self._tail and not self._over_limit():
            self._started = True
            self._queue_fragment(b"".join(self._tail).removesuffix(b"\n"))
            self._tail, self._tail_size, self._fragmented = [], 0, 0

    def next_events(self, most: int = 1) -> list[Block]:
        """Return the next events, `most` of them at the most, or an empty list if there is none yet.

        Nearly every event of a stream is a single line of data, at most with a name before it. Such events come
        together, as pairs of data and type, which makes each several times cheaper. Any other event comes alone, and
        then `event` has all of it, and `words` and `pieces` describe it.

        Raises:
            APIResponseValidationError: an event is over the limit. The events before it have been returned.
        """
        if self._usual is not None or (not self._blocks and not self._waiting and self._tail_size <= self._limit):
            return self._take_usual(most)
        events: list[Block] = []
        at, limit = self._at, self._limit
        if self._large or self._extras or self._block is not None:
            most = 0
        for block in self._blocks[at : at + most]:
            line, newline, rest = block.partition(b"\n")
            name = ""
            if newline and line[:7] == b"event: ":
                name = _name(line)
                line, newline, _ = rest.partition(b"\n")
            if newline or line[:6] != b"data: " or len(block) > limit:
                break
            events.append((line[6:], name))
        if events:
            self._at = at = at + len(events)
            if at == len(self._blocks):
                self._blocks, self._at = [], 0  # at once: the stream may now be silent for long
            self.event = None
        elif self.has_more and (event := self._next_event()) is not None:
            self.event = event
            events.append((event.data, event.event))
        else:
            return self._take_usual()
        return events

    def _take_usual(self, most: int = 1) -> list[Block]:
        if self._usual is None:
            return []
        events = self._usual[: -most - 1 : -1]
        del self._usual[-most:]
        self._usual, self.event = self._usual or None, None
        return events

    def _next_event(self) -> ServerSentEvent | None:
        """Return the next event of any kind, as far as there is work left."""
        while self._work > 0 and self._usual is None:
            if self._at < len(self._blocks):
                item = self._blocks[self._at]
                if (not item or item[0] == COMMENT) and self._skip_nothing():
                    continue
                if (event := self._interpret(item)) is not None:
                    return event
            elif self._waiting:
                self._cut_next()
            elif self._over_limit():
                raise self._too_large()
            else:
                break
        self._work = WORK_AT_ONCE
        return None

    @property
    def has_more(self) -> bool:
        """True if `next_events` may return or raise something without more bytes."""
        return (
            self._at < len(self._blocks)
            or self._usual is not None
            or (self._tail_size > self._limit and self._over_limit())
            or bool(self._waiting)
        )

    def take_unfinished(self) -> ServerSentEvent | None:
        """Return the last event if the input ended before its empty line, or None if only comments are left.

        The standard drops such an event. Some servers never send the last empty line, so the decoder looks at it. Its
        `data` is None if no complete `data` line came.
        """
        self.receive_end()
        while self.has_more:
            self.next_events()
        block, self._block, self._large = self._block, None, 0
        if block is None:
            return None
        event = self._dispatched(block)
        return None if block.is_blank else event or ServerSentEvent(None)

    def _cut_next(self) -> None:
        """Split the next waiting bytes into blocks."""
        data, at = self._waiting[0], self._waiting_at
        self._waiting_at = at + _WINDOW
        if self._waiting_at >= len(data):
            self._waiting.pop(0)
            self._waiting_at = 0
        self._work -= 1
        waiting, self._waiting = self._waiting, []  # so that these bytes do not wait again
        if data:
            self.receive_data(data[at : at + _WINDOW])
        else:
            self.receive_end()
        self._waiting = waiting

    def _without_bom(self, data: bytes) -> bytes:
        """Drop the byte-order mark. Hold back bytes that may still become one."""
        data = b"".join(self._tail) + data
        self._tail, self._tail_size = [], 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._tail, self._tail_size = [data], len(data)
            return b""
        self._started = True
        return data.removeprefix(_BOM)

    def _split(self, data: bytes) -> None:
        """Queue the blocks that end in this data, and keep the rest for later."""
        del self._blocks[: self._at]
        self._at = 0
        if self._tail_size:
            ended = bool(self._tail) and self._tail[-1].endswith(b"\n") and data.startswith(b"\n")
            end = 0 if ended else data.find(b"\n\n")
            if end < 0:
                self._keep(data)
                return
            if not self._fragmented:
                data = b"".join((*self._tail, data))  # at most twice `_WINDOW`
            else:
                self._tail.append(data[:end])
                self._blocks.append(b"".join(self._tail).removesuffix(b"\n" if ended else b""))
                data = data[end + (1 if ended else 2) :]
            self._tail, self._tail_size, self._fragmented = [], 0, 0
        if not (self._blocks or self._usual or self._extras or self._block):
            data = self._take_alike(data)
        self._blocks += data.split(b"\n\n")
        if rest := self._blocks.pop():
            self._keep(rest)

    def _take_alike(self, data: bytes) -> bytes:
        """Take the events of the blocks that end in this data, if they look alike. Return the rest."""
        at = 0 if data[:6] == b"data: " else data.find(b"\n") + 1  # the line after the name
        if not 0 <= data.find(b"\n", at) < len(data) - 2:
            return data  # not even one, or one alone
        end = data.rfind(b"\n\n") + 2
        if end <= self._limit:
            self._usual = _alike(data if end == len(data) else data[:end])
        return data if self._usual is None else data[end:]

    def _keep(self, piece: bytes) -> None:
        self._tail.append(piece)
        self._tail_size += len(piece)
        if self._tail_size - self._fragmented > _WINDOW and not self._over_limit():
            part = b"".join(self._tail)
            self._tail = [b"\n"] if part.endswith(b"\n") else []  # together with the next byte it may end the block
            self._queue_fragment(part.removesuffix(b"\n"))

    def _queue_fragment(self, part: bytes) -> None:
        self._large += not self._fragmented
        self._fragmented += len(part)
        self._blocks.append(_Fragment(part))

    def _over_limit(self) -> bool:
        if self._tail_size == self._limit + 1 and self._tail:
            return not self._tail[-1].endswith(b"\n")  # the line end itself is not part of the event
        return self._tail_size > self._limit

    def _too_large(self) -> APIResponseValidationError:
        self._tail, self._block, self._large = [], None, 0  # its size stays over the limit: nothing more is kept
        self._tail_size = self._limit + 1
        self._blocks, self._at = [], 0
        self._waiting.clear()
        self._waiting_at = 0
        return APIResponseValidationError(
            f"an event of the stream is larger than the limit of {self._limit} bytes and was dropped; "
            "TrioOpenAI(max_event_bytes=...) sets the limit"
        )

    def _skip_nothing(self) -> bool:
        """Skip blocks that are empty or a single comment. Return whether there were any."""
        if self._block is not None or self._large:
            return False
        blocks, at = self._blocks, self._at
        end = min(len(blocks), at + 8 * self._work)
        comment = 0 if self._extras else COMMENT
        while at < end and (not (block := blocks[at]) or (block[0] == comment and b"\n" not in block)):
            if len(block) > self._limit:
                break
            at += 1
        skipped, self._at = at - self._at, at
        self._work -= (skipped + 7) // 8
        return skipped > 0

    def _interpret(self, item: bytes) -> ServerSentEvent | None:
        """Interpret the next block or fragment, or as many of its lines as the remaining work allows."""
        block = self._block
        is_fragment = type(item) is _Fragment
        if block is None:
            block = BlockInParts(self.last_id, extras=self._extras)
        if block.size + len(item) > self._limit:
            raise self._too_large()
        lines = item.split(b"\n", self._work)
        rest = lines.pop() if len(lines) > self._work else None
        self._work -= len(lines)
        if is_fragment or block.is_open:
            block.add_fragment(lines, is_open=is_fragment and rest is None)
            block.has_fragments = True
        else:
            block.add_lines(lines)
        if rest is not None:
            block.size += len(item) - len(rest)
            self._block, self._blocks[self._at] = block, _Fragment(rest) if is_fragment else rest
            return None
        self._blocks[self._at] = b""  # free it now, because it may be large
        self._at += 1
        if is_fragment:
            block.size += len(item)
            self._block = block
            return None
        if block is self._block:
            self._block = None
            self._large -= block.has_fragments
        return self._dispatched(block)

    def _dispatched(self, block: BlockInParts) -> ServerSentEvent | None:
        """Return the event of a complete block, or None if the block holds nothing that this parser returns."""
        event = block.finished(keep_pieces=self._keep_pieces)
        self.last_id = event.id
        self.pieces = list(block.pieces)
        self.words = b"" if block.words is None else bytes(block.words)
        if event.data is not None or (self._hands_out_words and self.words):
            return event
        return event if event.fields or (self._extras and event.retry is not None) else None
