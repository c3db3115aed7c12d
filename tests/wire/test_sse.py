"""The SSE decoder against the HTML standard, section "Interpreting an event stream", however the bytes are cut."""

from __future__ import annotations

import itertools
import re
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_openai._wire import sse
from trio_openai._wire.sse import DEFAULT_LIMIT, SSEParser
from trio_openai._wire.sse_block import ServerSentEvent
from trio_openai.errors import APIError, APIResponseValidationError

pytestmark = pytest.mark.promise(n=5)


class Seen(NamedTuple):
    """An event as a test writes it down."""

    data: str | None
    event: str = ""
    id: str = ""
    retry: int | None = None
    fields: tuple[tuple[str, str], ...] = ()


def seen(event: ServerSentEvent) -> Seen:
    data = None if event.data is None else event.data.decode(errors="replace")
    fields = tuple((name, value.decode(errors="replace")) for name, value in event.fields or ())
    return Seen(data, event.event, event.id, event.retry, fields)


def pulled(parser: SSEParser) -> ServerSentEvent | None:
    """Return the next event, if there is one."""
    for data, name in parser.next_events():
        return parser.event or ServerSentEvent(data, name, parser.last_id)
    return None


def pull(parser: SSEParser) -> Iterator[Seen]:
    while (event := pulled(parser)) is not None or parser.has_more:
        if event is not None:
            yield seen(event)


def decode(
    pieces: Iterable[bytes], *, extras: bool = False, limit: int = DEFAULT_LIMIT, into: list[Seen] | None = None
) -> list[Seen]:
    """Feed pieces, and pull after each of them."""
    parser = SSEParser(extras=extras, limit=limit)
    events = [] if into is None else into
    for piece in pieces:
        parser.receive_data(piece)
        events.extend(pull(parser))
    return events


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


def every_cut(stream: bytes) -> Iterator[list[bytes]]:
    """Yield the stream whole, byte by byte, in two pieces, and with empty pieces; a short one in any three too."""
    yield [stream]
    yield bytewise(stream)
    yield [b"", *(piece for byte in bytewise(stream) for piece in (byte, b""))]
    yield from ([stream[:at], stream[at:]] for at in range(1, len(stream)))
    if len(stream) <= 40:
        cuts = itertools.combinations(range(1, len(stream)), 2)
        yield from ([stream[:a], stream[a:b], stream[b:]] for a, b in cuts)


def reference(stream: bytes, *, extras: bool = False) -> list[Seen]:
    """Decode as the standard says, word by word: slowly, on the whole text, one line at a time."""
    text = stream.decode("utf-8", errors="replace")
    text = text.removeprefix("\ufeff")
    lines = re.split(r"\r\n|\r|\n", text)[:-1]  # what follows the last line end is no line
    events: list[Seen] = []
    data, kind, last_id = "", "", ""
    retry: int | None = None
    fields: list[tuple[str, str]] = []
    for line in lines:
        if line == "":
            if data != "" or fields:
                events.append(Seen(data[:-1] if data else None, kind, last_id, retry, tuple(fields)))
            data, kind, retry, fields = "", "", None, []
            continue
        name, colon, value = line.partition(":")
        if colon and value.startswith(" "):
            value = value[1:]
        if name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id":
            last_id = last_id if "\0" in value else value
        elif name == "retry":
            retry = int(value) if re.fullmatch("[0-9]+", value) else retry
        elif extras:
            fields.append((name, value))
    return events


