"""Files of a batch job: compressed and endless input, full disks, and outputs that cannot be written."""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import trio
from batch_helpers import ListSink, ListSource, echoing, prompts, read_lines, write_lines

from trio_openai import BatchJobError, batch
from trio_openai._batch.rows import digest_of
from trio_openai.testing import Reply


async def done(client: Any, source: Any, sink: Any, **options: Any) -> Any:
    async with batch.run(source, sink, clients=client, **{"model": "m", **options}) as job:
        return await job.wait()


async def test_compressed_input_is_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, prompts(*map(str, range(50))))).encode()))
    sink = ListSink()
    async with echoing() as (client, _):
        statistics = await done(client, path, sink, params={"stream": None}, limit=0)
        assert (statistics.read, statistics.bytes_total) == (1, path.stat().st_size)
        async with batch.run(path, sink, clients=client, model="m", dry_run=True) as job:
            assert (await job.wait()).would_send == 50


@pytest.mark.parametrize("damage", ["cut", "garbage"])
async def test_damaged_compressed_input_is_an_error_of_ours(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "in.jsonl.gz"
    whole = gzip.compress(
        b"".join(b'{"prompt": "p %s"}\n' % digest_of("/", {"n": n}).hex().encode() for n in range(500))
    )
    path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"garbage")
    async with echoing() as (client, _):
        with pytest.raises(BatchJobError, match=r"in\.jsonl\.gz cannot be"):
            await done(client, path, ListSink())


