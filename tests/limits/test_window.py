"""A limit that nobody states: how the window reacts to each answer, and how it copes with many hidden limits."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import pytest
from hidden_limits import Concurrency, TokenBucket
from hypothesis import given
from hypothesis import strategies as st
from window_simulation import Simulation

from trio_openai._limits.adaptive import Window
from trio_openai._limits.rate import Flight

UNIX = 1_700_000_000.0


def begin(window: Window, count: int, now: float = 0.0) -> list[Flight]:
    """Begin this many attempts at once, whatever the pace. There is room for all of them."""
    flights = []
    for _ in range(count):
        assert window.ready_at(0, now) < math.inf
        flights.append(window.begin(0, now))
    return flights


def end(window: Window, flight: Flight, status: int | None = 200, now: float = 1.0, **headers: str) -> None:
    window.end(flight, status, {name.replace("_", "-"): value for name, value in headers.items()}, now, UNIX)


def fill(window: Window, now: float) -> list[Flight]:
    """Begin as many attempts as fit, each as soon as the pace allows."""
    flights = []
    while (ready := window.ready_at(0, now)) < math.inf:
        now = max(now, ready)
        flights.append(window.begin(0, now))
    return flights


def a_round(window: Window, now: float) -> float:
    """Fill the window, answer every attempt one second after the last began, and return the time after that."""
    flights = fill(window, now)
    now = max(flight.began for flight in flights) + 1.0
    for flight in flights:
        end(window, flight, now=now)
    return now


def refused_at(level: int, now: float = 0.0, **headers: str) -> Window:
    """Return a window that was refused with this many attempts in flight; the other attempts were answered."""
    window = Window(level, 1, 1000)
    *others, last = begin(window, level, now)
    end(window, last, 429, now, **headers)
    for flight in others:
        end(window, flight, now=now + 1.0)
    return window


# The window.


def test_limit_bounds_the_attempts_in_flight() -> None:
    window = Window(3, 1, 10)
    flights = begin(window, 3)
    assert window.ready_at(0, 0.0) == math.inf
    end(window, flights[0], None)
    assert window.ready_at(0, 1.0) <= 1.0


def test_limit_grows_with_every_answer_until_the_first_refusal() -> None:
    window = Window(2, 1, 1000)
    for doubled in (4.0, 8.0, 16.0, 32.0):
        for flight in begin(window, math.floor(window.limit)):
            before = window.limit
            end(window, flight)
            assert window.limit == before + 1
        assert window.limit == doubled


def test_limit_grows_by_one_per_round_after_a_refusal_then_faster() -> None:
    window, now = Window(20, 1, 20), 0.0
    for _ in range(20):
        now = a_round(window, now)
    window.maximum = 1000
    *others, last = fill(window, now)
    end(window, last, 429, now)
    for flight in others:
        end(window, flight, now=now)
    growth: list[float] = []
    for _ in range(8):
        before = window.limit
        now = a_round(window, now)
        if before >= 20.0:
            growth.append(window.limit - before)
    assert 0.5 < growth[0] <= 2.5
    assert growth == sorted(growth)
    assert growth[-1] > 3 * growth[0]


def test_limit_does_not_grow_while_it_is_not_fully_used() -> None:
    window = Window(10, 1, 1000)
    for _ in range(100):
        for flight in begin(window, 9):
            end(window, flight)
    assert window.limit == 10.0


@pytest.mark.parametrize("status", [429, 503])
def test_limit_shrinks_by_a_factor(status: int) -> None:
    window = Window(10, 1, 1000)
    *_, last = begin(window, 10)
    end(window, last, status)
    assert window.limit == 7.0
    assert window.throttled == 1


@pytest.mark.parametrize("status", [None, 301, 400, 401, 404, 409, 500, 502])
def test_other_outcomes_do_not_change_the_limit(status: int | None) -> None:
    window = Window(10, 1, 1000)
    for flight in begin(window, 10):
        end(window, flight, status)
    assert (window.limit, window.in_flight, window.throttled) == (10.0, 0, 0)


def test_limit_shrinks_once_for_all_attempts_begun_before_the_refusal() -> None:
    window = Window(10, 1, 1000)
    for flight in begin(window, 10):
        end(window, flight, 429)
    assert window.limit < 1 * 10
    assert window.limit == max(1.0, 0.7 * 1)  # the first refused attempt had begun with one in flight
    assert window.throttled == 10


def test_limit_shrinks_again_if_a_later_attempt_is_refused() -> None:
    window = Window(20, 1, 1000)
    end(window, begin(window, 20)[-1], 429, 0.0)
    assert window.limit == 14.0
    for flight in [Flight(serial, 1, 0.0, 0) for serial in range(1, 15)]:
        end(window, flight, None, 0.0)
    (later,) = begin(window, 1)
    assert later.level == 6
    end(window, later, 429, 0.0)
    assert window.limit == pytest.approx(6 * 0.7)


def test_limit_stays_within_its_bounds() -> None:
    window = Window(50, 4, 6)
    assert window.limit == 6.0
    for _ in range(5):
        for flight in begin(window, 6):
            end(window, flight)
    assert window.limit == 6.0
    for now in range(0, 1000, 100):
        end(window, window.begin(0, float(now)), 429, float(now))
    assert window.limit == 4.0


def test_initial_limit_is_kept_within_the_bounds() -> None:
    assert Window(1, 5, 10).limit == 5.0
    assert Window(10, 1, 1000).limit == 10.0


# Pauses.


def test_retry_after_is_obeyed() -> None:
    assert refused_at(10, retry_after="7").ready_at(0, 2.0) == 7.0
    assert refused_at(10, retry_after_ms="2500").ready_at(0, 2.0) == 2.5


def test_reset_header_is_obeyed_without_retry_after() -> None:
    headers = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "6s"}
    assert refused_at(10, **headers).paused_until == 6.0
    assert refused_at(10, **headers, retry_after="3").paused_until == 3.0
    assert refused_at(10, x_ratelimit_reset_tokens="1m0s").paused_until == 60.0


def test_pause_is_at_most_two_minutes() -> None:
    assert refused_at(10, retry_after="86400").paused_until == 120.0
    assert refused_at(10, x_ratelimit_reset_requests="18h0m").paused_until == 120.0


@pytest.mark.parametrize("wait", ["0", "-5", "soon", ""])
def test_invalid_retry_after_is_ignored(wait: str) -> None:
    assert refused_at(10, retry_after=wait).paused_until == -math.inf


def test_pauses_without_retry_after_start_at_the_second_refusal_and_grow() -> None:
    window, now, pauses = Window(10, 1, 1000), 0.0, []
    for _ in range(8):
        now = max(now, window.ready_at(0, now))
        end(window, window.begin(0, now), 429, now)
        pauses.append(max(window.paused_until - now, 0.0))
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]


def test_answer_ends_a_series_of_refusals() -> None:
    window, now = Window(10, 1, 1000), 0.0
    for status in (429, 429, 429, 200, 429):
        now = max(now, window.ready_at(0, now))
        end(window, window.begin(0, now), status, now)
    assert window.paused_until <= now


def test_rate_limit_headers_are_obeyed() -> None:
    window = Window(10, 1, 1000)
    first, *_ = begin(window, 3)
    headers = {"x_ratelimit_limit_requests": "60", "x_ratelimit_remaining_requests": "4"}
    end(window, first, 200, 1.0, **headers, x_ratelimit_reset_requests="30s")
    begun = []
    now = 1.0
    while (ready := window.ready_at(0, now)) < 30.0:  # the server had four left, and two of them have begun since
        now = max(now, ready)
        begun.append(window.begin(0, now))
    assert len(begun) == 2
    assert window.ready_at(0, now) == 30.0


def test_token_limit_headers_are_obeyed() -> None:
    window = Window(10, 1, 1000)
    first, second = window.begin(100, 0.0), window.begin(100, 0.0)
    assert (first.spent, second.spent) == (100, 200)
    headers = {"x_ratelimit_limit_tokens": "6000", "x_ratelimit_remaining_tokens": "1100"}
    end(window, first, 200, 1.0, **headers, x_ratelimit_reset_tokens="30s")
    assert window.ready_at(1000, 1.0) <= 1.0
    assert window.ready_at(1001, 1.0) == 30.0


# What is safe, when more is tried, and what that costs.


def test_limit_soon_returns_to_just_below_the_refused_level() -> None:
    window, now = refused_at(21), 2.0
    assert window.limit == pytest.approx(14.7)
    a_round(window, now)
    assert 20.0 <= window.limit < 21.0


def test_limit_stays_below_the_refused_level_for_a_hundred_answers() -> None:
    window = Window(11, 1, 1000)
    end(window, window.begin(0, 0.0), 400, 0.0)  # the first minute, in which refusals cost less, is over
    *others, last = begin(window, 11, 100.0)
    end(window, last, 429, 100.0)
    for flight in others:
        end(window, flight, now=101.0)
    now = 101.0
    while window.limit < 11.0:  # the first refusal costs little, because it says little
        now = a_round(window, now)
    *others, last = fill(window, now)
    end(window, last, 429, now + 1.0)
    for flight in others:
        end(window, flight, now=now + 1.0)
    safe, answers = last.level - 1, len(others)
    while window.limit <= safe:
        now = a_round(window, now)
        answers += math.floor(window.limit)
    assert 100 <= answers <= 100 + 3 * safe


@pytest.mark.parametrize("most", [1, 2, 5, 20])
def test_at_most_one_in_a_hundred_is_refused_for_any_limit(most: int) -> None:
    simulation = Simulation(Concurrency(most), lambda _: 1.0, workers=50, seed=1)
    simulation.run(1000.0)
    used, refused = simulation.score(100.0, 1000.0, 1.01)
    assert 0.002 < refused < 0.0125, "it tries, and not too often"
    assert used > 0.9


def test_lowest_level_counts_if_several_are_refused_together() -> None:
    window = Window(10, 1, 1000)
    flights = begin(window, 10)
    for flight in reversed(flights[6:]):
        end(window, flight, 429)
    assert window.limit == 6.0


def test_rate_is_blamed_if_the_level_was_answered_before() -> None:
    window, now = Window(5, 1, 5), 0.0
    for _ in range(20):
        now = a_round(window, now)
    *others, last = fill(window, now)
    end(window, last, 429, now)
    for flight in others:
        end(window, flight, now=now + 1.0)
    assert window.rate == math.inf
    (probe,) = begin(window, 1, now + 1.0)
    end(window, probe, now=now + 2.0)
    assert 3.0 < window.rate < 5.0  # up to five attempts at a time, one second each


@pytest.mark.parametrize("answered", range(5))
def test_any_order_of_refusals_in_a_first_burst_blames_the_level(answered: int) -> None:
    """Attempts that begin together may arrive in any order, so the first of them was not necessarily alone."""
    window = Window(5, 1, 1000)
    flights = begin(window, 5)
    for flight in flights[:answered] + flights[answered + 1 :]:
        end(window, flight, 429, 0.0)
    end(window, flights[answered], now=2.0)
    end(window, window.begin(0, 2.0), now=4.0)
    assert window.rate == math.inf


def test_long_refusals_indicate_a_rate_limit() -> None:
    window, now = Window(5, 1, 5), 0.0
    for _ in range(6):
        now = a_round(window, now)
    for flight in reversed(fill(window, now)):
        end(window, flight, 429, now, retry_after="30")
    end(window, *begin(window, 1, now + 30.0), now=now + 31.0)
    assert window.rate == pytest.approx(
        30 / (now + 30.0), rel=0.25
    )  # the attempts that got through, and the time in which they did
    end(window, *begin(window, 1, now + 31.0), now=now + 31.1)
    assert window.ready_at(0, now + 31.1) == pytest.approx(now + 31.0 + 1 / window.rate, abs=0.1)


def rate_after(seconds_refused: float, *, idle: float = 0.0, times: int = 1, good: int = 12) -> float:
    """Return the rate after five answers per second for a while, then refusals for some time, then idle time."""
    window, now = Window(5, 1, 5), 0.0
    for _ in range(times):
        for _ in range(good):
            now = a_round(window, now)
        until = now + seconds_refused
        while now < until:
            now = max(now, window.ready_at(0, now))
            end(window, window.begin(0, now), 503, now)
        now = max(now, window.ready_at(0, now)) + idle
        end(window, window.begin(0, now), now=now + 1.0)
    return window.rate


@pytest.mark.parametrize("seconds", [0.5, 10.0, 40.0, 200.0])
def test_outage_does_not_indicate_a_rate_limit(seconds: float) -> None:
    assert rate_after(seconds) == math.inf


def test_frequent_long_outages_indicate_a_rate_limit() -> None:
    assert rate_after(40.0, times=3) < 4.0
    assert rate_after(40.0, times=3, good=200) == math.inf, "less than a fifth of the time"


def test_idle_time_does_not_indicate_a_rate_limit() -> None:
    assert rate_after(20.0, times=3) < 5.0
    assert rate_after(20.0, times=3, idle=30.0) == math.inf


def test_rate_is_not_underestimated_after_little_traffic() -> None:
    window, now = Window(10, 1, 1000), 0.0
    for _ in range(100):
        now += 9.9
        end(window, *begin(window, 1, now), now=now + 9.0)
    refused = begin(window, 10, now + 9.1)
    for flight in refused:
        end(window, flight, 429, now + 9.1, retry_after="30")
    end(window, *begin(window, 1, now + 40.0), now=now + 49.0)
    assert window.rate >= 0.1 * 1.0 / 9.0


def test_rate_grows_after_the_debt_is_paid() -> None:
    simulation = Simulation(TokenBucket(60, 5, {300.0: 240}, told="retry-after"), lambda _: 0.1, workers=20, seed=1)
    simulation.run(300.0)
    assert simulation.window.rate == pytest.approx(1.0, rel=0.25)
    simulation.run(900.0)
    assert simulation.window.rate == pytest.approx(4.0, rel=0.25)


def test_attempts_are_spread_over_time() -> None:
    window = Window(100, 1, 1000)
    for flight in begin(window, 100):
        end(window, flight, now=1.0)
    window.resize(100, 1, 100)
    begun = [flight.began for flight in fill(window, 10.0)]
    assert len(begun) == 100
    at_once = sum(began == 10.0 for began in begun)
    assert at_once <= 15
    assert begun[-1] - 10.0 == pytest.approx(1 / 1.5, rel=0.2)  # times the duration of an attempt


# Resizing.


def test_setting_the_limit_forgets_what_was_learned() -> None:
    window = refused_at(20, 0.0)
    window.resize(50, 1, 100)
    assert (window.limit, window.rate) == (50.0, math.inf)
    window.resize(500, 1, 100)
    assert window.limit == 100.0


def test_bounds_can_be_set_without_the_limit() -> None:
    window = refused_at(20, 0.0)
    window.resize(None, 18, 100)
    assert window.limit == 18.0
    window.resize(None, 1, 3)
    assert window.limit == 3.0


def test_attempts_in_flight_continue_when_the_limit_is_lowered() -> None:
    window = Window(5, 1, 10)
    flights = begin(window, 5)
    window.resize(2, 1, 10)
    for flight in flights[:3]:
        assert window.ready_at(0, 1.0) == math.inf
        end(window, flight, None)
    end(window, flights[3], None)
    assert window.ready_at(0, 1.0) <= 1.0


# Random histories.


@given(
    st.integers(1, 20),
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "begin", "begin", "end"]),
            st.floats(0, 50),
            st.sampled_from([None, 200, 200, 200, 400, 429, 503]),
            st.sampled_from(
                [
                    {},
                    {"retry_after": "3"},
                    {"retry_after": "900"},
                    {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "30s"},
                    {"x_ratelimit_remaining_tokens": "5", "x_ratelimit_reset_tokens": "0s"},
                ]
            ),
            st.integers(0, 100),
        ),
        max_size=80,
    ),
)
def test_random_histories_keep_the_invariants_and_strand_nobody(initial: int, steps: list[Any]) -> None:
    window, now, flights = Window(initial, 1, 12), 0.0, deque[Flight]()
    for what, seconds, status, headers, tokens in steps:
        now += seconds
        if what == "begin" and window.ready_at(tokens, now) <= now:
            assert len(flights) + 1 <= window.limit
            assert now >= window.paused_until
            flights.append(window.begin(tokens, now))
        elif flights:
            end(window, flights[0] if tokens % 2 else flights[-1], status, now, **headers)
            flights.popleft() if tokens % 2 else flights.pop()
        assert 1.0 <= window.limit <= 12.0
        assert window.in_flight == len(flights)
        assert window.rate > 0
    for flight in flights:
        end(window, flight, None, now)
    for _ in range(10):  # another cause may postpone the stated time, but not again and again
        now = max(now, window.ready_at(5, now))
        assert now < math.inf
    assert window.ready_at(5, now) <= now
