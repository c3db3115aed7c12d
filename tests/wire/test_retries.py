"""The arithmetic of retries: which failures are retried, and after how many seconds."""

from __future__ import annotations

import email.utils
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_openai._wire import retries


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529, 599])
def test_retryable_statuses_obey_x_should_retry(status: int) -> None:
    assert retries.should_retry_status(status, {}, None, 0.0)
    assert not retries.should_retry_status(status, {"x-should-retry": "false"}, None, 0.0)


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 410, 413, 418, 422])
def test_other_statuses_are_not_retried_unless_x_should_retry_says_so(status: int) -> None:
    assert not retries.should_retry_status(status, {}, None, 0.0)
    assert retries.should_retry_status(status, {"x-should-retry": "true"}, None, 0.0)
    assert not retries.should_retry_status(status, {"x-should-retry": "maybe"}, None, 0.0)


def test_insufficient_quota_is_not_retried() -> None:
    assert not retries.should_retry_status(429, {}, "insufficient_quota", 0.0)
    assert retries.should_retry_status(429, {}, "rate_limit_exceeded", 0.0)


def test_retry_after_of_more_than_two_minutes_is_not_retried() -> None:
    for headers in ({"retry-after": "120.5"}, {"retry-after-ms": "120500"}, {"retry-after": "1e999"}):
        assert not retries.should_retry_status(429, headers, None, 0.0)
        assert not retries.should_retry_status(429, {**headers, "x-should-retry": "true"}, None, 0.0)
    assert retries.should_retry_status(429, {"retry-after": "120"}, None, 0.0)


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "100", "retry-after": "3"}, 0.1),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": email.utils.formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": "120"}, 120.0),
    ],
)
def test_retry_after_headers_set_the_delay(headers: dict[str, str], seconds: float) -> None:
    for random in (0.0, 0.999):
        assert retries.delay(0, headers, random, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"retry-after": "0"},
        {"retry-after": "-5"},
        {"retry-after": "nan"},
        {"retry-after": "soon"},
        {"retry-after": ""},
        {"retry-after-ms": "-1"},
        {"retry-after": email.utils.formatdate(NOW - 30, usegmt=True)},
        {"retry-after": "Mon, 99 Foo 2024 99:99:99 GMT"},
        {"retry-after": "500"},
    ],
)
def test_invalid_retry_after_falls_back_to_backoff(headers: dict[str, str]) -> None:
    for taken, most in enumerate((0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)):
        assert retries.delay(taken, headers, 0.0, NOW) == most
        assert retries.delay(taken, headers, 0.5, NOW) == pytest.approx(most * 0.875)
        assert retries.delay(taken, headers, math.nextafter(1.0, 0.0), NOW) >= most * 0.75
    assert retries.delay(10**9, headers, 0.0, NOW) == 8.0


@given(st.text(max_size=40), st.text(max_size=20), st.integers(0, 2000), st.floats(0, 1, exclude_max=True))
def test_any_retry_header_gives_a_delay_within_limits(after: str, milliseconds: str, taken: int, random: float) -> None:
    headers = {"retry-after": after, "retry-after-ms": milliseconds}
    retries.should_retry_status(429, headers, None, NOW)
    assert 0 < retries.delay(taken, headers, random, NOW) <= 120


@given(st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d{1,3}:\d{1,3}:\d{1,3} (GMT|[+-]\d{1,9})"))
def test_any_date_gives_a_delay_within_limits(date: str) -> None:
    assert 0 < retries.delay(0, {"retry-after": date}, 0.0, NOW) <= 120
