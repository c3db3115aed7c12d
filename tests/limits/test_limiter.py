"""Limiters in a client: how much of a hidden limit they use, how much is refused, and who comes first."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from hidden_limits import Concurrency, FixedMinutes, HiddenLimit, TokenBucket, at_random
from limiter_helpers import answer
from net_helpers import CHAT, client_over, serve
from sync_helpers import served

from trio_openai import (
    AdaptiveLimiter,
    AdaptiveStatistics,
    RateLimiter,
    RateLimitError,
    RateStatistics,
    TrioOpenAI,
)
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import RecordedRequest, Reply, Stall

HELLO = Reply.chat("Hello there.")


# A server with a hidden limit.


class LimitedServer:
    """A server that answers what its limit admits, each after `length` seconds, and refuses the rest with 429."""

    def __init__(self, hidden: HiddenLimit, length: Callable[[], float]) -> None:
        self.answers: list[tuple[float, bool]] = []
        self._hidden = hidden
        self._length = length
        self._ends: list[float] = []

    def __call__(self, _: RecordedRequest) -> Reply:
        now = trio.current_time()
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
            self._hidden.left()
        admitted, headers = self._hidden.admits(now)
        self.answers.append((now, admitted))
        if not admitted:
            return Reply.error(429, "slow down", code="rate_limit_exceeded", headers=headers)
        seconds = self._length()
        heapq.heappush(self._ends, now + seconds)
        return answer(seconds, headers)

    def figures(self, since: float, until: float, seconds: float) -> tuple[float, float]:
        """Return the used share of the limit's throughput, and the refused share of the requests."""
        seen = [admitted for at, admitted in self.answers if since <= at < until]
        return sum(seen) / (until - since) / self._hidden.throughput(since, seconds), 1 - sum(seen) / len(seen)


async def by_run_many(client: TrioOpenAI, seconds: float) -> None:
    calls = (client.chat.completions.call(key=number, **CHAT) for number in itertools.count())
    with trio.move_on_after(seconds):
        async with client.run_many(calls, max_concurrent=60) as results:
            async for _ in results:
                pass


async def by_streams(client: TrioOpenAI, seconds: float) -> None:
    async def ask_again_and_again() -> None:
        while True:
            try:
                async with client.chat.completions.stream(**CHAT) as stream:
                    await stream.until_done()
            except RateLimitError:
                pass

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(ask_again_and_again)


def even(_: random.Random) -> float:
    return 2.0


def spread(random: random.Random) -> float:
    return random.uniform(1.0, 3.0)


@pytest.mark.parametrize(
    ("make_hidden", "length", "drive"),
    [
        (lambda: Concurrency(1), even, by_run_many),
        (lambda: Concurrency(5), even, by_streams),
        (lambda: Concurrency(5, wait="1"), spread, by_run_many),
        (lambda: Concurrency(20), spread, by_run_many),
        (lambda: TokenBucket(300, 5, told="retry-after"), even, by_run_many),
        (lambda: TokenBucket(300, 30, told=""), spread, by_streams),
        (lambda: TokenBucket(300, 1, told=""), even, by_streams),
        (lambda: TokenBucket(300, 300, told="x-ratelimit"), spread, by_run_many),
        (lambda: FixedMinutes(300, told="retry-after"), even, by_run_many),
    ],
    ids=[
        "1 at a time",
        "5 at a time",
        "5 at a time, with retry-after",
        "20 at a time",
        "300 a minute, bursts of 5, with retry-after",
        "300 a minute, bursts of 30",
        "300 a minute, strictly spaced",
        "300 a minute, bursts of 300, with x-ratelimit",
        "300 in each minute, with retry-after",
    ],
)
async def test_hidden_limit_is_used_to_four_fifths_with_under_two_per_cent_refused(
    nursery: trio.Nursery,
    autojump_clock: object,
    monkeypatch: pytest.MonkeyPatch,
    make_hidden: Callable[[], HiddenLimit],
    length: Callable[[random.Random], float],
    drive: Any,
) -> None:
    """Measure after the first minute of trio's clock."""
    monkeypatch.setattr("random.random", random.Random(2).random)  # the client's jitter
    lengths = random.Random(1)
    limited = LimitedServer(make_hidden(), lambda: length(lengths))
    client, _ = client_over(await serve(nursery, limited), limiter=AdaptiveLimiter())
    async with client:
        await drive(client, 240.0)
    used, refused = limited.figures(60.0, 240.0, 2.0)
    assert used > 0.8
    assert refused < 0.02


@pytest.mark.parametrize("drive", [by_run_many, by_streams])
async def test_random_refusals_cost_little_throughput(
    nursery: trio.Nursery, autojump_clock: object, monkeypatch: pytest.MonkeyPatch, drive: Any
) -> None:
    """Run sixty requests at a time, each of which takes two seconds."""
    monkeypatch.setattr("random.random", random.Random(2).random)  # the client's jitter
    limited = LimitedServer(at_random(0.01, 1), lambda: 2.0)
    client, _ = client_over(await serve(nursery, limited), limiter=AdaptiveLimiter())
    async with client:
        await drive(client, 100.0)
    assert sum(admitted for at, admitted in limited.answers if 30.0 <= at < 100.0) > 0.8 * 60 * 70 / 2.0


