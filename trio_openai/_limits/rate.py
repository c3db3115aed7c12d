"""The arithmetic of stated limits, without a clock: limits that the user gives, and limits that the server states.

`Rates` applies the user's limits on requests and tokens per minute, with two token buckets. `Allowance` applies the
limits in the server's `x-ratelimit-*` headers. Limits that nobody states are discovered by `Window` (`adaptive.py`).

All of them answer the same question, `ready_at`: at which time may the next attempt begin? The answer is an absolute
time and does not depend on when it is asked. So a task that sleeps until then does not have to poll.

A bucket is usually a level that rises with time, and every look at it adds a small floating-point error. `Bucket`
stores only the time at which the bucket will be full. Taking tokens moves that time into the future by `tokens *
period`, and `ready_at` is that time minus the time in which the tokens beyond the requested ones flow in. Nothing has
to be updated while time passes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import attrs

_MINUTE = 60.0
_LONGEST_DEBT = 1200.0  # seconds; a response that reports a nonsensical usage must not stop a program for longer
_LONGEST = 120.0  # seconds; a limit that resets later (a daily limit, say) is left to the server to enforce


@attrs.frozen
class Flight:
    """An attempt that has begun.

    Attributes:
        serial: its number, starting at 1.
        level: how many attempts were in flight when it began, including itself.
        began: the time at which it began.
        tokens: its estimated tokens.
        spent: the estimated tokens of all attempts up to and including this one.
        gap: seconds since the previous attempt began.
    """

    serial: int
    level: int
    began: float
    tokens: int
    spent: float = 0.0
    gap: float = math.inf


@attrs.define
class Bucket:
    """A token bucket, stored as the time at which it will be full.

    An attempt that costs more than the bucket holds needs a full bucket and leaves a debt.

    Args:
        period: seconds in which one token flows in. 0 means that there is no limit.
        burst: the capacity in tokens.
    """

    period: float
    burst: float
    _full_at: float = -math.inf

    @classmethod
    def of(cls, a_minute: float | None) -> Bucket:
        """Return a bucket for `a_minute` tokens per minute, or without a limit for None.

        It holds the amount for one second, but at least one token.
        """
        return cls(*_flow(a_minute))

    def ready_at(self, cost: float) -> float:
        """Return the time at which the bucket holds enough for a cost."""
        return self._full_at - self.period * (self.burst - min(cost, self.burst))

    def take(self, cost: float, now: float) -> None:
        """Take tokens out of the bucket. A negative cost puts them back."""
        self._full_at = (max(self._full_at, now) if cost > 0 else self._full_at) + cost * self.period

    def correct(self, difference: float, now: float) -> None:
        """Take the difference between an attempt's real and estimated cost, but add no debt of over twenty minutes."""
        latest = max(self._full_at, now + _LONGEST_DEBT)
        self.take(difference, now)
        self._full_at = min(self._full_at, latest)

    def load(self, now: float) -> float:
        """Return which part of the bucket is empty, from 0 to 1."""
        lacking = max(self._full_at - now, 0.0)
        return min(lacking / (self.period * self.burst), 1.0) if lacking and self.period else 0.0

    def stretch(self, period: float) -> None:
        """Change the period. If it becomes longer, the next token arrives later by the same time."""
        self._full_at += max(period - self.period, 0.0)
        self.period = period

    def resize(self, a_minute: float | None, now: float) -> None:
        """Change the limit. Tokens that were taken stay taken."""
        lacking = max(self._full_at - now, 0.0) / self.period if self.period else 0.0
        self.period, self.burst = _flow(a_minute)
        self._full_at = now + lacking * self.period


def _flow(a_minute: float | None) -> tuple[float, float]:
    """Return the period and the burst of a bucket."""
    return (_MINUTE / a_minute, max(1.0, a_minute / _MINUTE)) if a_minute is not None else (0.0, 1.0)


