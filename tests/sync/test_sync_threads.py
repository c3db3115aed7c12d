"""Test the blocking client with many threads, workers of trio, and other event loops."""

from __future__ import annotations

import asyncio
import faulthandler
import threading
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from net_helpers import CHAT, no_environment
from sync_helpers import (
    ThreadedServer,
    answer,
    in_thread,
    loop_threads,
    served,
    signal_when_waiting,
    wait_until_waiting,
)

from trio_openai.sync import SyncChatCompletionStream, SyncOpenAI
from trio_openai.testing import RecordedRequest, Reply, ScriptedServer, Stall

HELLO = Reply.chat("Hello there, friend!")
STALLED = attrs.evolve(HELLO, body=(*HELLO.body[:3], Stall()))
SILENT = attrs.evolve(HELLO, body=(Stall(),))
NEVER = attrs.evolve(HELLO, delay=float("inf"))


@pytest.fixture(autouse=True)
def no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that no thread outlives its test. If a test hangs, print the stacks and exit."""
    no_environment(monkeypatch)
    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    assert loop_threads() == []


# Threads.


def test_second_reading_thread_is_refused_but_any_thread_may_look_and_close() -> None:
    with served(SILENT) as server, server.client() as client, client.chat.completions.stream(**CHAT) as stream:
        thread, came = in_thread(lambda: next(stream))
        wait_until_waiting(thread.ident or 0)
        with pytest.raises(trio.BusyResourceError, match="another thread"):
            next(stream)
        assert stream.snapshot.choices == []  # other threads can look while one reads
        stream.close()
        thread.join()
        assert isinstance(came[0], trio.ClosedResourceError)
        server.wait_disconnect()


def test_closing_the_client_ends_waiting_calls_of_other_threads() -> None:
    with served(NEVER) as server:
        client = server.client()
        threads = [in_thread(lambda: client.chat.completions.create(**CHAT)) for _ in range(3)]
        server.call(server.server.wait_requests, 3)
        client.close()
        for thread, came in threads:
            thread.join()
            assert isinstance(came[0], trio.ClosedResourceError)


def test_many_threads_share_one_loop() -> None:
    def echo(request: RecordedRequest) -> Reply:
        return Reply.chat(request.json()["messages"][0]["content"])

    with served(echo) as server, server.client() as client:

        def read(text: str) -> str:
            with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": text}]) as stream:
                return "".join(stream.text_deltas)

        texts = [f"This is thread {number}." for number in range(20)]
        threads = [in_thread(lambda text=text: read(text)) for text in texts]  # type: ignore[misc]
        for thread, _ in threads:
            thread.join()
        assert [came for _, came in threads] == [[text] for text in texts]
        assert len(loop_threads()) == 1


# Workers of trio.


async def serve(nursery: trio.Nursery, reply: Reply) -> tuple[ScriptedServer, SyncOpenAI]:
    """Start a server in this loop, and return it with a blocking client."""
    server = ScriptedServer(reply)
    await server.start(nursery)
    return server, SyncOpenAI(base_url=server.base_url, api_key="k")


async def test_worker_calls_run_in_the_loop_that_started_it(nursery: trio.Nursery) -> None:
    server, client = await serve(nursery, HELLO)

    def work() -> str:
        assert loop_threads() == []
        with client.chat.completions.stream(**CHAT) as stream:
            return "".join(stream.text_deltas)

    assert await trio.to_thread.run_sync(work) == "Hello there, friend!"
    await trio.to_thread.run_sync(work)
    assert client.statistics().transport.opened == 1  # type: ignore[union-attr]
    await trio.to_thread.run_sync(client.close)
    await server.wait_closed()


async def test_blocking_key_function_needs_no_thread_of_trios_limiter(nursery: trio.Nursery) -> None:
    """Allow one worker thread, which waits for the key. A second one would never start."""
    server, client = await serve(nursery, HELLO)
    limiter = trio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = 1
    with client.with_options(api_key=lambda: "sk-plain") as other:
        await trio.to_thread.run_sync(lambda: other.chat.completions.create(stream=True, **CHAT).until_done())
        await trio.to_thread.run_sync(other.close)
    assert server.requests[0].header("authorization") == "Bearer sk-plain"


async def test_closing_the_client_in_a_task_does_not_block_the_loop(nursery: trio.Nursery) -> None:
    server, client = await serve(nursery, STALLED)
    streams: list[SyncChatCompletionStream] = []
    with client:
        await trio.to_thread.run_sync(lambda: streams.append(client.chat.completions.create(stream=True, **CHAT)))
        await trio.to_thread.run_sync(lambda: next(streams[0]))
    await server.wait_closed()


async def wait_until_calling(client: SyncOpenAI) -> None:
    """Wait until a call of the client is waiting in this loop."""
    while not any(portal._scopes for portal in client._session.portals._portals):
        await trio.lowlevel.checkpoint()


async def test_cancelling_a_worker_cancels_its_call(nursery: trio.Nursery) -> None:
    server, client = await serve(nursery, SILENT)
    came: list[BaseException] = []
    opened = trio.Event()

    def work() -> None:
        try:
            with client.chat.completions.stream(**CHAT) as stream:
                trio.from_thread.run_sync(opened.set)
                next(stream)
        except trio.Cancelled as error:
            came.append(error)
            raise

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as working:
            working.start_soon(trio.to_thread.run_sync, work)
            await opened.wait()
            await wait_until_calling(client)
            scope.cancel()
    assert scope.cancelled_caught
    assert len(came) == 1
    await server.wait_disconnect(since=FROM_START)
    await trio.to_thread.run_sync(client.close)


async def test_closing_the_client_ends_a_worker_waiting_for_a_retry(nursery: trio.Nursery) -> None:
    server, client = await serve(nursery, Reply.error(503, "busy", headers={"retry-after": "100"}))
    came: list[BaseException] = []

    def work() -> None:
        with pytest.raises(trio.ClosedResourceError) as caught:
            client.chat.completions.create(**CHAT)
        came.append(caught.value)

    async with trio.open_nursery() as working:
        working.start_soon(trio.to_thread.run_sync, work)
        await server.wait_requests()
        await server.wait_idle()
        await trio.to_thread.run_sync(client.close)
    assert len(came) == 1


async def test_cancelled_worker_gets_no_further_event_even_if_one_has_arrived(nursery: trio.Nursery) -> None:
    _, client = await serve(nursery, HELLO)
    taken: list[object] = []

    def work() -> None:
        with client.chat.completions.stream(**CHAT) as stream:
            taken.append(next(stream))
            trio.from_thread.run_sync(scope.cancel)
            trio.from_thread.run_sync(int)  # after this call trio has noticed the cancellation
            taken.append(next(stream))

    with trio.CancelScope() as scope:
        await trio.to_thread.run_sync(work)
    assert scope.cancelled_caught
    assert len(taken) == 1
    await trio.to_thread.run_sync(client.close)


async def test_stream_can_move_between_workers_and_other_threads(nursery: trio.Nursery) -> None:
    _, client = await serve(nursery, HELLO)
    stream = await trio.to_thread.run_sync(lambda: client.chat.completions.create(stream=True, **CHAT))
    first = await trio.to_thread.run_sync(next, stream)
    assert first.choices[0].delta.content == ""  # type: ignore[attr-defined]
    thread, came = in_thread(lambda: "".join(stream.text_deltas))
    await trio.to_thread.run_sync(thread.join)
    assert came == ["Hello there, friend!"]
    await trio.to_thread.run_sync(client.close)


def test_abandoned_worker_ends_when_its_loop_ends() -> None:
    came: list[BaseException] = []
    done = threading.Event()

    def work(client: SyncOpenAI) -> None:
        try:
            with client.chat.completions.stream(**CHAT) as stream:
                next(stream)
        except BaseException as error:
            came.append(error)
            raise
        finally:
            done.set()

    async def main(server: ThreadedServer, client: SyncOpenAI) -> None:
        async with trio.open_nursery() as nursery:

            async def start() -> None:
                await trio.to_thread.run_sync(work, client, abandon_on_cancel=True)

            nursery.start_soon(start)
            while server.server.statistics().requests == 0:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    with served(SILENT) as server, server.client() as client:
        trio.run(main, server, client)
        done.wait()
        assert isinstance(came[0], trio.Cancelled | trio.ClosedResourceError)
        server.wait_closed()


def test_end_of_a_loop_closes_the_streams_of_its_workers() -> None:
    with served(STALLED) as server, server.client() as client:
        streams: list[SyncChatCompletionStream] = []

        def work() -> None:
            streams.append(client.chat.completions.create(stream=True, **CHAT))
            next(streams[-1])

        async def main() -> None:
            await trio.to_thread.run_sync(work)

        trio.run(main)
        server.wait_closed()
        with pytest.raises(trio.ClosedResourceError):
            next(streams[0])
        streams[0].close()
        trio.run(main)  # a second loop gets its own portal
        with client.chat.completions.stream(**CHAT) as stream:  # so does a thread without a loop
            next(stream)
        server.wait_disconnect(3)


# Calls inside event loops.


def blocked_by(client: SyncOpenAI) -> list[str]:
    """Return the error messages of blocking calls in this thread."""
    said = []
    for block in (
        lambda: client.chat.completions.create(**CHAT),
        lambda: client.responses.create(stream=True),
        lambda: client.chat.completions.stream(**CHAT).__enter__(),
    ):
        with pytest.raises(RuntimeError) as caught:
            block()
        said.append(str(caught.value))
    return said


async def test_blocking_call_in_a_trio_task_points_to_the_async_client() -> None:
    with SyncOpenAI(api_key="k") as client:
        assert all("TrioOpenAI" in text for text in blocked_by(client))


def test_blocking_calls_work_in_an_asyncio_task_as_in_a_notebook() -> None:
    with served(answer) as server:

        async def cell() -> list[Any]:
            with server.client() as client:
                said: list[Any] = [client.chat.completions.create(**CHAT).text]
                with client.chat.completions.stream(**CHAT) as stream:
                    said.append("".join(stream.text_deltas))
                return said

        assert asyncio.run(cell()) == ["Hello there, friend!"] * 2
        assert not loop_threads()  # `close` waited for the thread


def test_client_can_be_used_in_one_notebook_cell_after_another() -> None:
    with served(answer) as server, server.client() as client, asyncio.Runner() as kernel:

        async def cell() -> str:
            return client.chat.completions.create(**CHAT).text

        assert [kernel.run(cell()) for _ in range(2)] == ["Hello there, friend!"] * 2


def test_interrupt_in_an_asyncio_callback_closes_the_stream() -> None:
    with served(Reply.chat("Hello").stall_after(300)) as server, server.client() as client:
        caught: list[BaseException] = []

        def cell() -> None:
            with pytest.raises(KeyboardInterrupt) as info, client.chat.completions.stream(**CHAT) as stream:
                stream.until_done()
            caught.append(info.value)
            loop.stop()

        loop = asyncio.new_event_loop()
        loop.call_soon(cell)
        with signal_when_waiting():
            loop.run_forever()
        loop.close()
        server.wait_disconnect()
        assert len(caught) == 1


def test_blocking_calls_work_in_threads_of_asyncio() -> None:
    with served(answer) as server, server.client() as client:

        def ask() -> str:
            return client.chat.completions.create(**CHAT).text

        async def main() -> list[str]:
            return await asyncio.gather(*(asyncio.to_thread(ask) for _ in range(3)))

        assert asyncio.run(main()) == ["Hello there, friend!"] * 3
