"""`stream_bytes`: reading audio piece by piece, whole, or into a file, and detecting a truncated body."""

from __future__ import annotations

import errno
import io
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from net_helpers import cancel_everywhere, client_over, no_environment, serve

from trio_openai import APIConnectionError, APITimeoutError, BadRequestError, Deadlines, StreamTruncatedError
from trio_openai.testing import Cut, Pause, Reply, Stall

SPEECH: dict[str, Any] = {"model": "m", "input": "Hello.", "voice": "alloy"}
PIECES = (b"ID3\xff", b"\x00" * 5000, b"end")
SOUND = Reply(headers={"content-type": "audio/mpeg", "x-request-id": "req_1"}, body=PIECES)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def test_iterating_yields_the_bytes_that_were_sent(nursery: trio.Nursery) -> None:
    reply = attrs.evolve(SOUND, body=(PIECES[0], Pause(0.01), PIECES[1], Pause(0.01), PIECES[2]))
    server = await serve(nursery, reply)
    client, transport = client_over(server)
    async with client:
        async with client.audio.speech.stream_bytes(**SPEECH) as sound:
            assert sound.response.headers["content-type"] == "audio/mpeg"
            pieces = [piece async for piece in sound]
            assert await sound.read() == b""
        assert b"".join(pieces) == b"".join(PIECES)
        assert len(pieces) >= 3
        assert (transport.statistics().idle, transport.statistics().active) == (1, 0)
    assert server.requests[0].json() == SPEECH
    assert server.requests[0].header("accept-encoding") == "identity"


async def test_read_returns_the_rest_of_the_body(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, SOUND))
    async with client, client.audio.speech.stream_bytes(**SPEECH) as sound:
        first = await anext(sound)
        assert first + await sound.read() == b"".join(PIECES)


async def test_write_to_file_uses_constant_memory(nursery: trio.Nursery, tmp_path: Path) -> None:
    megabytes = 32
    piece = b"x" * 65536
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def send() -> None:
        async with await listener.accept() as stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (megabytes * 16 * len(piece)))
            for _ in range(megabytes * 16):
                await stream.send_all(piece)

    from trio_openai import TrioOpenAI

    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/v1"
    async with listener, TrioOpenAI(base_url=url, api_key="k") as client:
        nursery.start_soon(send)
        tracemalloc.start()
        try:
            async with client.audio.speech.stream_bytes(**SPEECH) as sound:
                await sound.write_to_file(tmp_path / "long.mp3")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (tmp_path / "long.mp3").stat().st_size == megabytes * 1024 * 1024
    assert peak < 4 * 1024 * 1024


@pytest.mark.promise(n=4)
@pytest.mark.parametrize("fault", [Cut(), "short"])
async def test_a_truncated_body_is_an_error(nursery: trio.Nursery, tmp_path: Path, fault: Any) -> None:
    broken = (
        attrs.evolve(SOUND, body=PIECES[:1], framing="length", content_length=100, close_after=True)
        if fault == "short"
        else attrs.evolve(SOUND, body=(PIECES[0], fault))
    )
    client, transport = client_over(await serve(nursery, broken), max_retries=0)
    async with client:
        async with client.audio.speech.stream_bytes(**SPEECH) as sound:
            with pytest.raises(StreamTruncatedError) as caught:
                await sound.write_to_file(str(tmp_path / "cut.mp3"))
            assert caught.value.request_id == "req_1"
            with pytest.raises(StreamTruncatedError):
                await anext(sound)
        assert (tmp_path / "cut.mp3").read_bytes() == PIECES[0]
        assert transport.statistics().active == 0
        with pytest.raises(APIConnectionError):
            await client.audio.speech.create(**SPEECH)


async def test_a_silent_server_triggers_the_idle_deadline(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, transport = client_over(await serve(nursery, attrs.evolve(SOUND, body=(PIECES[0], Stall()))))
    async with client, client.audio.speech.stream_bytes(**SPEECH, timeout=Deadlines(idle=3)) as sound:
        await anext(sound)
        with pytest.raises(APITimeoutError) as caught:
            await anext(sound)
        assert caught.value.phase == "idle"
        assert transport.statistics().active == 0


@pytest.mark.promise(n=1)
async def test_leaving_the_block_closes_the_connection(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, attrs.evolve(SOUND, body=(PIECES[0], Stall())))
    client, transport = client_over(server)
    async with client:
        with trio.move_on_after(1):
            async with client.audio.speech.stream_bytes(**SPEECH) as sound:
                assert client.statistics().open_streams == 1
                await sound.read()
        await server.wait_disconnect(since=FROM_START)
        assert transport.statistics().active == 0
        assert client.statistics().open_streams == 0
        with pytest.raises(trio.ClosedResourceError):
            await anext(sound)


async def test_closing_the_client_closes_its_byte_streams(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, attrs.evolve(SOUND, body=(PIECES[0], Stall()))))
    manager = client.audio.speech.stream_bytes(**SPEECH)
    sound = await manager.__aenter__()
    await anext(sound)
    async with trio.open_nursery() as inner:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await anext(sound)

        inner.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await anext(sound)
        await client.aclose()
    await manager.__aexit__(None, None, None)
    with pytest.raises(RuntimeError, match="entered already"):
        await manager.__aenter__()


