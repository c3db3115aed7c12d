"""The queue of a limiter: attempts begin in order of arrival, and cancelled ones do not block the others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing
from limiter_helpers import answer, prompt, prompt_of
from net_helpers import client_over, serve

from trio_openai import (
    AdaptiveLimiter,
    Attempt,
    Limiter,
    RateLimiter,
)

# In order of arrival.


@pytest.mark.parametrize(
    "make_limiter",
    [lambda: AdaptiveLimiter(initial=2, maximum=2), lambda: RateLimiter(requests_per_minute=60)],
    ids=["adaptive", "rate"],
)
async def test_attempts_begin_in_order_of_arrival(
    nursery: trio.Nursery, autojump_clock: object, make_limiter: Callable[[], Limiter]
) -> None:
    server = await serve(nursery, lambda request: answer(3 - int(prompt_of(request)) % 3))
    client, _ = client_over(server, limiter=make_limiter())

    async def ask(number: int) -> None:
        async with client.chat.completions.stream(model="m", messages=prompt(number)) as stream:
            await stream.until_done()

    async with client, trio.open_nursery() as tasks:
        for number in range(20):
            tasks.start_soon(ask, number)
            await trio.testing.wait_all_tasks_blocked()
    assert [int(prompt_of(request)) for request in server.requests] == list(range(20))


async def test_smaller_attempt_does_not_overtake_a_waiting_one(autojump_clock: object) -> None:
    limiter = RateLimiter(tokens_per_minute=6000)
    order: list[tuple[str, float]] = []

    async def wait(name: str, tokens: int) -> None:
        await limiter.acquire(Attempt(method="POST", path="/x", tokens=tokens))
        order.append((name, trio.current_time()))

    async with trio.open_nursery() as nursery:
        for name, tokens in (("first", 100), ("big", 100), ("small", 1)):
            nursery.start_soon(wait, name, tokens)
            await trio.sleep(0.25)  # there would be enough for the small attempt by then
    assert order == [("first", 0.0), ("big", 1.0), ("small", 1.01)]


async def test_next_attempt_takes_over_when_the_first_is_cancelled(autojump_clock: object) -> None:
    limiter = RateLimiter(requests_per_minute=60)
    times: list[float] = []

    async def wait(scope: trio.CancelScope) -> None:
        with scope:
            await limiter.acquire(Attempt(method="POST", path="/x"))
            times.append(trio.current_time())

    scopes = [trio.CancelScope() for _ in range(4)]
    with trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            for scope in scopes:
                nursery.start_soon(wait, scope)
                await trio.testing.wait_all_tasks_blocked()
            scopes[1].cancel()
    assert times == pytest.approx([0.0, 1.0, 2.0])


async def test_cancelled_waiters_do_not_block_the_others(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, answer(1))
    limiter = AdaptiveLimiter(initial=1, maximum=1)
    client, _ = client_over(server, limiter=limiter)
    scopes = [trio.CancelScope() for _ in range(8)]
    done: list[int] = []

    async def ask(number: int) -> None:
        with scopes[number]:
            async with client.chat.completions.stream(model="m", messages=prompt(number)) as stream:
                await stream.until_done()
                done.append(number)

    async with client:
        async with trio.open_nursery() as tasks:
            for number in range(8):
                tasks.start_soon(ask, number)
                await trio.testing.wait_all_tasks_blocked()
            assert limiter.statistics().waiting == 7
            for number in (1, 2, 4, 7):  # the first in line, the next, one in the middle, the last
                scopes[number].cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert limiter.statistics().waiting == 3
            await trio.sleep(1.5)
            scopes[3].cancel()  # while it is first
        assert done == [0, 5, 6]
        assert trio.current_time() < 5
        assert (limiter.statistics().waiting, limiter.statistics().in_flight) == (0, 0)
