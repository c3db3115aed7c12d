"""The arithmetic of stated limits: buckets, rate limit headers, and the tokens of a request."""

from __future__ import annotations

import itertools
import math
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_openai._limits.rate import Allowance, Bucket, Flight, Rates, duration, reset_of
from trio_openai._wire.usage import estimated_tokens, tokens_of_answer, used_tokens

# Rate limit headers.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("7m12s", 432.0),
        ("8.64s", 8.64),
        ("1h2m3.5s", 3723.5),
        ("1d", 86400.0),
        ("250us", 0.00025),
        ("0s", 0.0),
        (" 12 ", 12.0),
        ("1.5", 1.5),
        ("", None),
        (None, None),
        ("soon", None),
        ("-1s", None),
        ("1s ago", None),
        ("s", None),
        ("1e3", None),
        ("nan", None),
        ("2026-01-01T00:00:00Z", None),
        ("١s", None),
    ],
    ids=repr,
)
def test_durations(text: str | None, seconds: float | None) -> None:
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-ratelimit-reset-requests": "2s"}, 2.0),
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-remaining-requests": "0"}, 2.0),
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-remaining-requests": "5"}, None),
        ({"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "1m"}, 60.0),
        (
            {
                "x-ratelimit-reset-requests": "1m",
                "x-ratelimit-remaining-requests": "5",
                "x-ratelimit-reset-tokens": "2s",
                "x-ratelimit-remaining-tokens": "0",
            },
            2.0,
        ),
        ({"x-ratelimit-reset-requests": "tomorrow"}, None),
    ],
    ids=repr,
)
def test_reset_time_of_a_refusal(headers: dict[str, str], seconds: float | None) -> None:
    assert reset_of(headers) == seconds
    assert reset_of(httpx.Headers({name.upper(): value for name, value in headers.items()})) == seconds


# Buckets.

costs = st.integers(0, 50)
waits = st.floats(0, 100, allow_nan=False)


@given(st.floats(0.5, 6000), st.lists(st.tuples(waits, costs), min_size=2, max_size=40), st.floats(0, 1e6))
def test_bucket_never_gives_more_than_capacity_plus_inflow(
    a_minute: float, attempts: list[tuple[float, int]], now: float
) -> None:
    bucket = Bucket.of(a_minute)
    taken: list[tuple[float, float]] = []
    for wait, cost in attempts:
        now = max(now + wait, bucket.ready_at(cost))
        assert bucket.ready_at(cost) <= now  # the bucket is ready at the time that it stated
        bucket.take(cost, now)
        taken.append((now, cost))
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            span = taken[last][0] - taken[first][0]
            flowed = span / bucket.period
            # An attempt larger than the bucket leaves a debt, so the last one may exceed the sum by its cost.
            most = bucket.burst + max(taken[last][1] - bucket.burst, 0) + flowed
            assert sum(cost for _, cost in taken[first : last + 1]) <= most * (1 + 1e-6) + 1e-3


def test_bucket_gives_everything_that_flows_in() -> None:
    bucket = Bucket.of(600)
    now, begun = 100.0, 0
    while now < 160.0:
        bucket.take(1, now)
        begun += 1
        now = max(now, bucket.ready_at(1))
    assert begun == 600 + 10  # the amount for a minute, plus the capacity


def test_returned_tokens_can_be_taken_again() -> None:
    bucket = Bucket.of(60)
    bucket.take(100, 0.0)
    assert bucket.ready_at(1) == 100.0
    bucket.take(-90, 50.0)
    assert bucket.ready_at(1) == 10.0
    bucket.take(5, 50.0)  # the bucket has been full for a long time
    assert bucket.ready_at(1) == 55.0


def test_no_limit_is_always_ready() -> None:
    bucket = Bucket.of(None)
    bucket.take(1e9, 0.0)
    assert bucket.ready_at(1e9) <= 0.0
    bucket.resize(60, 10.0)
    assert bucket.ready_at(1) <= 10.0


def test_resizing_a_bucket_keeps_what_was_taken() -> None:
    bucket = Bucket.of(60)
    bucket.take(30, 0.0)
    bucket.resize(600, 0.0)
    assert bucket.ready_at(10) == pytest.approx(3.0)
    bucket.resize(None, 0.0)
    assert bucket.ready_at(10) <= 0.0


# Requests and tokens per minute.


def begun_in_a_minute(rates: Rates, tokens: int, *, from_: float = 0.0) -> int:
    now, begun = from_, 0
    while (now := max(now, rates.ready_at(tokens, now))) < from_ + 60.0:
        rates.begin(tokens, now)
        begun += 1
    return begun


def test_requests_per_minute() -> None:
    rates = Rates(30, None)
    assert begun_in_a_minute(rates, 1000) == 30
    assert begun_in_a_minute(rates, 1000, from_=60.0) == 30


