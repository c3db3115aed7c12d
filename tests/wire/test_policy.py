"""The rules for retries and deadlines: which errors are retried, how long to wait, and which clock fires next.

The retry rules are those of openai-python, except that a used-up quota is not retried.
"""

from __future__ import annotations

import email.utils
import math
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_openai._deadlines import DEFAULT_DEADLINES, Clocks, Deadlines
from trio_openai._wire.retries import delay, headers_of, retry_after, should_retry_reported, should_retry_status
from trio_openai.errors import APIError, RateLimitError

NOW = 1_700_000_000.0


def date(seconds: float) -> str:
    return email.utils.formatdate(NOW + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "0.5"}, 0.0005),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "3.5"}, 3.5),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "-3"}, -3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "3"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after": date(10)}, 10.0),
        ({"retry-after": date(-10)}, -10.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": " "}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "Fri, 99 Nov 99999 99:99:99 GMT"}, None),
    ],
    ids=repr,
)
def test_retry_after_headers_are_parsed(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
    assert retry_after(httpx.Headers(headers), NOW) == seconds


def test_retry_after_accepts_only_ascii_digits() -> None:
    assert retry_after({"retry-after": "٣"}, NOW) is None


def test_retry_after_is_found_in_a_case_insensitive_mapping() -> None:
    assert retry_after(httpx.Headers({"Retry-After": "3"}), NOW) == 3.0


_words = st.text(max_size=30) | st.from_regex(r"[A-Za-z]{0,3},? ?\d{0,3} [A-Z][a-z]{2} \d{0,6} \d{0,3}:?\d{0,3}.{0,5}")


@given(_words, _words)
def test_random_headers_never_raise(after: str, milliseconds: str) -> None:
    headers = {"retry-after": after, "retry-after-ms": milliseconds, "x-should-retry": after}
    wait = retry_after(headers, NOW)
    assert wait is None or not math.isnan(wait)
    assert 0 < delay(0, headers, 0.5, NOW) <= 120
    assert should_retry_status(500, headers, None, NOW) in (True, False)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 501, 502, 503, 504, 529, 599])
def test_statuses_that_are_retried(status: int) -> None:
    assert should_retry_status(status, {}, None, NOW)


@pytest.mark.parametrize("status", [300, 302, 400, 401, 402, 403, 404, 405, 410, 413, 422, 425, 451])
def test_statuses_that_are_not_retried(status: int) -> None:
    assert not should_retry_status(status, {}, None, NOW)


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_x_should_retry_overrides_the_status(status: int) -> None:
    assert should_retry_status(status, {"x-should-retry": "true"}, None, NOW)
    assert not should_retry_status(status, {"x-should-retry": "false"}, None, NOW)


def test_other_values_of_x_should_retry_are_ignored() -> None:
    assert should_retry_status(500, {"x-should-retry": "perhaps"}, None, NOW)
    assert not should_retry_status(400, {"x-should-retry": ""}, None, NOW)


@pytest.mark.parametrize(("wait", "retried"), [("119", True), ("120", True), ("120.5", False), ("100000", False)])
def test_a_retry_after_over_two_minutes_is_not_retried(wait: str, retried: bool) -> None:
    assert should_retry_status(429, {"retry-after": wait}, None, NOW) is retried
    assert should_retry_status(429, {"retry-after-ms": str(float(wait) * 1000)}, None, NOW) is retried


def test_insufficient_quota_is_not_retried() -> None:
    assert not should_retry_status(429, {}, "insufficient_quota", NOW)
    assert not should_retry_status(429, {"retry-after": "1"}, "insufficient_quota", NOW)
    assert should_retry_status(429, {}, "rate_limit_exceeded", NOW)


# ------------------------------------------------------------------------------- errors reported with status 200


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (429, None),
        (500, None),
        (503, None),
        (529, None),
        ("503", None),
        ("rate_limit_exceeded", None),
        ("server_error", None),
        (None, "server_error"),
        (None, "overloaded_error"),
        ("slow_down", "invalid"),
    ],
)
def test_an_overload_reported_with_status_200_is_retried(code: Any, kind: str | None) -> None:
    assert should_retry_reported(APIError("no", code=code, type=kind))


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (None, None),
        (400, None),
        (404, "x"),
        ("model_not_found", "invalid_request_error"),
        ("insufficient_quota", "server_error"),
        (429, "insufficient_quota"),
        ("", ""),
        ("nan", None),
    ],
)
def test_other_errors_reported_with_status_200_are_not_retried(code: Any, kind: str | None) -> None:
    assert not should_retry_reported(APIError("no", code=code, type=kind))


# ------------------------------------------------------------------------------------------- delay before a retry


