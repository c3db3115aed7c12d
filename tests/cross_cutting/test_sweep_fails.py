"""Tests of the sweep itself: `test_sweep.py` would fail for calls that leak, and it does fail for stock httpx."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import httpx
import pytest
import trio
from net_helpers import CHAT, no_environment
from sweep import faults_of, sweep
from sweep_places import BURST, PLAIN, SHORT, Scenario, World, without_us

from trio_openai import AdaptiveLimiter, Attempt, CallRecord

pytestmark = pytest.mark.promise(n=1)

BLANK: Any = CallRecord(**{field.name: 0 for field in attrs.fields(CallRecord)})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def ask(world: World) -> None:
    await world.client.chat.completions.create(**CHAT)


async def leaves_a_stream(world: World) -> None:
    stream = await world.client.chat.completions.create(**CHAT, stream=True)
    await anext(stream)


async def leaves_a_connection(world: World) -> None:
    await ask(world)
    await world.open_stream("test", 80)


async def leaves_a_task(world: World) -> None:
    await ask(world)
    trio.lowlevel.spawn_system_task(trio.sleep, 2)
    await trio.lowlevel.checkpoint()


async def leaves_a_permit(world: World) -> None:
    assert world.limiter is not None
    await world.limiter.acquire(Attempt(method="POST", path="/"))
    await ask(world)


async def takes_its_time(world: World) -> None:
    try:
        await ask(world)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)


async def raises_something_else(world: World) -> None:
    done = False
    try:
        await ask(world)
        done = True
    finally:
        if not done:
            raise KeyError("lost")


async def leaves_a_generator(world: World) -> None:
    async def numbers() -> AsyncIterator[int]:
        while True:
            await trio.lowlevel.checkpoint()
            yield 1

    async for _ in numbers():
        break


async def closes_the_client(world: World) -> None:
    await world.client.aclose()


async def tells_the_end_twice(world: World) -> None:
    await ask(world)
    world.calls.ended(attrs.evolve(BLANK, call_id=max(world.calls.call_ids)))


async def tells_no_end(world: World) -> None:
    await ask(world)
    world.calls.started(BLANK)


async def never_ends(world: World) -> None:
    with world.victim:
        await ask(world)
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("act", "fault"),
    [
        (leaves_a_stream, "1 slots held, 0 waiting; 1 streams open at the client; 1 connections open here, 0 idle"),
        (leaves_a_connection, "connections open here"),
        (leaves_a_connection, "connections at the server"),
        (leaves_a_connection, "connections open after the client was closed"),
        (leaves_a_task, "tasks left: ['trio.sleep']"),
        (leaves_a_permit, "1 attempts in flight for the limiter, 0 waiting"),
        (takes_its_time, "it took 1.0 s to leave"),
        (raises_something_else, "raised [KeyError('lost')]"),
        (leaves_a_generator, "was garbage collected before it had been exhausted"),
        (tells_the_end_twice, "records out of order: swahee"),
        (tells_no_end, "a call that started has not ended: s"),
        (closes_the_client, "the next request failed"),
        (never_ends, "raised [TooSlowError()]"),
    ],
)
def test_the_sweep_reports_a_call_that_leaves_something_behind(act: Any, fault: str) -> None:
    replies = [SHORT if act is leaves_a_stream else PLAIN]
    points = sweep(Scenario(act, replies, neighbours=act is never_ends, limiter=AdaptiveLimiter))
    assert fault in "\n".join(faults_of(points))


async def stock(world: World) -> None:
    await world.client.post("/", json=CHAT)


async def stock_left_early(world: World) -> None:
    async with world.client.stream("POST", "/", json=CHAT) as response:
        async for _ in response.aiter_raw():
            break


async def stock_again(world: World) -> None:
    response = await world.client.post("/", json={"model": "afterwards"})
    assert response.content == BURST.body[0]


@pytest.fixture
def without_us_it_fails(record_property: Any) -> Callable[..., str]:
    """Return a function that sweeps a stock httpx client and returns a description of the faults."""

    def swept(act: Any, *, tls: bool = False) -> str:
        points = sweep(Scenario(act, [BURST], without_us(httpx, tls=tls), ask=stock_again))
        faults = faults_of(points)
        record_property("stock_points", len(points))
        record_property("stock_faults", len(faults))
        return "\n".join(faults)

    return swept


def test_the_sweep_reports_the_generators_that_the_stock_client_abandons(
    without_us_it_fails: Callable[..., str],
) -> None:
    assert "was garbage collected before it had been exhausted" in without_us_it_fails(stock_left_early)


def test_the_sweep_reports_the_sockets_and_slots_that_the_stock_pool_loses(
    without_us_it_fails: Callable[..., str],
) -> None:
    faults = without_us_it_fails(stock, tls=True)
    assert "unclosed <socket.socket" in faults, "a cancellation during the TLS handshake leaves a socket open"
    assert "TooSlowError" in faults, (
        "a cancellation after the handshake loses a slot, so the next request waits for ever"
    )