def test_tokens_per_minute() -> None:
    rates = Rates(None, 6000)
    assert begun_in_a_minute(rates, 200) in (30, 31)
    assert begun_in_a_minute(rates, 200, from_=60.0) == 30


def test_stricter_limit_counts() -> None:
    assert begun_in_a_minute(Rates(10, 6000), 200) == 10
    assert begun_in_a_minute(Rates(1000, 6000), 300) in (20, 21)


def test_attempt_larger_than_the_limit_leaves_a_debt() -> None:
    rates = Rates(None, 60)
    assert rates.ready_at(600, 0.0) <= 0.0
    rates.begin(600, 0.0)
    assert rates.ready_at(1, 0.0) == 600.0


@pytest.mark.parametrize(
    ("status", "used", "ready_at"),
    [
        (200, 60, 60.0),  # less than estimated
        (200, 1200, 1200.0),  # more
        (200, None, 600.0),  # unknown
        (None, None, 600.0),  # also unknown: the server may have started to generate
        (429, None, 0.0),  # refused, so none
        (400, None, 0.0),
        (500, 120, 120.0),
    ],
)
def test_real_usage_replaces_the_estimate(status: int | None, used: int | None, ready_at: float) -> None:
    rates = Rates(None, 60)
    flight = rates.begin(600, 0.0)
    assert rates.in_flight == 1
    rates.end(flight, status, used, 0.0)
    assert rates.in_flight == 0
    assert rates.ready_at(1, 0.0) == ready_at


def test_rates_can_be_resized() -> None:
    rates = Rates(60, None)
    rates.begin(0, 0.0)
    assert rates.ready_at(0, 0.0) == 1.0
    rates.resize(6, 600, 0.0)
    assert (rates.requests, rates.tokens) == (6, 600)
    assert rates.ready_at(0, 0.0) == pytest.approx(10.0)


# The allowance that the server states.


def flight(serial: int = 1, began: float = 0.0) -> Flight:
    return Flight(serial, 1, began, 0)


def heard(left: str = "10", reset: str = "10s", limit: str | None = "20", *, taken_since: float = 0.0) -> Allowance:
    allowance = Allowance()
    headers = {"x-ratelimit-remaining-requests": left, "x-ratelimit-reset-requests": reset}
    if limit is not None:
        headers["x-ratelimit-limit-requests"] = limit
    allowance.hear(flight(), "requests", headers, taken_since)
    return allowance


def test_allowance_is_unlimited_before_the_first_answer() -> None:
    allowance = Allowance()
    allowance.take(1, 0.0)
    assert allowance.ready_at(1, 0.0) == -math.inf


def test_nothing_begins_when_nothing_is_left() -> None:
    assert heard("0").ready_at(1, 0.0) == 10.0
    assert heard("1").ready_at(1, 0.0) <= 0.0
    assert heard("1").ready_at(2, 0.0) == 10.0


def test_attempts_begun_since_are_subtracted() -> None:
    assert heard("3", taken_since=2).ready_at(1, 0.0) <= 0.0
    assert heard("3", taken_since=3).ready_at(1, 0.0) == 10.0
    assert heard("3", taken_since=5).ready_at(1, 0.0) == 10.0


def test_first_half_is_used_at_once_and_the_second_is_spread() -> None:
    allowance = heard("20", "10s", "20")
    now, begun = 0.0, list[float]()
    while now < 10.0:
        allowance.take(1, now)
        begun.append(now)
        now = max(now, allowance.ready_at(1, now))
    assert begun[:11] == [0.0] * 11
    gaps = [later - earlier for earlier, later in itertools.pairwise(begun[11:])]
    assert gaps == pytest.approx([10 / 9] * len(gaps))
    assert len(begun) == 20


def test_attempt_above_the_limit_begins_when_the_allowance_is_full() -> None:
    assert heard("20", limit="20").ready_at(1000, 0.0) <= 0.0
    assert heard("19", limit="20").ready_at(1000, 0.0) == 10.0


def test_allowance_is_full_and_spread_after_the_reset() -> None:
    allowance = heard("0", "10s", "5")
    now, begun = 10.0, list[float]()
    while now < 20.0:
        assert allowance.ready_at(1, now) <= now
        allowance.take(1, now)
        begun.append(now)
        now = max(now, allowance.ready_at(1, now))
    assert begun == pytest.approx([10.0, 12.0, 14.0, 16.0, 18.0])


def test_allowance_without_stated_limit_is_unlimited_after_the_reset() -> None:
    allowance = heard("0", "10s", None)
    assert allowance.ready_at(1, 9.0) == 10.0
    assert allowance.ready_at(1, 10.0) == -math.inf