CASES: dict[str, tuple[bytes, list[Seen]]] = {
    # The standard's own examples, in other words.
    "three lines of data are one event": (
        b"data: STOCK\ndata: +2\ndata: 10\n\n",
        [Seen("STOCK\n+2\n10")],
    ),
    "a comment, an id that stays, an id that is emptied, a space that is kept, and no blank line at the end": (
        b": a stream to test with\n\ndata: one\nid: 1\n\ndata: two\nid\n\ndata:  three\n\ndata: never",
        [Seen("one", id="1"), Seen("two"), Seen(" three")],
    ),
    "data without a colon is an empty line of data": (b"data\n\ndata\ndata\n\ndata:", [Seen(""), Seen("\n")]),
    "one space after the colon is dropped, so these two are the same": (
        b"data:same\n\ndata: same\n\n",
        [Seen("same"), Seen("same")],
    ),
    "named events": (
        b"event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
        [Seen("73857293", "add"), Seen("2153", "remove")],
    ),
    # Line ends.
    "LF": (b"data: a\n\ndata: b\n\n", [Seen("a"), Seen("b")]),
    "CR": (b"data: a\r\rdata: b\r\r", [Seen("a"), Seen("b")]),
    "CRLF": (b"data: a\r\n\r\ndata: b\r\n\r\n", [Seen("a"), Seen("b")]),
    "all of them mixed": (
        b"data: a\r\ndata: b\rdata: c\n\r\ndata: d\r\r\ndata: e\n\rdata: f\n\n",
        [Seen("a\nb\nc"), Seen("d"), Seen("e"), Seen("f")],
    ),
    "CR LF is one end, LF CR are two": (b"data: a\r\ndata: b\n\rdata: c\r\n\n", [Seen("a\nb"), Seen("c")]),
    "a CR at the very end": (b"data: a\n\r", [Seen("a")]),
    "a CR, and the stream stops before the LF that might follow": (b"data: a\r\n\r", [Seen("a")]),
    "many empty lines": (b"\n\n\n\ndata: a\n\n\n\n\r\r\r\n\ndata: b\n\n\n", [Seen("a"), Seen("b")]),
    "U+2028, U+2029, U+0085, VT, FF and FS are text": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(),
        [Seen("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg")],
    ),
    "a character of four bytes": ("data: 🦫 é\n\n".encode(), [Seen("🦫 é")]),
    "a NULL in the data is text": (b"data: a\0b\n\n", [Seen("a\0b")]),
    # The byte-order mark.
    "a byte-order mark is dropped": (b"\xef\xbb\xbfdata: a\n\n", [Seen("a")]),
    "only one byte-order mark is dropped": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [Seen("b")]),
    "a byte-order mark further on belongs to the field's name": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [Seen("a")]),
    "a byte-order mark in the data is text": (b"data: \xef\xbb\xbfa\n\n", [Seen("\ufeffa")]),
    "a byte-order mark and a line end": (b"\xef\xbb\xbf\r\ndata: a\n\n", [Seen("a")]),
    "half a byte-order mark is a name that nobody knows": (b"\xef\xbbdata: a\n\ndata: b\n\n", [Seen("b")]),
    # Fields.
    "no data, no event": (b"event: ping\n\nid: 7\n\nretry: 5\n\n: hello\n\n", []),
    "an event's name does not outlive its block": (b"event: ping\n\ndata: a\n\n", [Seen("a")]),
    "the last name counts": (b"event: a\nevent: b\ndata: x\n\n", [Seen("x", "b")]),
    "an id stays for all later events": (
        b"id: 7\ndata: a\n\ndata: b\n\nid: 8\n\ndata: c\n\n",
        [Seen("a", id="7"), Seen("b", id="7"), Seen("c", id="8")],
    ),
    "an id comes into force with the event, wherever it stands in it": (b"data: a\nid: 7\n\n", [Seen("a", id="7")]),
    "an id with a NULL is ignored": (
        b"id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n",
        [Seen("a", id="7"), Seen("b", id="7")],
    ),
    "an empty id resets it": (b"id: 7\ndata: a\n\nid:\ndata: b\n\n", [Seen("a", id="7"), Seen("b")]),
    "retry": (b"retry: 1500\ndata: a\n\n", [Seen("a", retry=1500)]),
    "retry is digits only": (
        b"".join(b"retry: %s\ndata: a\n\n" % v for v in (b"-1_0", b"1_0", b"+5", b"1.5", b"1e3", b" 5", b"5 ", b"")),
        [Seen("a")] * 8,
    ),
    "retry is ASCII digits only": ("retry: ٣\ndata: a\n\nretry: ²\ndata: b\n\n".encode(), [Seen("a"), Seen("b")]),
    "a bad retry does not undo a good one": (b"retry: 5\nretry: x\ndata: a\n\n", [Seen("a", retry=5)]),
    "a retry is told once": (b"retry: 5\ndata: a\n\ndata: b\n\n", [Seen("a", retry=5), Seen("b")]),
    "a retry of thousands of digits is no reason to fail": (
        b"retry: " + b"9" * 300 + b"\ndata: a\n\n",
        [Seen("a")],
    ),
    "names are case-sensitive and have no spaces": (b"Data: a\n data: b\ndata : c\ndata: d\n\n", [Seen("d")]),
    "only the first colon counts": (b"data: a: b:c\n\n", [Seen("a: b:c")]),
    "a colon and nothing": (b"data:\n\n", [Seen("")]),
    "a colon and a space and nothing": (b"data: \n\n", [Seen("")]),
    "a tab is not the space": (b"data:\ta\n\n", [Seen("\ta")]),
    "spaces at the end stay": (b"data: a  \n\n", [Seen("a  ")]),
    "comments between the lines of an event": (b"data: a\n: ping\ndata: b\n:\n\n", [Seen("a\nb")]),
    "unknown fields are passed over": (b"error: x\nfoo\n: c\ndata: a\n\n", [Seen("a")]),
    "empty lines of data are lines": (b"data: a\ndata\ndata:\ndata: \ndata: b\n\n", [Seen("a\n\n\n\nb")]),
    # The end.
    "nothing": (b"", []),
    "an event without its empty line is not dispatched": (b"data: a\n\ndata: b\n", [Seen("a")]),
    "nor is one without its line end": (b"data: a\n\ndata: b", [Seen("a")]),
}

