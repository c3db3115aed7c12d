"""Limits in figures, those that a user gives and those that a server states: the arithmetic, without a clock.

`Rates` keeps to requests and tokens a minute by two buckets. `Allowance` keeps to what `x-ratelimit-*` headers say.
What no one states is found out by `Window` (`window.py`). All of them answer one question, `ready_at`: when may the
next attempt begin? The answer is a time that does not depend on when it is asked, so who sleeps until then has not to
ask twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import attrs

_MINUTE = 60.0
_LONGEST_DEBT = 1200.0  # seconds: an answer that reports nonsense must not stop a program for longer
_LONGEST = 120.0  # seconds: a limit that resets later is one of the day, say, and its server's to enforce


@attrs.frozen
class Flight:
    """An attempt that has begun.

    Attributes:
        serial: its number, from 1.
        level: how many were in flight when it began, this one included.
        began: when.
        tokens: what it was thought to use.
        spent: the tokens of all attempts up to this one.
        gap: seconds since the attempt before it began.
    """

    serial: int
    level: int
    began: float
    tokens: int
    spent: float = 0.0
    gap: float = math.inf


@attrs.define
class Bucket:
    """A token bucket, kept as the time at which it is full: no sum of small times, so no error adds up.

    What costs more than the bucket holds goes out of a full one, and leaves a debt.

    Args:
        period: seconds in which one unit flows in.
        burst: units that it holds.
    """

    period: float
    burst: float
    _full_at: float = -math.inf

    @classmethod
    def of(cls, a_minute: float | None) -> Bucket:
        """A bucket for so many a minute, which holds what a second brings, and one unit at least; None is no limit."""
        return cls(*_flow(a_minute))

    def ready_at(self, cost: float) -> float:
        """When there is enough in it."""
        return self._full_at - self.period * (self.burst - min(cost, self.burst))

    def take(self, cost: float, now: float) -> None:
        """Take so much out; put it back if it is negative."""
        self._full_at = (max(self._full_at, now) if cost > 0 else self._full_at) + cost * self.period

    def correct(self, difference: float, now: float) -> None:
        """Take out what an attempt cost more than estimated, which adds no debt of more than twenty minutes."""
        latest = max(self._full_at, now + _LONGEST_DEBT)
        self.take(difference, now)
        self._full_at = min(self._full_at, latest)

    def stretch(self, period: float) -> None:
        """Change the period. If it grows, the next unit comes as much later."""
        self._full_at += max(period - self.period, 0.0)
        self.period = period

    def resize(self, a_minute: float | None, now: float) -> None:
        """Change the figure. What was used up stays used up."""
        lacking = max(self._full_at - now, 0.0) / self.period if self.period else 0.0
        self.period, self.burst = _flow(a_minute)
        self._full_at = now + lacking * self.period


def _flow(a_minute: float | None) -> tuple[float, float]:
    return (_MINUTE / a_minute, max(1.0, a_minute / _MINUTE)) if a_minute is not None else (0.0, 1.0)


class Rates:
    """So many requests and tokens a minute.

    Args:
        requests: a minute, or None for no limit.
        tokens: a minute, or None for no limit.
    """

    def __init__(self, requests: float | None, tokens: float | None) -> None:
        self.requests = requests
        self.tokens = tokens
        self.in_flight = 0
        self._begun = 0
        self._request_bucket = Bucket.of(requests)
        self._token_bucket = Bucket.of(tokens)

    def ready_at(self, tokens: int, now: float) -> float:  # noqa: ARG002 - others of its kind need it
        """When an attempt that uses so many tokens may begin."""
        return max(self._request_bucket.ready_at(1), self._token_bucket.ready_at(tokens))

    def begin(self, tokens: int, now: float) -> Flight:
        """Count an attempt as begun."""
        self.in_flight += 1
        self._begun += 1
        self._request_bucket.take(1, now)
        self._token_bucket.take(tokens, now)
        return Flight(self._begun, self.in_flight, now, tokens)

    def end(self, flight: Flight, status: int | None, used: int | None, now: float) -> None:
        """Count it as over. What it used replaces the estimate; what was refused has used nothing."""
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
    """What the server says that it has left, of requests or of tokens, until it has all of them again.

    Some servers mean a bucket that fills all the time, some a window that begins anew. One way suits both: the first
    half is there to be used, the second is spread over the time that is left, and nothing begins when there is none.
    What began after the attempt whose answer said so has been counted off.
    """

    def __init__(self) -> None:
        self._left: float | None = None  # None: nothing is known
        self._limit = math.inf
        self._reset_at = -math.inf
        self._period = 0.0  # the longest time to a reset that was heard of
        self._next_at = -math.inf
        self._heard_from = 0  # the serial number of the attempt
        self._renewed = False  # whether it is thought to be all there, by the time alone

    def ready_at(self, cost: float, now: float) -> float:
        """When an attempt may begin that takes so many."""
        self._renew(now)
        if self._left is None:
            return -math.inf
        return self._reset_at if self._left < min(cost, self._limit) else self._next_at

    def take(self, cost: float, now: float) -> None:
        """Count off what an attempt takes."""
        self._renew(now)
        if self._left is None:
            return
        if self._left > 0 and (self._renewed or self._left < self._limit / 2):
            self._next_at = now + min(cost / self._left, 1.0) * (self._reset_at - now)
        self._left -= cost

    def hear(self, flight: Flight, kind: str, headers: Mapping[str, str], taken_since: float) -> None:
        """Take in what an answer says of a `kind`, the "requests" or "tokens" in the names of its headers."""
        left = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        reset = duration(headers.get(f"x-ratelimit-reset-{kind}"))
        if left is None or reset is None or reset > _LONGEST or flight.serial < self._heard_from:
            return
        limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
        self._heard_from = flight.serial
        self._limit = math.inf if limit is None else limit
        self._left = left - taken_since
        # The server wrote that when the attempt began, or later. To begin too early costs a refusal, which says better.
        self._reset_at = flight.began + reset
        self._period = max(self._period, reset)
        self._renewed = False

    def _renew(self, now: float) -> None:
        if self._left is not None and now >= self._reset_at:
            self._left = None if self._limit == math.inf else self._limit
            self._reset_at = now + self._period
            self._next_at, self._renewed = now, True


def reset_of(headers: Mapping[str, str]) -> float | None:
    """Seconds until there is again what a refusal says is used up, or None."""
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
    """Seconds of a duration as OpenAI writes it (`1s`, `6m0s`, `120ms`), or of a plain number of them; else None."""
    text = (text or "").strip()
    if _DURATION.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return _number(text)


def _number(text: str | None) -> float | None:
    text = (text or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None
