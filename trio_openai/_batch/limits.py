"""The limits of a batch job: when a request may begin, and when the job has used enough.

The client of a job gets a `JobLimiter`. It asks the limits of the whole job first (`rpm`, `tpm`), and then the limiter
of the client, by default a `SeededLimiter`. It also lets a job stop: requests that still wait do not begin.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import attrs
import trio

from trio_openai._limits.limiter import AdaptiveLimiter, Attempt, Limiter, Outcome, Permit, RateLimiter
from trio_openai._limits.rate import Flight
from trio_openai._statistics import Usage

_INITIAL = 16  # the first limit, before the server has said anything


_T = TypeVar("_T")


class NotStartedError(Exception):
    """The job stopped while a request waited for its permit."""


class Gate:
    """Keep requests from beginning once a job stops.

    A request may wait in the queue of several servers, for the limiter of one, and for the job's own. Until its first
    attempt begins, closing the gate cancels it.
    """

    def __init__(self) -> None:
        self.is_closed: bool = False
        self._waiting: set[trio.CancelScope] = set()
        self._not_begun: dict[trio.lowlevel.Task, trio.CancelScope] = {}
        self._when_closed: list[Callable[[], None]] = []

    def when_closed(self, function: Callable[[], None]) -> None:
        """Call a function when the gate is closed."""
        self._when_closed.append(function)

    def close(self) -> None:
        """Let no request begin from now on."""
        if self.is_closed:
            return
        self.is_closed = True
        for scope in (*self._waiting, *self._not_begun.values()):
            scope.cancel()
        for function in self._when_closed:
            function()

    async def unless_closed(self, send: Callable[[], Awaitable[_T]]) -> _T:
        """Send a request, unless the gate is closed before it begins.

        Raises:
            NotStartedError: The gate was closed.
        """
        task = trio.lowlevel.current_task()
        with trio.CancelScope() as scope:
            self._not_begun[task] = scope
            try:
                return await send()
            finally:
                self._not_begun.pop(task, None)
        raise NotStartedError

    def begun(self) -> None:
        """Note that the request of this task begins. From now on, closing the gate lets it finish."""
        self._not_begun.pop(trio.lowlevel.current_task(), None)

    async def acquire(self, limiter: Limiter, attempt: Attempt) -> Permit:
        """Wait for a permit.

        Raises:
            NotStartedError: The job stopped.
        """
        with trio.CancelScope() as scope:  # noqa: ASYNC912 - only a closed gate has no checkpoint here
            self._waiting.add(scope)
            try:
                if not self.is_closed:
                    return await limiter.acquire(attempt)
            finally:
                self._waiting.discard(scope)
        await trio.lowlevel.checkpoint_if_cancelled()
        raise NotStartedError


class Unlimited:
    """A limiter that permits everything."""

    async def acquire(self, attempt: Attempt) -> Permit:  # noqa: ARG002 - as every limiter
        """Return the permit at once."""
        await trio.lowlevel.checkpoint()
        return self

    def settle(self, outcome: Outcome) -> None:
        """Do nothing."""


class SeededLimiter(AdaptiveLimiter):
    """An `AdaptiveLimiter` whose first answer says how far it may go at once, if the server states its limits.

    Args:
        maximum: The highest limit.
    """

    def __init__(self, maximum: int) -> None:
        super().__init__(initial=min(_INITIAL, maximum), maximum=maximum)
        self._is_seeded = False

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        super()._settle(flight, outcome)
        if self._is_seeded or outcome.status is None or not 200 <= outcome.status < 300:
            return
        self._is_seeded = True
        took = trio.current_time() - flight.began
        seed = concurrency_of(outcome.headers, took, outcome.tokens or int(flight.tokens))
        if seed is not None and seed > self.statistics().limit:
            self.resize(min(seed, self.statistics().maximum))


class JobLimiter:
    """The limiter of a job.

    Args:
        gate: Closed when the job stops.
        shared: The limiter of the whole job, or None.
        own: The client's limiter.
    """

    def __init__(self, gate: Gate, shared: RateLimiter | None, own: Limiter) -> None:
        self._gate = gate
        self._shared = shared
        self.own = own

    async def acquire(self, attempt: Attempt) -> Permit:
        """Wait until the attempt may begin.

        Raises:
            NotStartedError: The job stopped.
        """
        if self._shared is None:
            own = await self._gate.acquire(self.own, attempt)
            self._gate.begun()
            return own
        shared = await self._gate.acquire(self._shared, attempt)
        try:
            own = await self._gate.acquire(self.own, attempt)
        except BaseException:
            shared.settle(Outcome())
            raise
        self._gate.begun()
        return _TwoPermits(shared, own)


@attrs.frozen(eq=False)
class _TwoPermits:
    """The permits of one attempt: the job's, and the client's."""

    shared: Permit
    own: Permit

    def settle(self, outcome: Outcome) -> None:
        """Record the attempt's outcome."""
        try:
            self.shared.settle(outcome)
        finally:
            self.own.settle(outcome)


def concurrency_of(headers: Mapping[str, str], seconds: float, tokens: int) -> int | None:
    """Return how many requests at a time use up what the server allows, or None if it does not say.

    By Little's law that is the number that may begin per second, times the seconds that one takes. The headers count
    per minute (https://platform.openai.com/docs/guides/rate-limits).

    Args:
        headers: The headers of an answer.
        seconds: The time that it took.
        tokens: The tokens that it used.
    """
    per_minute = [_number(headers, "requests")]
    if tokens > 0:
        per_minute.append(_number(headers, "tokens") / tokens)
    found = min(per_minute) / 60 * seconds
    return max(int(found), 1) if math.isfinite(found) else None


def _number(headers: Mapping[str, str], kind: str) -> float:
    """Return what may still be used, or infinity if the headers do not say."""
    try:
        found = float(headers.get(f"x-ratelimit-remaining-{kind}") or "inf")
    except ValueError:
        return math.inf
    return found if found >= 0 else math.inf


class Budget:
    """The tokens or the money that a job may use.

    What running requests may use counts as used, by an estimate, until they have ended.

    Args:
        most: The most that may be used, or None for no limit.
    """

    def __init__(self, most: float | None) -> None:
        self._most = math.inf if most is None else most
        self._reserved = 0.0
        self.used = 0.0

    def has_room(self, estimate: float) -> bool:
        """Return whether a request may begin now."""
        return self.used < self._most and self.used + self._reserved + estimate <= self._most

    def reserve(self, estimate: float) -> None:
        """Count a request that begins."""
        self._reserved += estimate

    def settle(self, estimate: float, used: float) -> None:
        """Count a request that has ended."""
        self._reserved -= estimate
        self.used += used


NO_USAGE = Usage()