EXTRAS: dict[str, tuple[bytes, list[Seen]]] = {
    "comments": (
        b": ping\n\n:\ndata: a\n:  two\n\n",
        [Seen(None, fields=(("", "ping"),)), Seen("a", fields=(("", ""), ("", " two")))],
    ),
    "llama.cpp's error field": (
        b'error: {"code":500}\n\n',
        [Seen(None, fields=(("error", '{"code":500}'),))],
    ),
    "a field without a colon": (b"foo\n\n", [Seen(None, fields=(("foo", ""),))]),
    "the name, the id and the retry of a block without data": (
        b"event: e\nid: 7\nretry: 5\nfoo: 1\n\ndata: a\n\n",
        [Seen(None, "e", "7", 5, (("foo", "1"),)), Seen("a", id="7")],
    ),
    "what the standard knows is nothing extra": (b"event: ping\n\nid: 7\n\n\n", []),
    "but a reconnection time alone would be lost": (b"id: 7\n\nretry: 5\n\n\n", [Seen(None, id="7", retry=5)]),
    "names that are not UTF-8": (b"\xff: a\n\n", [Seen(None, fields=(("\ufffd", "a"),))]),
}


@pytest.mark.parametrize(("stream", "expected"), CASES.values(), ids=CASES.keys())
def test_events_are_the_same_however_the_input_is_cut(stream: bytes, expected: list[Seen]) -> None:
    for pieces in every_cut(stream):
        assert decode(pieces) == expected, pieces


@pytest.mark.parametrize(("stream", "expected"), EXTRAS.values(), ids=EXTRAS.keys())
def test_extras_are_the_same_however_the_input_is_cut(stream: bytes, expected: list[Seen]) -> None:
    for pieces in every_cut(stream):
        assert decode(pieces, extras=True) == expected, pieces


@pytest.mark.parametrize("stream", [case[0] for case in CASES.values()], ids=CASES.keys())
def test_the_reference_parser_agrees_with_the_cases(stream: bytes) -> None:
    expected = [event._replace(retry=None) if (event.retry or 0) >= 10**15 else event for event in reference(stream)]
    assert decode([stream]) == expected


@pytest.mark.parametrize("stream", [case[0] for case in CASES.values()], ids=CASES.keys())
def test_extras_do_not_change_the_events(stream: bytes) -> None:
    with_extras = [event._replace(fields=()) for event in decode([stream], extras=True) if event.data is not None]
    assert with_extras == decode([stream])


# ----------------------------------------------------------------------------------------------------- any bytes at all

_syntax = st.sampled_from(b"data|event|id|retry|error|:|: | |\n|\r|\r\n|\n\n|\r\r|\0".split(b"|"))
_words = st.sampled_from("5|007|-1|x|{}|[DONE]|é🦫\u2028\x85|\ufeff".encode().split(b"|"))
_streams = st.lists(_syntax | _words | st.binary(max_size=3), max_size=40).map(b"".join)


@st.composite
def _cut_streams(draw: st.DrawFn) -> list[bytes]:
    stream = draw(_streams)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(_cut_streams(), st.booleans())
def test_any_bytes_give_the_same_events_however_they_are_cut(pieces: list[bytes], extras: bool) -> None:
    stream = b"".join(pieces)
    assert decode(pieces, extras=extras) == decode([stream], extras=extras) == decode(bytewise(stream), extras=extras)


@given(_streams, st.booleans())
def test_any_bytes_are_decoded_as_the_reference_parser_does(stream: bytes, extras: bool) -> None:
    assert decode([stream], extras=extras) == reference(stream, extras=extras)


@given(_cut_streams())
def test_events_do_not_depend_on_when_they_are_pulled(pieces: list[bytes]) -> None:
    parser = SSEParser()
    for piece in pieces:
        parser.receive_data(piece)
    assert list(pull(parser)) == decode(pieces)


