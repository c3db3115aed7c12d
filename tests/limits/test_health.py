"""`Health`: when a server of several may be asked. Time and random numbers are arguments."""

from __future__ import annotations

import math

import httpx
import pytest

from trio_openai import APIConnectionError, APIError, APIResponseValidationError, APITimeoutError, StreamTruncatedError
from trio_openai._limits.health import Blame, Health, blame_for, stated_wait
from trio_openai.errors import status_error_class


def fail(
    health: Health, blame: Blame, now: float, *, began: float | None = None, probes: bool = False, wait: float = 0
) -> bool:
    began = now if began is None else began
    return health.failed(blame, wait, began=began, probes=probes, now=now, random=0.0)


def test_unreachable_server_is_down_for_half_a_second() -> None:
    health = Health()
    assert health.ready_at(0) == -math.inf
    assert fail(health, Blame.UNREACHABLE, 0)
    assert (health.state, health.ready_at(0.1)) == ("down", 0.5)
    assert health.ready_at(3) == 3


def test_one_attempt_probes_it_and_its_outcome_decides() -> None:
    health = Health()
    fail(health, Blame.UNREACHABLE, 0)
    assert health.begin()
    assert (health.state, health.ready_at(9)) == ("probing", math.inf)
    assert fail(health, Blame.UNREACHABLE, 1, probes=True)
    assert health.ready_at(1) == 2
    assert health.begin()
    health.answered(probes=True)
    assert health.state == "up"
    assert not health.begin()


def test_cancelled_probe_lets_another_one_begin_at_once() -> None:
    health = Health()
    fail(health, Blame.UNREACHABLE, 0)
    health.begin()
    health.give_up(probes=True)
    assert (health.state, health.ready_at(1)) == ("down", 1)


def test_wait_doubles_up_to_half_a_minute_and_a_success_resets_it() -> None:
    health = Health()
    waits, now = [], 0.0
    fail(health, Blame.UNREACHABLE, now)
    for _ in range(9):
        waits.append(health.ready_at(now) - now)
        now = health.ready_at(now)
        health.begin()
        fail(health, Blame.UNREACHABLE, now, probes=True)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    health.begin()
    health.answered(probes=True)
    health.succeeded(began=now)
    fail(health, Blame.UNREACHABLE, now + 100)
    assert health.ready_at(now + 100) == now + 100.5


@pytest.mark.parametrize("blame", [Blame.FAILED, Blame.BUSY])
def test_three_failures_in_a_row_are_needed_if_a_request_may_be_to_blame(blame: Blame) -> None:
    health = Health()
    assert [fail(health, blame, now) for now in (0, 1)] == [False, False]
    health.succeeded(began=1)
    assert [fail(health, blame, now) for now in (2, 3, 4)] == [False, False, True]


def test_failures_of_attempts_that_began_before_count_once() -> None:
    health = Health()
    assert fail(health, Blame.UNREACHABLE, 5, began=0)
    for _ in range(100):
        assert not fail(health, Blame.UNREACHABLE, 5, began=1)
    assert health.ready_at(5) == 5.5


def test_busy_server_is_not_asked_before_the_time_that_it_states() -> None:
    health = Health()
    assert not fail(health, Blame.BUSY, 10, wait=7)
    assert (health.state, health.ready_at(10)) == ("up", 17)


def test_server_that_lacks_something_is_up() -> None:
    health = Health()
    fail(health, Blame.UNREACHABLE, 0)
    health.begin()
    assert not fail(health, Blame.ELSEWHERE, 1, probes=True)
    assert health.state == "up"


def status(code: int, *, kind: str | None = None, **headers: str) -> APIError:
    error = status_error_class(code)("no")
    error.status_code, error.code = code, kind
    error.response = httpx.Response(code, headers=headers)
    return error


def timeout(phase: str, *, final: bool = False) -> APIError:
    error = APITimeoutError("late")
    error.phase, error.is_final = phase, final  # type: ignore[assignment]
    return error


def reported(code: str) -> APIError:
    error = APIError("no")
    error.code = code
    return error


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (APIConnectionError("refused"), Blame.UNREACHABLE),
        (timeout("connect"), Blame.UNREACHABLE),
        (timeout("connect", final=True), Blame.ELSEWHERE),  # all connections of the client are in use
        *((timeout(phase), Blame.FAILED) for phase in ("headers", "first_event", "first_content", "idle")),
        (timeout("total"), None),
        (StreamTruncatedError("cut"), Blame.FAILED),
        *((status(code), Blame.UNREACHABLE) for code in (401, 403)),
        (status(429, kind="insufficient_quota"), Blame.UNREACHABLE),
        *((status(code), Blame.ELSEWHERE) for code in (404, 408, 409)),
        *((status(code), Blame.BUSY) for code in (429, 503)),
        *((status(code), Blame.FAILED) for code in (500, 502, 529)),
        *((status(code), None) for code in (400, 413, 422)),
        (reported("overloaded_error"), Blame.BUSY),
        (reported("insufficient_quota"), Blame.UNREACHABLE),
        (reported("invalid_prompt"), None),
        (APIResponseValidationError("strange"), None),
    ],
)
def test_error_tells_whether_another_server_may_do_better(error: APIError, blame: Blame | None) -> None:
    assert blame_for(error) is blame


@pytest.mark.parametrize(("text", "seconds"), [("7", 7), ("-3", 0), ("999999", 3600), ("soon", 0)])
def test_stated_wait_is_bounded(text: str, seconds: float) -> None:
    assert stated_wait(status(429, **{"retry-after": text}), 0) == seconds
