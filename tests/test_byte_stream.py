"""Sound as bytes: whole, piece by piece, and into a file; a cut is never taken for the end."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from net_helpers import client_over, no_environment, serve

from trio_openai import APIConnectionError, APITimeoutError, BadRequestError, Deadlines, StreamTruncatedError
from trio_openai.testing import Cut, Pause, Reply, Stall

SPEECH: dict[str, Any] = {"model": "m", "input": "Hello.", "voice": "alloy"}
PIECES = (b"ID3\xff", b"\x00" * 5000, b"end")
SOUND = Reply(headers={"content-type": "audio/mpeg", "x-request-id": "req_1"}, body=PIECES)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def test_the_bytes_come_as_they_are_sent(nursery: trio.Nursery) -> None:
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


async def test_the_rest_is_read_whole(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, SOUND))
    async with client, client.audio.speech.stream_bytes(**SPEECH) as sound:
        first = await anext(sound)
        assert first + await sound.read() == b"".join(PIECES)


async def test_it_is_written_to_a_file_that_need_not_fit_into_memory(nursery: trio.Nursery, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("fault", [Cut(), "short"])
async def test_a_cut_is_not_taken_for_the_end(nursery: trio.Nursery, tmp_path: Path, fault: Any) -> None:
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


async def test_a_silence_meets_the_deadline(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, transport = client_over(await serve(nursery, attrs.evolve(SOUND, body=(PIECES[0], Stall()))))
    async with client, client.audio.speech.stream_bytes(**SPEECH, timeout=Deadlines(idle=3)) as sound:
        await anext(sound)
        with pytest.raises(APITimeoutError) as caught:
            await anext(sound)
        assert caught.value.phase == "idle"
        assert transport.statistics().active == 0


async def test_leaving_the_block_closes_the_connection(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, attrs.evolve(SOUND, body=(PIECES[0], Stall())))
    client, transport = client_over(server)
    async with client:
        with trio.move_on_after(1):
            async with client.audio.speech.stream_bytes(**SPEECH) as sound:
                assert client.statistics().open_streams == 1
                await sound.read()
        await server.wait_disconnect()
        assert transport.statistics().active == 0
        assert client.statistics().open_streams == 0
        with pytest.raises(trio.ClosedResourceError):
            await anext(sound)


async def test_closing_the_client_closes_it(nursery: trio.Nursery) -> None:
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


async def test_an_error_status_is_raised_on_entering(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.error(400, "no such voice")))
    async with client:
        with pytest.raises(BadRequestError, match="no such voice"):
            async with client.audio.speech.stream_bytes(**SPEECH):
                pass
        with pytest.raises(BadRequestError, match="no such voice"):
            await client.audio.speech.create(**SPEECH)