@given(_cut_streams())
def test_an_unfinished_event_is_returned_once_and_never_raises(pieces: list[bytes]) -> None:
    parser = SSEParser(extras=True)
    for piece in pieces:
        parser.receive_data(piece)
    list(pull(parser))
    parser.take_unfinished()
    assert parser.take_unfinished() is None


@given(_cut_streams(), st.booleans(), st.integers(1, 12), st.integers(1, 3))
def test_fragments_and_small_work_steps_give_the_same_events(
    pieces: list[bytes], extras: bool, window: int, work: int
) -> None:
    stream = b"".join(pieces)
    whole, cut_off = decode([stream], extras=extras), unfinished([stream])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "_WINDOW", window)
        patch.setattr(sse, "WORK_AT_ONCE", work)
        for cut in (pieces, [stream], bytewise(stream)):
            assert decode(cut, extras=extras) == whole
            assert unfinished(cut) == cut_off


def unfinished(pieces: Iterable[bytes]) -> Seen | None:
    parser = SSEParser()
    for piece in pieces:
        parser.receive_data(piece)
        list(pull(parser))
    left = parser.take_unfinished()
    return left and seen(left)


# --------------------------------------------------------------------------------------------- what the end has cut off


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", None),
        (b"data: a\n\n", None),
        (b"data: a\n\n\n", None),
        (b"data: a\n\n: ping", None),
        (b"data: a\n\n: ping\n:", None),
        (b"data: a", Seen("a")),
        (b"data: a\n", Seen("a")),
        (b"data: a\r", Seen("a")),
        (b"data: a\ndata: b", Seen("a\nb")),
        (b"id: 7\nevent: e\ndata: a", Seen("a", "e", "7")),
        (b": c\ndata: a\n", Seen("a")),
        (b"event: e\n", Seen(None)),
        (b"da", Seen(None)),
        (b"\xef\xbb\xbfdata: a", Seen("a")),
        (b"\xef\xbb", Seen(None)),
    ],
)
def test_take_unfinished_returns_the_event_that_the_end_cut_off(stream: bytes, expected: Seen | None) -> None:
    for pieces in every_cut(stream):
        parser = SSEParser()
        for piece in pieces:
            parser.receive_data(piece)
        list(pull(parser))
        left = parser.take_unfinished()
        assert (left and seen(left)) == expected, pieces


# ------------------------------------------------------------------------------------------------ the limit, and memory


def test_the_limit_is_128_mib_unless_set() -> None:
    assert DEFAULT_LIMIT == 128 * 2**20


def test_an_event_as_large_as_the_limit_is_an_event_however_it_is_cut() -> None:
    for pieces in every_cut(b"data: 1234\n\ndata: 6789\r\n\r\n"):
        assert decode(pieces, limit=10) == [Seen("1234"), Seen("6789")], pieces


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n\ndata: c\n\n"], ids=repr)
def test_one_byte_more_raises_after_the_good_events_however_it_is_cut(end: bytes) -> None:
    for pieces in every_cut(b"data: a\n\ndata: b\n\ndata: 12345" + end):
        events: list[Seen] = []
        with pytest.raises(APIResponseValidationError, match="limit of 10 bytes"):
            decode(pieces, limit=10, into=events)
        assert events == [Seen("a"), Seen("b")], pieces


def test_over_the_limit_the_events_before_come_first_also_if_pulled_late() -> None:
    parser = SSEParser(limit=10)
    parser.receive_data(b"data: a\n\ndata: b\n\n" + b"x" * 11)
    assert [pulled(parser), pulled(parser)] == [ServerSentEvent(b"a"), ServerSentEvent(b"b")]
    with pytest.raises(APIResponseValidationError):
        pulled(parser)


def test_the_parser_keeps_raising_after_the_limit() -> None:
    parser = SSEParser(limit=10)
    parser.receive_data(b"data: " + b"x" * 20)
    for more in (b"", b"\n\n", b"data: a\n\n"):
        parser.receive_data(more)
        with pytest.raises(APIResponseValidationError):
            pulled(parser)


def test_many_lines_count_as_one_event() -> None:
    with pytest.raises(APIResponseValidationError):
        decode([b": ping\n"] * 20, limit=100)


def test_the_limit_is_of_one_event_not_of_the_stream() -> None:
    assert decode([b"data: 1234\n\n" * 1000], limit=10) == [Seen("1234")] * 1000
    assert decode([b"data: 1234\n\n"] * 1000, limit=10) == [Seen("1234")] * 1000


def test_receive_data_never_raises() -> None:
    parser = SSEParser(limit=1)
    for _ in range(10):
        parser.receive_data(b"data: much too long\n\n")
    with pytest.raises(APIError):
        pulled(parser)


