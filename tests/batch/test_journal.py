"""The journal: whole lines, a repaired end, and what counts as done, for any bytes and any cut."""

from __future__ import annotations

import json
import sys
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_openai._batch.journal import PREFIX, Index, LineSplitter, Repair, id_of, read_line, repair
from trio_openai._batch.results import BatchResult, invalid_line
from trio_openai._batch.rows import BatchRow, BatchRowError, Defaults, digest_of, identity_of, parse_line, parse_object
from trio_openai._batch.table import DigestTable


def row_of(custom_id: str = "a", prompt: str = "x") -> BatchRow:
    row = parse_object({"custom_id": custom_id, "prompt": prompt}, 1, Defaults(model="m"))
    assert isinstance(row, BatchRow)
    return row


def line_of(result: BatchResult) -> bytes:
    return json.dumps(result.to_dict(), separators=(",", ":")).encode()


def done(row: BatchRow, **more: Any) -> bytes:
    return line_of(BatchResult(row=row, status=200, body={"x": "ü\n"}, **more))


FAILED = {"code": None, "message": "no", "type": "BadRequestError"}


@given(st.lists(st.binary(max_size=20)), st.data())
def test_lines_do_not_depend_on_where_the_file_was_split(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"\n".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    splitter = LineSplitter(1000)
    lines = [
        line
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)
        for line in splitter.receive_data(whole[start:end])
    ]
    *expected, rest = whole.split(b"\n")
    assert (lines, splitter.finish()) == (expected, rest)
    assert splitter.position == len(whole) - len(rest)


def test_of_a_line_that_is_too_long_only_the_beginning_is_kept() -> None:
    splitter = LineSplitter(4)
    assert splitter.receive_data(b"ab") == []
    for _ in range(1000):
        assert splitter.receive_data(b"cdefgh") == []
    assert splitter.receive_data(b"\nxy\nz") == [b"abcde", b"xy"]
    assert splitter.finish() == b"z"
    assert splitter.position == 2 + 6000 + 1 + 3


@given(st.integers(0, 400))
def test_a_file_cut_anywhere_is_repaired_to_whole_lines(cut: int) -> None:
    lines = [
        done(row_of()),
        line_of(invalid_line(BatchRowError(message="no", line=3, digest=bytes(16)))),
        done(row_of("b")),
    ]
    whole = b"".join(line + b"\n" for line in lines)[:cut]
    splitter = LineSplitter(1 << 20)
    kept = splitter.receive_data(whole)
    rest = splitter.finish()
    found = repair(rest)
    assert found is not None
    repaired = whole[: len(whole) - found.cut] + found.append
    assert repaired == b"".join(line + b"\n" for line in lines[: len(kept) + (found.append != b"")])


@pytest.mark.parametrize("rest", [b"\0\0\0", PREFIX, PREFIX[:3], PREFIX + b"req_12"])
def test_a_torn_line_is_cut_off(rest: bytes) -> None:
    assert repair(rest) == Repair(cut=len(rest))


@pytest.mark.parametrize("rest", [b"hello", b'{"prompt": "x"}', b'{"id": "other'])
def test_a_file_of_something_else_is_not_touched(rest: bytes) -> None:
    assert repair(rest) is None


