"""Limits that a server has and does not state: of attempts at a time, by a bucket, by the minute of the clock."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Protocol


class HiddenLimit(Protocol):
    """A rule that decides whether a request is admitted."""

    def admits(self, now: float) -> tuple[bool, dict[str, str]]: ...

    def left(self) -> None: ...

    def throughput(self, now: float, seconds: float) -> float:
        """Return the requests per second that it allows, if each takes so many seconds."""
        ...


class Concurrency:
    """A limit of concurrent requests, which may change at given times."""

    def __init__(self, limit: int, later: dict[float, int] | None = None, *, wait: str = "") -> None:
        self._limits = {0.0: limit, **(later or {})}
        self._wait = wait
        self._count = 0

    def _limit(self, now: float) -> int:
        return [limit for at, limit in self._limits.items() if at <= now][-1]

    def admits(self, now: float) -> tuple[bool, dict[str, str]]:
        if self._count >= self._limit(now):
            return False, {"retry-after": self._wait} if self._wait else {}
        self._count += 1
        return True, {}

    def left(self) -> None:
        self._count -= 1

    def throughput(self, now: float, seconds: float) -> float:
        return self._limit(now) / seconds


class TokenBucket:
    """A limit of requests per minute, with a bucket for bursts."""

    def __init__(self, a_minute: float, burst: int, later: dict[float, float] | None = None, *, told: str) -> None:
        self._rates = {0.0: a_minute, **(later or {})}
        self._burst, self._held, self._at, self._told = burst, float(burst), 0.0, told

    def _rate(self, now: float) -> float:
        return [rate for at, rate in self._rates.items() if at <= now][-1] / 60.0

    def admits(self, now: float) -> tuple[bool, dict[str, str]]:
        rate = self._rate(now)
        self._held, self._at = min(self._burst, self._held + (now - self._at) * rate), now
        admitted = self._held >= 1.0
        self._held -= admitted
        headers = {}
        if self._told == "x-ratelimit":
            headers = figures(self._burst, int(self._held), (self._burst - self._held) / rate)
        elif self._told == "retry-after" and not admitted:
            headers = {"retry-after-ms": str(math.ceil((1.0 - self._held) / rate * 1000))}
        return admitted, headers

    def left(self) -> None:
        pass

    def throughput(self, now: float, seconds: float) -> float:
        return self._rate(now)


class FixedMinutes:
    """A limit of requests in each minute of the clock."""

    def __init__(self, a_minute: int, later: dict[float, int] | None = None, *, told: str) -> None:
        self._limits = {0.0: a_minute, **(later or {})}
        self._told, self._minute, self._count = told, -1, 0

    def _limit(self, now: float) -> int:
        return [limit for at, limit in self._limits.items() if at <= now][-1]

    def admits(self, now: float) -> tuple[bool, dict[str, str]]:
        limit, minute = self._limit(now), int(now // 60)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        admitted, rest = self._count < limit, 60 * (minute + 1) - now
        self._count += admitted
        if self._told == "x-ratelimit":
            return admitted, figures(limit, limit - self._count, rest)
        return admitted, {"retry-after": str(math.ceil(rest))} if self._told and not admitted else {}

    def left(self) -> None:
        pass

    def throughput(self, now: float, seconds: float) -> float:
        return self._limit(now) / 60.0


class NoLimit:
    """Admits everything except what a rule refuses, whatever the load.

    Args:
        refuses: tells from the time whether a request is refused.
    """

    def __init__(self, refuses: Callable[[float], bool] = lambda _: False) -> None:
        self._refuses = refuses

    def admits(self, now: float) -> tuple[bool, dict[str, str]]:
        return not self._refuses(now), {}

    def left(self) -> None:
        pass

    def throughput(self, now: float, seconds: float) -> float:
        return math.inf


def at_random(share: float, seed: int) -> NoLimit:
    """Refuse this share of the requests."""
    chance = random.Random(seed)
    return NoLimit(lambda _: chance.random() < share)


def outages(*spans: tuple[float, float]) -> NoLimit:
    """Refuse everything within these times."""
    return NoLimit(lambda now: any(since <= now < until for since, until in spans))


def figures(limit: float, left: int, reset: float) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(left),
        "x-ratelimit-reset-requests": f"{math.ceil(reset * 1000)}ms",
    }