async def test_without_a_limiter_more_than_half_of_the_requests_are_refused(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Show that the test above can fail."""
    limited = LimitedServer(Concurrency(5), lambda: 2.0)
    client, _ = client_over(await serve(nursery, limited), max_retries=0)
    async with client:
        await ask_many(client, 60)
    assert limited.figures(0.0, 2.0, 2.0)[1] > 0.5


# Waiting as the server says.


async def test_no_attempt_begins_before_retry_after_has_passed(nursery: trio.Nursery, autojump_clock: object) -> None:
    times: list[float] = []

    def script(_: RecordedRequest) -> Reply:
        times.append(trio.current_time())
        return Reply.error(429, "slow down", headers={"retry-after": "7"}) if len(times) == 1 else answer(1)

    client, _ = client_over(await serve(nursery, script), limiter=AdaptiveLimiter(initial=1))
    async with client, client.run_many([client.chat.completions.call(**CHAT) for _ in range(4)]) as results:
        assert all([result.error is None async for result in results])
    assert times[0] == 0.0
    assert times[1] == 7.0
    assert len(times) == 5


async def test_no_attempt_begins_before_the_reset_when_nothing_is_left(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    headers = {"x-ratelimit-limit-requests": "3", "x-ratelimit-remaining-requests": "0"}
    headers["x-ratelimit-reset-requests"] = "1m0s"
    times: list[float] = []

    def script(_: RecordedRequest) -> Reply:
        times.append(trio.current_time())
        return answer(0, headers if len(times) == 1 else None)

    client, _ = client_over(await serve(nursery, script), limiter=AdaptiveLimiter())
    async with client:
        for _ in range(3):
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
    assert times == [0.0, 60.0, 80.0]


async def test_exhausted_quota_does_not_slow_down(nursery: trio.Nursery, autojump_clock: object) -> None:
    quota = Reply.error(429, "pay", code="insufficient_quota", headers={"retry-after": "60"})
    server = await serve(nursery, [quota, quota, HELLO])
    limiter = AdaptiveLimiter(initial=4)
    client, _ = client_over(server, limiter=limiter)
    async with client:
        for _ in range(2):
            with pytest.raises(RateLimitError):
                await client.chat.completions.create(**CHAT, stream=True)
        async with client.chat.completions.stream(**CHAT) as stream:
            await stream.until_done()
    assert len(server.requests) == 3
    assert trio.current_time() == 0.0
    statistics = limiter.statistics()
    assert (statistics.limit, statistics.throttled, statistics.paused_for) == (4.0, 0, 0.0)


async def test_overload_error_inside_a_stream_counts(nursery: trio.Nursery, autojump_clock: object) -> None:
    overload = Reply.sse({"error": {"message": "busy", "type": "overloaded_error"}})
    limiter = AdaptiveLimiter(initial=10)
    client, _ = client_over(await serve(nursery, [overload, HELLO]), limiter=limiter)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()
    assert limiter.statistics().throttled == 1
    assert limiter.statistics().limit < 10


# Rates.


async def test_requests_per_minute_are_limited(nursery: trio.Nursery, autojump_clock: object) -> None:
    times: list[float] = []

    def script(_: RecordedRequest) -> Reply:
        times.append(trio.current_time())
        return HELLO

    client, _ = client_over(await serve(nursery, script), limiter=RateLimiter(requests_per_minute=30))
    async with client, client.run_many([client.chat.completions.call(**CHAT) for _ in range(60)]) as results:
        assert all([result.error is None async for result in results])
    assert times == pytest.approx([2.0 * number for number in range(60)])


async def test_used_tokens_replace_the_estimate(nursery: trio.Nursery, autojump_clock: object) -> None:
    """Let the next attempt wait for the tokens that were used, not for those that were allowed."""
    for used, wait in ((30, 30.0), (600, 600.0)):
        times: list[float] = []
        usage = {"total_tokens": used, "completion_tokens": used}

        def script(_: RecordedRequest, times: list[float] = times, usage: dict[str, int] = usage) -> Reply:
            times.append(trio.current_time())
            return answer(0, usage=usage)

        client, _ = client_over(await serve(nursery, script), limiter=RateLimiter(tokens_per_minute=60))
        async with client:
            for _ in range(2):
                async with client.chat.completions.stream(model="m", messages=[], max_tokens=300) as stream:
                    await stream.until_done()
        assert times[1] - times[0] == pytest.approx(wait)


# Resizing and statistics.


async def ask_many(client: TrioOpenAI, count: int) -> None:
    async with client.run_many([client.chat.completions.call(**CHAT) for _ in range(count)]) as results:
        async for _ in results:
            pass


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "from another thread"])
async def test_adaptive_limiter_is_resized_while_many_wait(nursery: trio.Nursery, elsewhere: bool) -> None:
    server = await serve(nursery, Reply.sse(Stall()))
    limiter = AdaptiveLimiter(initial=2, maximum=2)
    client, _ = client_over(server, limiter=limiter)
    async with client:
        nursery.start_soon(ask_many, client, 20)
        await server.wait_requests(2)
        await trio.testing.wait_all_tasks_blocked()
        assert limiter.statistics() == AdaptiveStatistics(
            limit=2.0,
            minimum=1,
            maximum=2,
            in_flight=2,
            waiting=18,
            paused_for=0.0,
            throttled=0,
            requests_per_minute=None,
        )
        with pytest.raises(ValueError, match="minimum <= maximum"):
            limiter.resize(minimum=3)

        def resize() -> None:
            limiter.resize(7, maximum=100)

        await trio.to_thread.run_sync(resize) if elsewhere else resize()
        await server.wait_requests(7)
        await trio.testing.wait_all_tasks_blocked()
        assert len(server.requests) == 7
        assert (limiter.statistics().limit, limiter.statistics().waiting) == (7.0, 13)
        limiter.resize(3)
        assert limiter.statistics().in_flight == 7
        nursery.cancel_scope.cancel()


async def test_rate_limiter_is_resized_while_many_wait(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, HELLO)
    limiter = RateLimiter(requests_per_minute=1)
    client, _ = client_over(server, limiter=limiter)
    async with client:
        nursery.start_soon(ask_many, client, 20)
        await trio.sleep(30)
        assert len(server.requests) == 1
        assert limiter.statistics() == RateStatistics(
            requests_per_minute=1, tokens_per_minute=None, in_flight=0, waiting=19
        )
        limiter.resize(requests_per_minute=60)
        assert limiter.statistics().requests_per_minute == 60
        await trio.sleep(20)
        assert len(server.requests) == 20


@pytest.mark.parametrize("kind", [AdaptiveLimiter, RateLimiter])
def test_invalid_arguments_are_refused(kind: Any) -> None:
    bad: Any = {
        AdaptiveLimiter: [{"initial": 0}, {"minimum": 0}, {"minimum": 5, "maximum": 4}, {"maximum": 0}],
        RateLimiter: [{}, {"requests_per_minute": 0}, {"tokens_per_minute": -1}, {"requests_per_minute": float("inf")}],
    }
    for options in bad[kind]:
        with pytest.raises(ValueError, match=r"must be|needs"):
            kind(**options)


def test_limiter_can_be_resized_before_it_is_used() -> None:
    adaptive, rate = AdaptiveLimiter(), RateLimiter(requests_per_minute=1)
    adaptive.resize(50)
    rate.resize(tokens_per_minute=5)
    assert adaptive.statistics().limit == 50
    assert (rate.statistics().requests_per_minute, rate.statistics().tokens_per_minute) == (None, 5)


# Sharing between clients and runs.


async def test_clients_sharing_a_limiter_are_limited_together(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, answer(1))
    limiter = AdaptiveLimiter(initial=1, maximum=1)
    client, _ = client_over(server, limiter=limiter)
    async with client, trio.open_nursery() as tasks:
        tasks.start_soon(ask_many, client, 3)
        tasks.start_soon(ask_many, client.with_options(timeout=50), 3)
    assert trio.current_time() == 6.0


async def test_with_options_can_replace_or_remove_the_limiter(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, answer(1))
    client, transport = client_over(server, limiter=AdaptiveLimiter(initial=1, maximum=1))
    wide = client.with_options(limiter=AdaptiveLimiter(initial=3))
    free = client.with_options(limiter=None)
    async with client, trio.open_nursery() as tasks:
        for one in (client, wide, free):
            tasks.start_soon(ask_many, one, 10)
        await trio.sleep(0.5)
        assert transport.statistics().active == 1 + 3 + 10
        tasks.cancel_scope.cancel()


async def block(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await stream.until_done()


def test_limiter_belongs_to_one_trio_run() -> None:
    limiter = AdaptiveLimiter()

    async def ask() -> None:
        async with trio.open_nursery() as nursery:
            client, _ = client_over(await serve(nursery, HELLO), limiter=limiter)
            async with client:
                await block(client)
            nursery.cancel_scope.cancel()

    trio.run(ask)
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="another trio run")):
        trio.run(ask)


def test_sync_client_accepts_a_limiter() -> None:
    with served([Reply.error(503, "busy", headers={"retry-after-ms": "1"}), HELLO, HELLO]) as server:
        limiter = AdaptiveLimiter(initial=4)
        client: SyncOpenAI = server.client(limiter=limiter)
        with client:
            with client.chat.completions.stream(**CHAT) as stream:
                assert limiter.statistics().in_flight == 1
                stream.get_final_completion()
            assert (limiter.statistics().in_flight, limiter.statistics().throttled) == (0, 1)
            assert limiter.statistics().paused_for == 0.0
            limiter.resize(9)
            with client.with_options(limiter=None).chat.completions.stream(**CHAT):
                assert limiter.statistics().in_flight == 0
            assert limiter.statistics().limit == 9
