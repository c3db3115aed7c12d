"""Streams that were never closed: the garbage collector closes them and a `ResourceWarning` is emitted."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import every_client
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from every_client import Kind
from net_helpers import CHAT, client_over, no_environment, serve, watch

from trio_openai import RateLimiter, TrioOpenAI
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Reply, ScriptedServer

HELLO = Reply.chat("Hello there, you.")
SLOW = HELLO.stall_after(400)

pytestmark = pytest.mark.promise(n=1)
every = every_client.of()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture
def count_warnings() -> Iterator[Callable[[], int]]:
    """Return a function that counts the warnings about streams that were never closed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield lambda: sum("never closed" in str(w.message) and w.category is ResourceWarning for w in caught)


async def abandon(client: TrioOpenAI, *, begun: bool = True) -> None:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    if begun:
        await anext(stream)


async def test_an_abandoned_stream_frees_its_slot_at_once(
    nursery: trio.Nursery, count_warnings: Callable[[], int]
) -> None:
    server = await serve(nursery, SLOW)
    limiter = RateLimiter(requests_per_minute=1e6)
    client, transport = client_over(server, max_connections=1, limiter=limiter)
    async with client:
        for number in range(1, 4):
            await abandon(client, begun=number != 2)
            assert transport.statistics().active == 0
            assert client.statistics().open_streams == 0
            assert limiter.statistics().in_flight == 0
            assert count_warnings() == number
            await server.wait_disconnect(number, since=FROM_START)


async def test_an_abandoned_raw_response_is_closed(nursery: trio.Nursery, count_warnings: Callable[[], int]) -> None:
    client, transport = client_over(await serve(nursery, SLOW), max_connections=1)
    async with client:
        raw: Any = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
        assert transport.statistics().active == 1
        response = raw.http_response
        del raw
        assert transport.statistics().active == 0
        assert response.status_code == 200
    assert count_warnings() == 1


async def test_an_abandoned_byte_stream_is_closed(nursery: trio.Nursery, count_warnings: Callable[[], int]) -> None:
    client, transport = client_over(await serve(nursery, Reply(200, {}, [b"abc"]).stall_after(2)), max_connections=1)
    async with client:
        manager: Any = client.audio.speech.stream_bytes(model="m", input="x", voice="alloy")
        stream = await manager.__aenter__()
        assert await anext(stream)
        del manager, stream
        assert transport.statistics().active == 0
    assert count_warnings() == 1


async def test_an_abandoned_stream_wakes_its_subscriber_and_the_request_waiting_for_its_slot(
    nursery: trio.Nursery, autojump_clock: object, count_warnings: Callable[[], int]
) -> None:
    client, _ = client_over(await serve(nursery, [SLOW, HELLO]), max_connections=1)
    async with client, trio.open_nursery() as others:
        held: Any = [await client.chat.completions.create(**CHAT, stream=True)]
        subscriber = held[0].subscribe()
        others.start_soon(until_broken, subscriber)
        others.start_soon(abandon, client)
        await trio.testing.wait_all_tasks_blocked()
        held.clear()
    assert count_warnings() == 2


async def until_broken(subscriber: Any) -> None:
    with pytest.raises(trio.BrokenResourceError):
        await subscriber.receive()


async def test_an_abandoned_stream_in_a_reference_cycle_is_closed_by_the_garbage_collector(
    nursery: trio.Nursery, count_warnings: Callable[[], int]
) -> None:
    client, transport = client_over(await serve(nursery, SLOW), max_connections=1)
    async with client:
        cycle: list[Any] = [await client.chat.completions.create(**CHAT, stream=True)]
        cycle.append(cycle)
        del cycle
        gc.collect()
        assert transport.statistics().active == 0
    assert count_warnings() == 1


async def test_a_stream_collected_in_another_thread_is_closed_in_the_trio_thread(
    nursery: trio.Nursery, count_warnings: Callable[[], int]
) -> None:
    client, transport = client_over(await serve(nursery, SLOW), max_connections=1)
    async with client:
        held: list[Any] = [await client.chat.completions.create(**CHAT, stream=True)]
        thread = threading.Thread(target=held.clear)
        thread.start()
        thread.join()
        await trio.testing.wait_all_tasks_blocked()
        assert transport.statistics().active == 0
    assert count_warnings() == 1


@every
async def test_abandoned_streams_free_their_slots_with_every_kind_of_client(
    nursery: trio.Nursery, count_warnings: Callable[[], int], kind: Kind
) -> None:
    stage = await kind.build(nursery, [HELLO if not kind.is_live else SLOW] * 3 + [HELLO])
    async with stage.client(max_connections=1) as client:
        for _ in range(3):
            await abandon(client)
        with trio.fail_after(5):
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
        assert client.statistics().open_streams == 0
    assert count_warnings() == 3
    gc.collect()


def test_an_abandoned_stream_of_the_sync_client_frees_its_slot(count_warnings: Callable[[], int]) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            server = ScriptedServer(SLOW)
            await server.start(nursery)
            await trio.to_thread.run_sync(in_thread, server.base_url)
            nursery.cancel_scope.cancel()

    def in_thread(base_url: str) -> None:
        for _ in range(2):
            client = SyncOpenAI(base_url=base_url, max_connections=1)
            thread = threading.Thread(target=abandon_some, args=(client,))
            thread.start()
            thread.join()
            client.close()

    def abandon_some(client: SyncOpenAI) -> None:
        for _ in range(3):
            next(client.chat.completions.create(**CHAT, stream=True))

    trio.run(main)
    assert count_warnings() == 6


def test_collecting_a_stream_after_trio_run_has_ended_only_warns(count_warnings: Callable[[], int]) -> None:
    held: list[Any] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            client, _ = client_over(await serve(nursery, SLOW))
            held.append(await client.chat.completions.create(**CHAT, stream=True))
            nursery.cancel_scope.cancel()

    trio.run(main)
    held.clear()
    gc.collect()
    assert count_warnings() == 1


async def test_closed_and_complete_streams_emit_no_warning(
    nursery: trio.Nursery, count_warnings: Callable[[], int]
) -> None:
    client, _ = client_over(await serve(nursery, HELLO))
    async with client:
        whole = await client.chat.completions.create(**CHAT, stream=True)
        await whole.until_done()
        closed = await client.chat.completions.create(**CHAT, stream=True)
        await closed.aclose()
        del whole, closed
        gc.collect()
    assert count_warnings() == 0