def test_the_delay_doubles_up_to_eight_seconds() -> None:
    assert [delay(taken, {}, 0.0, NOW) for taken in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert delay(100_000, {}, 0.0, NOW) == 8.0


@given(st.integers(0, 50), st.floats(0, 1, exclude_max=True))
def test_jitter_shortens_the_delay_by_at_most_a_quarter(taken: int, random: float) -> None:
    most = delay(taken, {}, 0.0, NOW)
    assert 0.75 * most <= delay(taken, {}, random, NOW) <= most


@pytest.mark.parametrize("random", [0.0, 0.99])
def test_a_valid_retry_after_is_used_without_jitter(random: float) -> None:
    assert delay(0, {"retry-after": "7"}, random, NOW) == 7.0
    assert delay(5, {"retry-after-ms": "20"}, random, NOW) == 0.02
    assert delay(0, {"retry-after": date(30)}, random, NOW) == 30.0
    assert delay(0, {"retry-after": "120"}, random, NOW) == 120.0


@pytest.mark.parametrize("wait", ["0", "-1", "121", "soon", ""])
def test_invalid_retry_after_falls_back_to_backoff(wait: str) -> None:
    assert delay(1, {"retry-after": wait}, 0.0, NOW) == 1.0


def test_headers_of_an_error_are_those_of_its_response() -> None:
    assert headers_of(APIError("no")) == {}
    error = RateLimitError("no")
    error.response = httpx.Response(429, headers={"retry-after": "3"})
    assert retry_after(headers_of(error), NOW) == 3.0


# ----------------------------------------------------------------------------------------------------- deadlines


def test_timeout_none_means_no_deadline() -> None:
    assert Deadlines.of(None) == Deadlines()
    assert Clocks(Deadlines()).next() is None


def test_a_number_limits_connect_headers_and_idle() -> None:
    assert Deadlines.of(3) == Deadlines(connect=3, headers=3, idle=3)
    assert Deadlines.of(0) == Deadlines(connect=0, headers=0, idle=0)


def test_deadlines_are_used_unchanged() -> None:
    deadlines = Deadlines(total=5)
    assert Deadlines.of(deadlines) is deadlines


def test_default_deadlines_are_five_seconds_to_connect_and_ten_minutes_for_headers() -> None:
    assert (DEFAULT_DEADLINES.connect, DEFAULT_DEADLINES.headers, DEFAULT_DEADLINES.total) == (5.0, 600.0, None)


@pytest.mark.parametrize("name", ["connect", "headers", "first_event", "first_content", "idle", "total"])
@pytest.mark.parametrize("value", [-1, -0.001, math.nan, "5", True, [5]])
def test_an_invalid_number_of_seconds_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Deadlines(**{name: value})


@pytest.mark.parametrize("value", ["5", True, [5], {}])
def test_a_timeout_of_the_wrong_type_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="timeout takes"):
        Deadlines.of(value)


def test_a_negative_timeout_is_refused() -> None:
    with pytest.raises(ValueError, match="connect"):
        Deadlines.of(-1)


@pytest.mark.parametrize("value", [0, 0.5, 5, math.inf])
def test_valid_seconds_are_accepted(value: float) -> None:
    assert Deadlines(idle=value).idle == value


# -------------------------------------------------------------------------------------------------------- clocks


def test_the_total_clock_always_runs_and_others_run_once_started() -> None:
    clocks = Clocks(Deadlines(connect=1, idle=2, total=10))
    assert clocks.next() == ("total", 10)
    clocks.start("idle")
    assert clocks.next() == ("idle", 2)
    clocks.start("first_event")  # this phase has no limit
    assert clocks.next() == ("idle", 2)


def test_waiting_reduces_every_running_clock() -> None:
    clocks = Clocks(Deadlines(first_event=4, idle=3, total=10))
    clocks.start("first_event")
    clocks.spend(2.5)
    clocks.start("idle")
    clocks.spend(1)
    assert clocks.next() == ("first_event", 0.5)
    clocks.stop("first_event")
    assert clocks.next() == ("idle", 2)
    clocks.stop("idle", "first_content")
    assert clocks.next() == ("total", 6.5)


def test_restarting_a_clock_resets_it() -> None:
    clocks = Clocks(Deadlines(idle=3))
    clocks.start("idle")
    clocks.spend(2)
    clocks.start("idle")
    assert clocks.next() == ("idle", 3)


def test_a_clock_can_become_negative() -> None:
    clocks = Clocks(Deadlines(total=1))
    clocks.spend(5)
    assert clocks.next() == ("total", -4)


_PHASES = ["connect", "headers", "first_event", "first_content", "idle", "total"]


@given(
    st.dictionaries(st.sampled_from(_PHASES), st.integers(0, 100)),
    st.lists(st.tuples(st.sampled_from(["start", "stop", "spend"]), st.sampled_from(_PHASES), st.integers(0, 9))),
)
def test_the_next_clock_has_the_least_time_left(limits: dict[str, int], steps: list[tuple[str, Any, int]]) -> None:
    clocks = Clocks(Deadlines(**limits))
    left = {name: limit for name, limit in limits.items() if name == "total"}
    for what, phase, seconds in steps:
        if what == "spend":
            clocks.spend(seconds)
            left = {name: rest - seconds for name, rest in left.items()}
        elif what == "start":
            clocks.start(phase)
            left.update({phase: limits[phase]} if phase in limits else {})
        else:
            clocks.stop(phase)
            left.pop(phase, None)
    following = clocks.next()
    assert (following and following[1]) == (min(left.values()) if left else None)
    assert following is None or left[following[0]] == following[1]