def test_no_bytes_are_kept_after_the_limit() -> None:
    parser = SSEParser(limit=64 * 1024)
    tracemalloc.start()
    try:
        for number in range(2000):  # 32 MiB
            parser.receive_data(bytes([97 + number % 26]) * 16 * 1024)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 256 * 1024


@pytest.mark.promise(n=6)
def test_an_event_that_was_handed_out_is_not_kept() -> None:
    parser = SSEParser()
    tracemalloc.start()
    try:
        for number in range(500):  # 32 MiB
            parser.receive_data(b"data: " + bytes([97 + number % 26]) * 64 * 1024 + b"\n\n")
            assert len(list(pull(parser))) == 1
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 256 * 1024


@pytest.mark.promise(n=8)
def test_a_long_line_in_small_pieces_is_not_quadratic() -> None:
    """Check the work: `buffer += data; buffer.find(...)` would look at 32 GiB here, which nobody could miss."""
    piece = b"x" * 1024
    assert decode([b"data: ", *[piece] * 8192, b"\n\n"]) == [Seen("x" * 8 * 2**20)]


@pytest.mark.promise(n=8)
def test_many_lines_in_small_pieces_are_not_quadratic() -> None:
    events = decode([*[b"data: " + b"x" * 1000 + b"\r\n"] * 8192, b"\r\n"])
    assert [len(event.data or "") for event in events] == [8192 * 1001 - 1]


FLOODS: dict[str, bytes] = {
    "blank lines": b"\n",
    "blank lines that end with CRLF": b"\r\n",
    "empty comments": b":\n\n",
    "comments of one block": b": k\n",
    "unknown fields": b"x: 1\n\n",
    "unknown fields of one block": b"x\n",
    "names, ids and times of one block": b"event: e\nid: 1\nretry: 1\n",
    "ids": b"id: 1\n\n",
}


@pytest.mark.promise(n=7)
@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS.keys())
@pytest.mark.parametrize("extras", [False, True])
def test_a_call_looks_at_a_bounded_number_of_blocks_and_lines(unit: bytes, extras: bool) -> None:
    """Count the calls that one megabyte takes: each may look at `WORK_AT_ONCE` lines, or at more empty ones."""
    parser, size = SSEParser(extras=extras, words=True), 2**20
    parser.receive_data(unit * (size // len(unit)) + b"\ndata: end\n\n")
    calls, last = 0, None
    while parser.has_more:
        last = pulled(parser) or last
        calls += 1
    assert last is not None
    assert last.data == b"end"
    lines = (size // len(unit)) * unit.count(b"\n")
    assert calls >= lines / (20 * sse.WORK_AT_ONCE)


@pytest.mark.promise(n=6)
@pytest.mark.parametrize("unit", FLOODS.values(), ids=FLOODS.keys())
def test_blocks_without_events_take_no_memory_beyond_their_bytes(unit: bytes) -> None:
    parser, size = SSEParser(words=True), 512 * 1024
    flood = unit * (size // len(unit))
    tracemalloc.start()
    try:
        parser.receive_data(flood)
        while parser.has_more:
            pulled(parser)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 768 * 1024  # for the small objects that a window of 64 KiB becomes, however much follows


def test_kept_fields_count_with_the_memory_they_need() -> None:
    """Count a small field as fifty times its size, so that a block of them reaches the limit earlier."""
    with pytest.raises(APIResponseValidationError, match="max_event_bytes"):
        decode([b"x\n" * 2**20], extras=True, limit=32 * 2**20)
    assert decode([b"x\n" * 2**20 + b"data: a\n\n"], limit=32 * 2**20) == [Seen("a")]


@pytest.mark.parametrize("size", [16 * 1024, 64 * 1024, 20 * 2**20])
@pytest.mark.parametrize("lines", [1, 1000])
def test_a_large_event_is_held_in_less_than_twice_its_memory(size: int, lines: int) -> None:
    total = 20 * 2**20
    line = b"data: " + b"x" * (total // lines) + b"\n"
    parser = SSEParser()
    events: list[ServerSentEvent] = []
    tracemalloc.start()
    try:
        for _ in range(lines):
            for at in range(0, len(line), size):
                parser.receive_data(line[at : at + size])
                while parser.has_more:
                    pulled(parser)
        parser.receive_data(b"\n")
        while parser.has_more:
            events += filter(None, [pulled(parser)])
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(event.data or b"") for event in events] == [(total // lines) * lines + lines - 1]
    assert peak - (size if size >= total else 0) < 1.5 * total  # without what the test itself holds
    assert held < 1.1 * total
