"""The limits of a batch job: the first limit comes from the server's headers, and permits are never lost."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from batch_helpers import ListSink, ListSource, echoing, prompts

from trio_openai import AdaptiveLimiter, Attempt, Outcome, RateLimiter, batch
from trio_openai._batch.limits import Gate, JobLimiter, NotStartedError, SeededLimiter, concurrency_of
from trio_openai._batch.statistics import Times
from trio_openai.testing import RecordedRequest, Reply

ATTEMPT = Attempt(method="POST", path="/chat/completions", tokens=10)


def headers(requests: object = None, tokens: object = None) -> dict[str, str]:
    given = {"requests": requests, "tokens": tokens}
    return {f"x-ratelimit-remaining-{kind}": str(left) for kind, left in given.items() if left is not None}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (headers(600), 20),  # ten a second, two seconds each
        (headers(600, 6000), 2),  # six thousand tokens are sixty requests a minute
        (headers(6), 1),
        (headers(), None),
        (headers("many", "-5"), None),
    ],
)
def test_the_first_limit_uses_up_what_the_server_allows(given: dict[str, str], expected: int | None) -> None:
    assert concurrency_of(given, 2.0, 100) == expected


async def test_the_adaptive_limiter_is_seeded_once(autojump_clock: object) -> None:
    limiter = SeededLimiter(200)
    for left, expected in ((6000, 100), (60000, 101)):
        permit = await limiter.acquire(ATTEMPT)
        await trio.sleep(1)
        reset = {"x-ratelimit-reset-requests": "60s"}
        permit.settle(Outcome(status=200, headers={**headers(left), **reset}, tokens=5))
        assert limiter.statistics().limit == pytest.approx(expected, abs=1)


async def test_a_closed_gate_takes_back_the_permit_of_the_job(autojump_clock: object) -> None:
    gate, shared = Gate(), RateLimiter(requests_per_minute=600)
    own = AdaptiveLimiter(initial=1)
    limiter = JobLimiter(gate, shared, own)
    permit = await limiter.acquire(ATTEMPT)

    async def wait() -> None:
        with pytest.raises(NotStartedError):
            await limiter.acquire(ATTEMPT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(1)
        assert shared.statistics().in_flight == 2
        gate.close()
    assert shared.statistics().in_flight == 1
    permit.settle(Outcome(status=200))
    assert (shared.statistics().in_flight, own.statistics().in_flight) == (0, 0)
    await wait()


async def test_a_server_that_limits_the_rate_refuses_few_requests(autojump_clock: object) -> None:
    began: list[float] = []
    refused = 0

    def script(_: RecordedRequest) -> Reply:
        nonlocal refused
        now = trio.current_time()
        if sum(now - 1 < time for time in began) >= 20:
            refused += 1
            return Reply.error(429, "slow down", headers={"retry-after": "1"})
        began.append(now)
        return Reply.chat("ok")

    async with echoing(script, max_retries=5) as (client, _):
        source = ListSource(prompts(*(f"p {number}" for number in range(300))))
        async with batch.run(source, ListSink(), clients=client, model="m") as job:
            statistics = await job.wait()
    assert (statistics.done, statistics.failed) == (300, 0)
    assert statistics.retries == refused < 60


async def test_a_clients_own_limiter_is_kept(autojump_clock: object) -> None:
    class Counting:
        def __init__(self) -> None:
            self.settled: list[Any] = []

        async def acquire(self, _: Attempt) -> Counting:
            await trio.lowlevel.checkpoint()
            return self

        def settle(self, outcome: Outcome) -> None:
            self.settled.append(outcome.status)

    limiter = Counting()
    async with (
        echoing(limiter=limiter) as (client, _),
        batch.run(ListSource(prompts("a", "fail")), ListSink(), clients=client, model="m"),
    ):
        pass
    assert sorted(limiter.settled) == [200, 400]


def test_percentiles_are_kept_to_two_percent() -> None:
    times = Times()
    assert times.percentile(0.5) is None
    for number in range(1, 1001):
        times.add(number / 100)
    assert times.percentile(0.5) == pytest.approx(5.0, rel=0.02)
    assert times.percentile(0.99) == pytest.approx(9.9, rel=0.02)
    times.add(0.0)
    assert times.percentile(0.0001) == pytest.approx(1e-4, rel=0.02)
