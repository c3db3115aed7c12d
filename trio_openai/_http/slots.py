"""The slots of a pool, and waiting under a timeout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx
import trio

_T = TypeVar("_T")

ONE_BUDGET = "trio_openai.one_budget"
"""The key in `request.extensions` that makes the wait for a slot count as time to connect."""


class Slots:
    """A fixed number of slots, handed out in order of arrival.

    The timeout `pool` bounds the time in which nobody in line gets a slot. So a line that moves is no failure, however
    long it is, and one behind connections that are never given back is one soon.
    """

    def __init__(self, count: int) -> None:
        self._limiter = trio.CapacityLimiter(count)
        self._waiting: dict[trio.CancelScope, float] = {}  # and how long each waits without any progress
        self._extended_at = 0.0

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._limiter.total_tokens)

    @property
    def borrowed_tokens(self) -> int:
        """How many are in use."""
        return self._limiter.borrowed_tokens

    @property
    def tasks_waiting(self) -> int:
        """How many tasks are in line."""
        return self._limiter.statistics().tasks_waiting

    async def take(self, slot: object, request: httpx.Request) -> dict[str, float | None]:
        """Wait for a free slot. Return the request's timeouts as they hold from then on.

        Raises:
            httpx.PoolTimeout: the line did not move for too long.
        """
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        seconds, connect = timeouts.get("pool"), timeouts.get("connect")
        if seconds is None:
            await self._limiter.acquire_on_behalf_of(slot)
            return timeouts
        with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
            self._waiting[scope] = seconds
            try:
                await self._limiter.acquire_on_behalf_of(slot)
            finally:
                del self._waiting[scope]
            self._extend(seconds)
            left = max(0.0, scope.deadline - trio.current_time())
            if request.extensions.get(ONE_BUDGET) and connect is not None:
                return {**timeouts, "connect": min(connect, left)}
            return timeouts
        raise httpx.PoolTimeout(f"no connection was free within {seconds:g} s")

    def _extend(self, seconds: float) -> None:
        """Give those in line their whole time again, since it has moved. Not at every turn, as they may be many."""
        now = trio.current_time()
        if now - self._extended_at >= seconds / 10:
            self._extended_at = now
            for scope, whole in self._waiting.items():
                scope.deadline = now + whole

    def release(self, slot: object) -> None:
        """Give a slot back."""
        self._limiter.release_on_behalf_of(slot)


async def within(
    seconds: float | None, error: type[httpx.TimeoutException], function: Callable[..., Awaitable[_T]], *args: object
) -> _T:
    """Call a function, under a deadline if there is one."""
    if seconds is None:
        return await function(*args)
    with trio.move_on_after(seconds):
        return await function(*args)
    raise error(f"gave up after {seconds:g} s")