async def test_input_that_does_not_exist_is_an_error_of_ours(tmp_path: Path) -> None:
    async with echoing() as (client, _):
        with pytest.raises(BatchJobError, match="cannot be read: No such file"):
            await done(client, tmp_path / "missing.jsonl", tmp_path / "out.jsonl")


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[bytes]]:
    """Make the standard input a pipe, and return its other end."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as end, os.fdopen(writing, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stdin", type("", (), {"buffer": end}))
        yield pipe
        pipe.write(b"\n")  # lets an abandoned thread end


async def test_the_standard_input_is_read_lazily_and_a_stop_does_not_wait_for_it(stdin: IO[bytes]) -> None:
    sink = ListSink()
    async with echoing() as (client, _), batch.run("-", sink, clients=client, model="m") as job:
        stdin.write(b'{"prompt": "first"}\n{"pro')
        while not sink.lines:
            await trio.sleep(0.001)
        job.stop()
        with trio.fail_after(5):
            assert (await job.wait()).done == 1


async def test_a_full_disk_ends_the_job_and_loses_nothing(tmp_path: Path) -> None:
    out, source = tmp_path / "out.jsonl", prompts(*(f"p {number}" for number in range(40)))
    async with echoing() as (client, server):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
        try:
            with pytest.raises(BatchJobError, match="cannot be written: File too large") as caught:
                await done(client, ListSource(source), out, max_concurrent=4)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        written = read_lines(out)  # whole lines only
        assert out.read_bytes().endswith(b"\n")
        assert 0 < len(written) < 40
        # Every answer that was paid for is in the file, or in the error.
        assert len(written) + len(caught.value.unsaved) == len(server.requests)
        statistics = await done(client, ListSource(source), out)
        assert statistics.skipped == len(written)
    assert sorted(line["custom_id"] for line in read_lines(out)) == sorted(line["custom_id"] for line in source)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
async def test_a_device_that_is_always_full_is_an_error_of_ours() -> None:
    async with echoing() as (client, _):
        with pytest.raises(BatchJobError, match=r"the output /dev/full cannot be written: No space left") as caught:
            await done(client, ListSource(prompts("a")), "/dev/full")
    assert [line["custom_id"] for line in caught.value.unsaved] == ["a"]
    assert "1 answers could not be saved" in str(caught.value)


async def test_answers_are_saved_if_there_is_room_again_before_the_job_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = os.write, 1

    def write(fd: int, data: Any) -> int:
        nonlocal failures
        if failures and bytes(data).startswith(b'{"id":"batch_'):
            failures -= 1
            real(fd, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data)

    out = tmp_path / "out.jsonl"
    monkeypatch.setattr(os, "write", write)
    async with echoing() as (client, _):
        with pytest.raises(BatchJobError, match="No space left") as caught:
            await done(client, ListSource(prompts("a")), out)
    assert caught.value.unsaved == ()
    assert [line["custom_id"] for line in read_lines(out)] == ["a"]


async def test_output_that_cannot_be_opened_is_an_error_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with echoing() as (client, server):
        with pytest.raises(BatchJobError, match="cannot be written: Is a directory"):
            await done(client, ListSource(prompts("a")), tmp_path)
        with pytest.raises(BatchJobError, match="cannot be written: No such file or directory"):
            await done(client, ListSource(prompts("a")), tmp_path / "missing" / "out.jsonl")

        def read_only(*_: object) -> int:  # root may write everywhere
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(os, "open", read_only)
        with pytest.raises(BatchJobError, match="cannot be written: Read-only file system"):
            await done(client, ListSource(prompts("a")), tmp_path / "out.jsonl")
    assert not server.requests


@pytest.mark.parametrize("content", [b'{"prompt": "mine"}\n', b"some text", b'{"id": "x"}\n{"id":"batch_req_'])
async def test_a_file_of_something_else_is_never_changed(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "out.jsonl"
    out.write_bytes(content)
    async with echoing() as (client, server):
        with pytest.raises(BatchJobError, match="is not the output of a batch job: line 1"):
            await done(client, ListSource(prompts("a")), out)
    assert (out.read_bytes(), server.requests) == (content, [])


async def test_two_jobs_cannot_write_the_same_file(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    async with (
        echoing() as (client, _),
        batch.run(ListSource(prompts("0.2")), out, clients=client, model="m") as job,
    ):
        await trio.sleep(0.05)
        with pytest.raises(BatchJobError, match="being written by another job"):
            await done(client, ListSource(prompts("b")), out)
        await job.wait()
        assert (await done(client, ListSource(prompts("b")), out)).done == 1


async def test_a_torn_last_line_is_repaired(tmp_path: Path) -> None:
    out, source = tmp_path / "out.jsonl", prompts("a", "b", "c")
    async with echoing() as (client, server):
        await done(client, write_lines(tmp_path / "in.jsonl", source), out)
        out.write_bytes(out.read_bytes()[:-20])
        statistics = await done(client, ListSource(source), out)
        assert (statistics.skipped, statistics.done, len(server.requests)) == (2, 1, 4)
        out.write_bytes(out.read_bytes()[:-1])  # only the end of the line is missing
        assert (await done(client, ListSource(source), out)).skipped == 3
    assert len(read_lines(out)) == 3


async def test_the_output_is_synced_at_intervals_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    out = tmp_path / "out.jsonl"
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(out.read_bytes().count(b"\n")))
    async with echoing() as (client, _):
        await done(client, ListSource(prompts("0.01", "0.3")), out, sync_seconds=0.05)
    assert synced == [1, 2]


async def test_a_job_opens_no_file_and_no_socket_that_it_does_not_close(tmp_path: Path) -> None:
    async with echoing() as (client, _):
        await done(client, write_lines(tmp_path / "in.jsonl", prompts("a")), tmp_path / "out.jsonl")
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(3):
            await done(client, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_wrong_price_file_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    for content, words in [
        ("[", "is not JSON"),
        ("[]", "needs an object for each model"),
        ('{"m": {"input": 1}}', "something wrong for 'm'"),
        ('{"m": {"input": 1, "output": -1}}', "something wrong for 'm'"),
    ]:
        path.write_text(content)
        with pytest.raises(BatchJobError, match=words):
            batch.load_prices(path)
    with pytest.raises(BatchJobError, match="cannot be read"):
        batch.load_prices(tmp_path / "missing")
    path.write_text('{"m": {"input": 1, "output": 2, "cached_input": 0.5}}')
    assert batch.load_prices(path) == {"m": batch.Price(input=1, output=2, cached_input=0.5)}


async def test_an_answer_that_no_encoder_takes_is_an_error_of_its_line(tmp_path: Path) -> None:
    body = b'{"deep":' + b"[" * 1000 + b"]" * 1000 + b"}"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    lines = [{"custom_id": "deep", "url": "/v1/x", "body": {"a": 1}}]
    async with echoing(Reply.raw(head + body)) as (client, _):
        statistics = await done(client, ListSource(lines), tmp_path / "out.jsonl")
    (line,) = read_lines(tmp_path / "out.jsonl")
    assert line["error"]["code"] == "unstorable"
    assert statistics.done == 1


async def test_a_custom_id_that_utf_8_cannot_have_is_found_again(tmp_path: Path) -> None:
    lines = [b'{"custom_id": "half \\ud800", "prompt": "a"}']
    async with echoing() as (client, _):
        await done(client, ListSource(lines), tmp_path / "out.jsonl")
        assert (await done(client, ListSource(lines), tmp_path / "out.jsonl")).skipped == 1
