"""The end of a call: an observer is told of it exactly once, in whatever way the call ends."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from observer_helpers import CallOrder, Heard
from resume_helpers import ASK, server_that_breaks

from trio_openai import APITimeoutError, Deadlines, StreamTruncatedError, TrioOpenAI
from trio_openai.testing import Cut, Pause, Reply, ScriptedServer, Stall

pytestmark = pytest.mark.promise(n=1)

HELLO = Reply.chat("Hello there, you.")
PLAIN = Reply.chat("Hello there.", stream=False)
STALLING = HELLO.stall_after(HELLO.length() // 2)
SOUND = Reply(headers={"content-type": "audio/mpeg"}, body=(b"one", Pause(1), b"two"))
SPEECH: dict[str, Any] = {"model": "m", "input": "Hello.", "voice": "alloy"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


class Ends:
    """An observer that keeps all records, and checks at the end that they are in order."""

    def __init__(self) -> None:
        self.heard, self.order = Heard(), CallOrder()

    @property
    def observers(self) -> list[Any]:
        return [self.heard, self.order]

    def verdict(self) -> str:
        """Return the verdict of the only call, which has ended once."""
        assert self.order.faults() == []
        state: str = self.heard.one("ended").verdict.state
        return state


@pytest.fixture
def ends() -> Ends:
    return Ends()


async def the_end(_: TrioOpenAI, stream: Any) -> None:
    await stream.until_done()


async def a_break(_: TrioOpenAI, stream: Any) -> None:
    async for _event in stream:
        break


async def a_close(_: TrioOpenAI, stream: Any) -> None:
    await stream.aclose()
    await stream.aclose()


async def an_exception(_: TrioOpenAI, stream: Any) -> None:
    await anext(stream)
    raise KeyError("mine")


async def the_clients_end(client: TrioOpenAI, stream: Any) -> None:
    await anext(stream)
    await client.aclose()


async def settling(_: TrioOpenAI, stream: Any) -> None:
    await anext(stream)
    await stream.settle(5)


async def a_cancellation(_: TrioOpenAI, stream: Any) -> None:
    with trio.move_on_after(0.5):
        await stream.until_done()


WAYS: dict[str, tuple[Any, Reply, str]] = {
    "the end": (the_end, HELLO, "done"),
    "a break": (a_break, HELLO, "closed"),
    "a close": (a_close, HELLO, "closed"),
    "an exception of the block": (an_exception, HELLO, "closed"),
    "the client's end": (the_clients_end, HELLO, "closed"),
    "settling": (settling, HELLO, "done"),
    "settling what stalls": (settling, STALLING, "closed"),
    "a cancellation": (a_cancellation, STALLING, "closed"),
    "a cut": (the_end, HELLO.cut_after(HELLO.length() // 2), "truncated"),
    "an error among the events": (the_end, Reply.sse({"error": {"message": "no", "code": "bad"}}), "failed"),
}


async def in_a_block(client: TrioOpenAI, act: Any) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await act(client, stream)


async def in_a_nursery(client: TrioOpenAI, act: Any) -> None:
    async with trio.open_nursery() as nursery:
        stream = await client.chat.completions.start_stream(nursery, **CHAT)
        try:
            await act(client, stream)
        finally:
            await stream.aclose()


async def by_hand(client: TrioOpenAI, act: Any) -> None:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    try:
        await act(client, stream)
    finally:
        await stream.aclose()


@pytest.mark.parametrize("door", [in_a_block, in_a_nursery, by_hand])
@pytest.mark.parametrize("way", WAYS, ids=WAYS.keys())
async def test_a_stream_ends_once_whatever_ends_it(
    nursery: trio.Nursery, autojump_clock: object, ends: Ends, way: str, door: Any
) -> None:
    act, reply, verdict = WAYS[way]
    client, _ = client_over(await serve(nursery, reply), observer=ends.observers, max_retries=0)
    async with client:
        await outcome(door, client, act)
        assert ends.verdict() == verdict
    assert ends.verdict() == verdict


@pytest.mark.parametrize("phase", ["headers", "first_event", "first_content", "idle", "total"])
async def test_a_stream_that_misses_a_deadline_ends_with_the_error(
    nursery: trio.Nursery, autojump_clock: object, ends: Ends, phase: str
) -> None:
    places = {"headers": attrs.evolve(HELLO, delay=9), "first_event": HELLO.stall_after(0)}
    reply = places.get(phase, STALLING if phase != "first_content" else Reply.sse({"choices": []}, Stall()))
    client, _ = client_over(await serve(nursery, reply), observer=ends.observers, max_retries=0)
    async with client:
        error = await outcome(in_a_block, client.with_options(timeout=Deadlines(**{phase: 1})), the_end)
    assert isinstance(error, APITimeoutError)
    assert error.phase == phase
    assert ends.verdict() == "failed"
    assert ends.heard.one("ended").error is error


async def test_a_plain_call_that_is_cancelled_is_closed(
    nursery: trio.Nursery, autojump_clock: object, ends: Ends
) -> None:
    client, _ = client_over(await serve(nursery, attrs.evolve(PLAIN, delay=5)), observer=ends.observers)
    async with client:
        with trio.move_on_after(1):
            await client.chat.completions.create(**CHAT)
        assert ends.verdict() == "closed"
        assert isinstance(ends.heard.one("ended").error, trio.Cancelled)


async def test_a_call_on_a_closed_client_starts_and_ends(nursery: trio.Nursery, ends: Ends) -> None:
    client, _ = client_over(await serve(nursery, PLAIN), observer=ends.observers)
    await client.aclose()
    error = await outcome(client.chat.completions.create, **CHAT)
    assert ends.heard.names == ["started", "ended"]
    assert ends.heard.one("ended").error is error


async def test_a_call_that_waits_ends_when_the_client_is_closed(
    nursery: trio.Nursery, autojump_clock: object, ends: Ends
) -> None:
    client, _ = client_over(await serve(nursery, attrs.evolve(PLAIN, delay=5)), observer=ends.observers)
    nursery.start_soon(outcome, lambda: client.chat.completions.create(**CHAT))
    await trio.sleep(1)
    await client.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert ends.verdict() == "closed"


async def test_a_stream_that_is_never_opened_neither_starts_nor_ends(nursery: trio.Nursery) -> None:
    heard = Heard()
    client, _ = client_over(await serve(nursery, HELLO), observer=heard)
    async with client:
        manager = client.chat.completions.stream(**CHAT)
        assert manager.verdict.state == "open"
        client.chat.completions.create(**CHAT).close()
        del manager
    assert heard.names == []


# Streams that nobody closes.


@pytest.fixture
def quiet() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


@pytest.mark.usefixtures("quiet")
async def test_a_collected_stream_has_ended(nursery: trio.Nursery, ends: Ends) -> None:
    client, _ = client_over(await serve(nursery, STALLING), observer=ends.observers)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        await anext(stream)
        del stream
        assert ends.verdict() == "closed"
        assert ends.heard.one("ended").answer.choices[0].message.role == "assistant"
    assert ends.verdict() == "closed"


@pytest.mark.usefixtures("quiet")
async def test_a_stream_that_is_collected_between_two_attempts_has_ended(
    nursery: trio.Nursery, autojump_clock: object, ends: Ends
) -> None:
    client, _ = client_over(await serve(nursery, server_that_breaks(3, 2)), observer=ends.observers)
    async with client:
        stream = await client.responses.create(**ASK, resume=True, stream=True)
        with trio.move_on_after(0.001):  # the wait for the next attempt is longer
            await stream.until_done()
        assert ends.heard.names[-1] == "retry"
        del stream
        gc.collect()  # the cancellation's traceback has held it
        await trio.testing.wait_all_tasks_blocked()
        assert ends.verdict() == "closed"


@pytest.mark.usefixtures("quiet")
def test_a_stream_that_outlives_its_run_has_ended(ends: Ends) -> None:
    async def leave() -> Any:
        async with trio.open_nursery() as nursery:
            server = ScriptedServer(STALLING)
            await server.start(nursery, memory=True)
            client, _ = client_over(server, observer=ends.observers)
            stream = await client.chat.completions.create(**CHAT, stream=True)
            await anext(stream)
            nursery.cancel_scope.cancel()
        return stream

    stream = trio.run(leave)
    assert "ended" not in ends.heard.names
    del stream
    gc.collect()
    assert ends.verdict() == "closed"


@pytest.mark.usefixtures("quiet")
async def test_a_collected_stream_of_bytes_has_ended(nursery: trio.Nursery, ends: Ends) -> None:
    client, _ = client_over(await serve(nursery, SOUND), observer=ends.observers)
    async with client:
        manager: Any = client.audio.speech.stream_bytes(**SPEECH)
        await anext(await manager.__aenter__())
        del manager
        gc.collect()
        assert ends.verdict() == "closed"


# Streams of bytes.


async def all_of(sound: Any) -> None:
    await sound.read()


async def some_of(sound: Any) -> None:
    await anext(sound)


async def too_long(sound: Any) -> None:
    with trio.move_on_after(0.5):
        await sound.read()


@pytest.mark.parametrize(
    ("act", "reply", "verdict"),
    [
        (all_of, SOUND, "done"),
        (some_of, SOUND, "closed"),
        (too_long, SOUND, "closed"),
        (all_of, attrs.evolve(SOUND, body=(b"one", Cut())), "truncated"),
        (all_of, Reply.error(400, "no"), "failed"),
    ],
)
async def test_a_stream_of_bytes_ends_once(
    nursery: trio.Nursery, autojump_clock: object, ends: Ends, act: Any, reply: Reply, verdict: str
) -> None:
    client, _ = client_over(await serve(nursery, reply), observer=ends.observers, max_retries=0)

    async def use() -> None:
        async with client.audio.speech.stream_bytes(**SPEECH) as sound:
            await act(sound)

    async with client:
        error = await outcome(use)
        assert ends.verdict() == verdict
    assert ends.heard.one("ended").error is (error if verdict in ("truncated", "failed") else None)
    assert isinstance(error, StreamTruncatedError) == (verdict == "truncated")


async def test_a_stream_through_stock_httpx_ends_once(nursery: trio.Nursery, ends: Ends) -> None:
    server = await serve(nursery, STALLING, memory=False)
    http = httpx.AsyncClient(trust_env=False)
    async with server.client(http_client=http, observer=ends.observers) as client:
        await in_a_block(client, a_break)
        assert ends.verdict() == "closed"


async def test_calls_that_are_cancelled_at_any_step_end_once(nursery: trio.Nursery, ends: Ends) -> None:
    """Check one call. The sweep (`tests/cross_cutting/test_sweep.py`) checks every scenario."""
    client, _ = client_over(await serve(nursery, HELLO), observer=ends.observers)
    async with client:
        for steps in range(100):
            with trio.CancelScope() as scope:
                trio.lowlevel.spawn_system_task(_cancel_after, steps, scope.cancel)
                await in_a_block(client, the_end)
            assert ends.order.faults() == []
            if not scope.cancelled_caught:
                break
        else:
            pytest.fail("the call never came to its end")
    assert {record.verdict.state for record in ends.heard.all("ended")} == {"closed", "done"}


async def _cancel_after(steps: int, cancel: Callable[[], None]) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    cancel()