class Rates:
    """The rule of a `RateLimiter`.

    Args:
        requests: the limit of requests per minute, or None.
        tokens: the limit of tokens per minute, or None.
    """

    def __init__(self, requests: float | None, tokens: float | None) -> None:
        self.requests = requests
        self.tokens = tokens
        self.in_flight = 0
        self._begun = 0
        self._request_bucket = Bucket.of(requests)
        self._token_bucket = Bucket.of(tokens)

    def ready_at(self, tokens: int, now: float) -> float:  # noqa: ARG002 - `Window.ready_at` needs it
        """Return the time at which an attempt with this many tokens may begin."""
        return max(self._request_bucket.ready_at(1), self._token_bucket.ready_at(tokens))

    def load(self, now: float) -> float:
        """Return which part of the limit is in use, from 0 to 1."""
        return max(self._request_bucket.load(now), self._token_bucket.load(now))

    def begin(self, tokens: int, now: float) -> Flight:
        """Count an attempt as begun."""
        self.in_flight += 1
        self._begun += 1
        self._request_bucket.take(1, now)
        self._token_bucket.take(tokens, now)
        return Flight(self._begun, self.in_flight, now, tokens)

    def end(self, flight: Flight, status: int | None, used: int | None, now: float) -> None:
        """Count an attempt as ended. Its real usage replaces the estimate; a refused attempt has used nothing."""
        self.in_flight -= 1
        if used is None and status is not None and status >= 400:
            used = 0
        if used is not None:
            self._token_bucket.correct(used - flight.tokens, now)

    def resize(self, requests: float | None, tokens: float | None, now: float) -> None:
        """Change the figures. What was used up stays used up."""
        self._request_bucket.resize(requests, now)
        self._token_bucket.resize(tokens, now)
        self.requests, self.tokens = requests, tokens


class Allowance:
    """The requests or tokens that the server says are left until its limit resets.

    Some servers mean a bucket that refills continuously, others a window that starts again. One policy suits both: the
    first half may be used at once, the second half is spread over the time until the reset, and nothing begins when
    nothing is left. A response describes the state at the time of its attempt, so later attempts are subtracted from
    it.
    """

    def __init__(self) -> None:
        self._left: float | None = None  # None while the server has not said anything
        self._limit = math.inf
        self._reset_at = -math.inf
        self._period = 0.0  # the longest time to a reset that the server has stated
        self._next_at = -math.inf  # the earliest time for the next attempt, when spreading
        self._heard_from = 0  # the serial number of the latest attempt that the server's statement is about
        self._renewed = False  # True if the reset is assumed because its time has passed, not stated

    def ready_at(self, cost: float, now: float) -> float:
        """Return the time at which an attempt with this cost may begin."""
        self._renew(now)
        if self._left is None:
            return -math.inf
        return self._reset_at if self._left < min(cost, self._limit) else self._next_at

    def take(self, cost: float, now: float) -> None:
        """Subtract the cost of an attempt."""
        self._renew(now)
        if self._left is None:
            return
        if self._left > 0 and (self._renewed or self._left < self._limit / 2):
            self._next_at = now + min(cost / self._left, 1.0) * (self._reset_at - now)
        self._left -= cost

    def hear(self, flight: Flight, kind: str, headers: Mapping[str, str], taken_since: float) -> None:
        """Record what a response says.

        Args:
            flight: the attempt.
            kind: `requests` or `tokens`, as in the names of the headers.
            headers: the headers of the response.
            taken_since: the cost of the attempts that began after this one.
        """
        left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        reset = duration(headers.get(f"x-ratelimit-reset-{kind}"))
        if left is None or reset is None or reset > _LONGEST or flight.serial < self._heard_from:
            return
        limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
        self._heard_from = flight.serial
        self._limit = math.inf if limit is None else limit
        self._left = left - taken_since
        # The server's clock for this started when the attempt began, or later. If it was later, the next attempt may
        # come too early and be refused, but that refusal states the time again.
        self._reset_at = flight.began + reset
        self._period = max(self._period, reset)
        self._renewed = False

    def _renew(self, now: float) -> None:
        """Assume that the server's limit has reset if its time has come."""
        if self._left is not None and now >= self._reset_at:
            self._left = None if self._limit == math.inf else self._limit
            self._reset_at = now + self._period
            self._next_at, self._renewed = now, True


def reset_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the exhausted limit of a refusal resets, or None if the headers do not say."""
    resets = [
        duration(headers.get(f"x-ratelimit-reset-{kind}"))
        for kind in ("requests", "tokens")
        if not _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    ]
    return max((reset for reset in resets if reset is not None), default=None)


_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])", re.ASCII)
_DURATION = re.compile(f"(?:{_PART.pattern})+", re.ASCII)
_NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)


def duration(text: str | None) -> float | None:
    """Return the seconds of a duration as OpenAI writes it (`1s`, `6m0s`, `120ms`), or of a plain number, else None."""
    text = (text or "").strip()
    if _DURATION.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return _number(text)


def _number(text: str | None) -> float | None:
    text = (text or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None