async def test_an_error_status_is_raised_when_the_block_is_entered(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.error(400, "no such voice")))
    async with client:
        with pytest.raises(BadRequestError, match="no such voice"):
            async with client.audio.speech.stream_bytes(**SPEECH):
                pass
        with pytest.raises(BadRequestError, match="no such voice"):
            await client.audio.speech.create(**SPEECH)


# ---------------------------------------------------------------------------------------- writing to a file


class Watched(io.FileIO):
    """A file that records the thread of each operation and can fail like a full disk."""

    threads: ClassVar[list[tuple[str, threading.Thread]]] = []
    fails: ClassVar[str | None] = None

    def write(self, data: Any, /) -> int:
        self._use("write")
        return super().write(bytes(data)[:1000])  # a file may accept fewer bytes than it was given

    def flush(self) -> None:
        self._use("flush")
        super().flush()

    def close(self) -> None:
        was_closed = self.closed
        super().close()
        if not was_closed:
            self._use("close")

    def _use(self, how: str) -> None:
        Watched.threads.append((how, threading.current_thread()))
        if Watched.fails == how:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> type[Watched]:
    monkeypatch.setattr("trio_openai._stream.bytes.io.FileIO", Watched)
    monkeypatch.setattr(Watched, "threads", [])
    monkeypatch.setattr(Watched, "fails", None)
    return Watched


async def test_file_operations_run_in_worker_threads(
    nursery: trio.Nursery, tmp_path: Path, watched: type[Watched]
) -> None:
    client, _ = client_over(await serve(nursery, SOUND))
    async with client, client.audio.speech.stream_bytes(**SPEECH) as sound:
        await sound.write_to_file(tmp_path / "a.mp3")
    assert (tmp_path / "a.mp3").read_bytes() == b"".join(PIECES)
    assert {"write", "close"} <= {how for how, _ in watched.threads}
    assert threading.current_thread() not in {thread for _, thread in watched.threads}


@pytest.mark.parametrize("how", ["write", "close"])
async def test_a_full_disk_raises_os_error_and_leaves_no_open_file(
    nursery: trio.Nursery, tmp_path: Path, watched: type[Watched], how: str
) -> None:
    client, transport = client_over(await serve(nursery, SOUND))
    watched.fails = how
    async with client:
        async with client.audio.speech.stream_bytes(**SPEECH) as sound:
            with pytest.raises(OSError, match="No space left"):
                await sound.write_to_file(tmp_path / "a.mp3")
            watched.fails = None
        assert transport.statistics().active == 0
    assert ("close", threading.current_thread()) not in watched.threads


@pytest.mark.parametrize("before", [True, False])
async def test_write_to_file_can_be_cancelled_at_every_checkpoint(
    nursery: trio.Nursery, tmp_path: Path, before: bool
) -> None:
    """Check that the connection is released and that the file holds the beginning of the body."""
    client, transport = client_over(await serve(nursery, SOUND))
    path = tmp_path / "a.mp3"

    async def check() -> None:
        await trio.lowlevel.checkpoint()
        assert transport.statistics().active == 0
        assert not path.exists() or b"".join(PIECES).startswith(path.read_bytes())

    async def scenario() -> None:
        async with client.audio.speech.stream_bytes(**SPEECH) as sound:
            await sound.write_to_file(path)

    async with client:
        assert await cancel_everywhere(scenario, check, before=before) > 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no named pipes")
@pytest.mark.parametrize("has_reader", [True, False])
async def test_write_to_file_can_be_cancelled_while_a_pipe_blocks(
    nursery: trio.Nursery, tmp_path: Path, has_reader: bool
) -> None:
    """Check cancellation while a pipe blocks: without a reader opening blocks, with an idle reader writing blocks."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if has_reader else None
    server = await serve(nursery, attrs.evolve(SOUND, body=[b"x" * 64 * 1024] * 40))
    client, _ = client_over(server)
    async with client, client.audio.speech.stream_bytes(**SPEECH) as sound:
        with trio.fail_after(20), trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(sound.write_to_file, path)
                await trio.testing.wait_all_tasks_blocked(0.05)
                scope.cancel()
    assert scope.cancelled_caught
    last = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # the abandoned thread continues and closes the pipe
    for reading in filter(None, (reader, last)):
        os.set_blocking(reading, True)
    while os.read(last, 1 << 20):
        pass
    for reading in filter(None, (reader, last)):
        os.close(reading)