@given(
    st.binary(max_size=40)
    | st.recursive(st.none() | st.text(max_size=4), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_any_bytes_are_a_line_of_ours_or_not(line: bytes) -> None:
    assert read_line(line) is None


def test_a_line_says_which_request_it_belongs_to() -> None:
    row = row_of("näme")
    written = read_line(done(row, replaces_failure=True))
    assert written is not None
    assert (written.digest, written.identity) == (row.digest, row.identity)
    assert (written.is_failure, written.replaces_failure, written.is_request) == (False, True, True)
    assert id_of(row.digest, is_request=True) == f"batch_req_{row.digest.hex()}"


def add(index: Index, line: bytes) -> None:
    written = read_line(line)
    assert written is not None
    index.add(written)


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_every_line_of_the_output_makes_one_line_of_the_input_done(output: list[str], given_lines: list[str]) -> None:
    index = Index()
    for name in output:
        add(index, done(row_of(name)))
    taken = [name for name in given_lines if index.take(row_of(name).identity)]
    assert sorted(taken) == sorted(
        name for which in "abc" for name in [which] * min(output.count(which), given_lines.count(which))
    )


def test_a_failure_counts_once_however_often_it_was_repeated() -> None:
    row = row_of()
    lines = [
        line_of(BatchResult(row=row, error=FAILED)),
        line_of(BatchResult(row=row, error=FAILED, replaces_failure=True)),
    ]
    for retry_failed, first in ((True, False), (False, True)):
        index = Index(retry_failed=retry_failed)
        for line in lines:
            add(index, line)
        assert [index.take(row.identity), index.take(row.identity)] == [first, None]


def test_a_line_that_is_not_a_request_is_never_sent_again() -> None:
    row = BatchRowError(message="no", line=3, digest=bytes(16))
    index = Index(retry_failed=True)
    add(index, line_of(invalid_line(row)))
    assert index.take(row.identity) is True


digests = st.binary(min_size=2, max_size=2).map(lambda start: start + bytes(14)) | st.binary(min_size=16, max_size=16)


@given(st.lists(st.tuples(digests, st.integers(0, 2**64 - 1))), digests)
def test_the_table_is_a_dictionary(entries: list[tuple[bytes, int]], other: bytes) -> None:
    table, expected = DigestTable(), dict[bytes, int]()
    for digest, number in entries:
        table.set(digest, number)
        expected[digest] = number
    assert len(table) == len(expected)
    assert all(table.get(digest) == number for digest, number in expected.items())
    assert table.get(other) == expected.get(other)


def test_the_table_ignores_a_hash_that_lies_across_two_entries() -> None:
    table = DigestTable()
    first = bytes(16)
    table.set(first, int.from_bytes(bytes(7) + b"\1", "little"))
    across = bytes(15) + b"\1"  # the last bytes of the entry above, read as a hash
    assert table.get(across) is None
    table.set(across, 5)
    assert (table.get(across), len(table)) == (5, 2)


@pytest.mark.promise(n=6)
def test_the_table_takes_less_than_fifty_bytes_for_each_line() -> None:
    table, lines = DigestTable(), 300_000
    for number in range(lines):
        table.set(blake2b(number.to_bytes(8), digest_size=16).digest(), number)
    assert len(table) == lines
    assert sum(map(sys.getsizeof, filter(None, table._parts))) / lines < 50


# The identity of a request.


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(max_size=5), max_size=5)
)
def test_the_hash_does_not_depend_on_the_order_of_members(body: dict[str, Any]) -> None:
    assert digest_of("/v1/x", body) == digest_of("/x", dict(reversed(body.items())))


def test_the_hash_never_changes_between_versions_and_machines() -> None:
    """Otherwise an update would send everything again."""
    digest = digest_of("/v1/chat/completions", {"model": "m", "temperature": 1e16, "messages": [{"content": "ü"}]})
    text = '["/chat/completions",{"messages":[{"content":"ü"}],"model":"m","temperature":1e+16}]'
    assert digest == blake2b(text.encode(), digest_size=16).digest()
    assert identity_of("a", digest) == blake2b(digest + b"\1a", digest_size=16).digest()
    assert identity_of(None, digest) != identity_of("", digest)


@given(st.binary(max_size=60))
def test_reading_a_line_never_raises(line: bytes) -> None:
    assert parse_line(line, 1, Defaults()) is None or True


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("custom_id", "id", "method", "url", "body", "prompt", "messages", "input", "system", "params", "model", "x")


@given(st.dictionaries(st.sampled_from(NAMES), json_values))
def test_any_object_is_a_request_or_an_error_with_its_line(line: dict[str, Any]) -> None:
    row = parse_object(line, 7, Defaults(model="m"))
    assert row.line == 7
    assert len(row.digest) == len(row.identity) == 16
    assert isinstance(row, BatchRow) or row.message