def test_headers_of_an_older_attempt_are_ignored() -> None:
    allowance = Allowance()
    for serial, left in ((5, "0"), (4, "100")):
        headers = {"x-ratelimit-remaining-tokens": left, "x-ratelimit-reset-tokens": "10s"}
        allowance.hear(flight(serial), "tokens", headers, 0)
    assert allowance.ready_at(1, 0.0) == 10.0


def test_daily_limit_is_not_spread_over_the_day() -> None:
    assert heard("3", "18h0m", "200").ready_at(1, 0.0) == -math.inf
    assert heard("0", "18h0m", "200").ready_at(1, 0.0) == -math.inf


@pytest.mark.parametrize(
    ("left", "reset", "limit"), [("x", "1s", "1"), ("1", "x", "1"), ("", "", ""), ("-1", "1s", "")]
)
def test_invalid_headers_are_ignored(left: str, reset: str, limit: str) -> None:
    assert heard(left, reset, limit).ready_at(1, 0.0) == -math.inf


@given(
    st.lists(
        st.tuples(
            st.floats(0, 30),  # time passes
            st.integers(0, 40),  # cost
            st.integers(0, 30) | st.none(),  # left
            st.sampled_from(["0s", "1ms", "0.5s", "7s", "60s"]),
            st.sampled_from(["0", "10", "30", "x"]),
        ),
        max_size=30,
    )
)
def test_allowance_is_ready_at_the_time_it_stated(
    steps: list[tuple[float, int, int | None, str, str]],
) -> None:
    allowance, now = Allowance(), 0.0
    for serial, (seconds, cost, left, reset, limit) in enumerate(steps, 1):
        now += seconds
        for _ in range(3):  # the spreading may postpone the stated time, but not again and again
            ready = allowance.ready_at(cost, now)
            assert ready <= now + 120.0
            if ready <= now:
                break
            now = ready
        assert allowance.ready_at(cost, now) <= now
        allowance.take(cost, now)
        if left is not None:
            headers = {"remaining": str(left), "reset": reset, "limit": limit}
            named = {f"x-ratelimit-{name}-requests": value for name, value in headers.items()}
            allowance.hear(flight(serial, now), "requests", named, 0.0)


# The tokens of a request: estimated and used.

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (None, 0),
        ([], 0),
        ({}, 0),
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 100, "max_tokens": 5}, 100),
        ({"max_output_tokens": 100}, 100),
        ({"max_tokens": None}, 0),
        ({"max_tokens": -5}, 0),
        ({"max_tokens": True}, 0),
        ({"max_tokens": "100"}, 0),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"max_tokens": 100, "n": 0}, 100),
        ({"messages": [{"role": "user", "content": "x" * 40}]}, 10),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 40}, IMAGE]}]}, 10),
        ({"messages": [{"role": "user", "content": "x" * 40}], "max_tokens": 100}, 110),
        ({"input": "x" * 40, "instructions": "y" * 40}, 20),
        ({"input": [{"type": "input_audio", "input_audio": {"data": "A" * 4000}}]}, 0),
        ({"prompt": ["x" * 20, "y" * 20]}, 10),
        ({"prompt": [[1, 2, 3]]}, 0),
        ({"tools": [{"type": "function", "function": {"name": "f" * 4, "description": "x" * 40}}]}, 11),
        ({"metadata": {"a": "x" * 400}, "user": "x" * 400}, 0),
    ],
    ids=lambda value: str(value)[:60],
)
def test_estimated_tokens_of_a_request(body: Any, tokens: int) -> None:
    assert estimated_tokens(body) == tokens


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ({"total_tokens": 12}, 12),
        ({"total_tokens": 12, "input_tokens": 5, "output_tokens": 6}, 12),
        ({"input_tokens": 5, "output_tokens": 6}, 11),
        ({"prompt_tokens": 5, "completion_tokens": 6}, 11),
        ({"prompt_tokens": 5}, 5),
        ({"total_tokens": 0, "prompt_tokens": 5}, 5),
        ({"total_tokens": "12"}, None),
        ({"total_tokens": None, "output_tokens": 6}, 6),
    ],
    ids=repr,
)
def test_used_tokens(usage: Any, tokens: int | None) -> None:
    assert used_tokens(usage) == tokens


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        (b'{"usage": {"total_tokens": 12}}', 12),
        (b'{"usage": {"input_tokens": 5, "output_tokens": 6}}', 11),
        (b'{"usage": null}', None),
        (b"{}", None),
        (b"[]", None),
        (b"", None),
        (b"<html>", None),
        (b"\xff", None),
    ],
    ids=repr,
)
def test_used_tokens_of_a_plain_response(content: bytes, tokens: int | None) -> None:
    assert tokens_of_answer(content) == tokens
