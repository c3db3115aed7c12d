"""Refusals that no limit explains, and limits on the gap between requests: how much throughput remains."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

import pytest
from hidden_limits import NoLimit, TokenBucket, at_random, outages
from window_simulation import LENGTHS, SECONDS, Simulation

from trio_openai._limits.randomness import Randomness
from trio_openai._limits.rate import Flight
from trio_openai._limits.spacing import Spacing

Length = Callable[[random.Random], float]
WORK: dict[str, tuple[int, Length]] = {  # workers, and the duration of an attempt in seconds
    "60 of half a second": (60, lambda _: 0.48),
    "120 of a second": (120, lambda _: 0.98),
    "12 of a second": (12, lambda _: 0.98),
    "60 of very different lengths": (60, lambda r: r.expovariate(2.0)),
    "20 of one to nine seconds": (20, lambda r: r.uniform(1.0, 9.0)),
}


@functools.cache
def free_throughput(work: str, seed: int) -> float:
    """Return the answers per second that the workers get when nothing is refused."""
    workers, length = WORK[work]
    free = Simulation(NoLimit(), length, workers, seed)
    free.run(120.0)
    return free.throughput(30.0, 120.0)


def throughput(hidden: NoLimit, work: str, since: float, until: float, seed: int = 1) -> float:
    """Return the answers per second as a share of what the same workers get when nothing is refused."""
    workers, length = WORK[work]
    faulty = Simulation(hidden, length, workers, seed)
    faulty.run(until)
    return faulty.throughput(since, until) / free_throughput(work, seed)


# Random refusals.


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("share", "least"), [(0.005, 0.8), (0.01, 0.8), (0.02, 0.7), (0.03, 0.5)])
@pytest.mark.parametrize("work", WORK)
def test_random_refusals_cost_little_throughput(work: str, share: float, least: float, seed: int) -> None:
    assert throughput(at_random(share, seed), work, 30.0, 180.0, seed) > least


def test_frequent_random_refusals_cost_little_with_few_requests() -> None:
    assert throughput(at_random(0.05, 1), "12 of a second", 30.0, 180.0) > 0.5


# Outages.


@pytest.mark.parametrize("work", WORK)
def test_repeated_short_outages_cost_little_throughput(work: str) -> None:
    spans = [(at, at + 0.5) for at in range(8, 200, 9)]
    assert throughput(outages(*spans), work, 30.0, 180.0) > 0.75


@pytest.mark.parametrize("seconds", [0.5, 2.0, 5.0, 10.0, 30.0, 60.0, 200.0])
@pytest.mark.parametrize("work", WORK)
def test_throughput_recovers_within_twenty_seconds_of_an_outage(work: str, seconds: float) -> None:
    end = 60.0 + seconds
    assert throughput(outages((60.0, end)), work, end + 20.0, end + 60.0) > 0.9


def test_throughput_recovers_equally_after_every_outage() -> None:
    hidden = outages((60.0, 70.0), (200.0, 230.0), (500.0, 501.0))
    assert throughput(hidden, "120 of a second", 521.0, 560.0) > 0.9


# Requests that must be spaced.


@pytest.mark.parametrize("told", ["", "retry-after"])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("a_minute", [300, 600, 1500, 3000])
def test_requests_are_spaced_as_the_server_wants(a_minute: int, length: str, told: str) -> None:
    """Refuse each request that comes sooner after the previous one than the rate allows."""
    simulation = Simulation(TokenBucket(a_minute, 1, told=told), LENGTHS[length], workers=300, seed=1)
    simulation.run(360.0)
    used, refused = simulation.score(60.0, 360.0, SECONDS[length])
    assert used > 0.8
    assert refused < 0.02


def gap(seconds: float, serial: int = 1) -> Flight:
    return Flight(serial, 1, 0.0, 0, 0.0, seconds)


def test_spacing_is_concluded_below_the_smallest_gap_and_dropped_above_it() -> None:
    spacing = Spacing()
    spacing.answered(gap(0.5))

    def judged(seconds: float, answers: int = 10) -> bool:
        spacing.judge(gap(seconds), answers)
        return spacing.is_likely

    assert not judged(0.2, answers=2), "too few answers"
    assert judged(0.2)
    assert spacing.slowed(10.0) == 9.0
    assert spacing.slowed(2.1) == pytest.approx(0.97 / 0.5)
    assert [judged(seconds) for seconds in (0.6, 0.2, 0.6, 0.2)] == [False, True, False, False]


def test_gap_after_a_refused_attempt_starts_at_the_one_before_it() -> None:
    spacing = Spacing()
    assert spacing.begin(1.0) == float("inf")
    assert spacing.begin(1.25) == 0.25
    spacing.refused(Flight(2, 1, 1.25, 0, 0.0, 0.25), is_latest=True)
    assert spacing.begin(2.0) == 1.0


# Leaps.


def surprised() -> Randomness:
    randomness = Randomness()
    assert not randomness.is_suspected(10, agrees=False)
    assert randomness.is_suspected(10, agrees=False)
    randomness.leap()
    return randomness


def test_leap_with_few_refusals_indicates_random_refusals() -> None:
    randomness = surprised()
    assert not randomness.leap_refused(20)
    while not randomness.leap_answered():
        pass
    assert randomness.is_likely
    assert 0.01 < randomness.share < 0.03
    assert randomness.explains()


def test_leap_with_many_refusals_fails_and_delays_the_next() -> None:
    randomness = surprised()
    assert [randomness.leap_refused(begun) for begun in (2, 4, 6, 8)] == [False, False, False, True]
    assert not randomness.is_likely
    assert not randomness.is_leaping
    for _ in range(199):
        assert not randomness.is_suspected(10, agrees=False)
        randomness.answered()
    randomness.answered()
    assert randomness.is_suspected(10, agrees=False)


def test_setback_at_a_known_limit_is_no_surprise() -> None:
    randomness = Randomness()
    for _ in range(20):
        assert not randomness.is_suspected(10, agrees=False)
        assert not randomness.is_suspected(10, agrees=True)
        assert not randomness.is_suspected(0, agrees=False), "it belongs to the one before"


def test_many_refusals_in_a_row_start_another_observation() -> None:
    randomness = surprised()
    while not randomness.leap_answered():
        pass
    assert randomness.explains()
    assert randomness.explains()
    assert randomness.looks_again()


def test_slightly_too_many_refusals_indicate_a_limit() -> None:
    randomness = surprised()
    while not randomness.leap_answered():
        pass
    verdicts: list[bool] = []
    for _ in range(60):
        for _ in range(9):
            randomness.answered()
        verdicts.append(randomness.explains())
    assert not all(verdicts)
