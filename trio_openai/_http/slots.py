"""The slots of a pool, and how long a request waits for one.

A slot is the right to use one connection. A pool has as many slots as it may have connections, so a request that holds
a slot never has to queue for a connection. Slots are a `trio.CapacityLimiter`: it is fair, and a waiter that is
cancelled leaves nothing behind.

The `pool` timeout bounds how long the queue may stand still, not how long one request may wait. With a thousand prompts
and ten connections, the last prompt waits long although everything works; that is no failure. A queue in which nobody
gets a slot is one: the program probably holds streams that it neither reads nor closes.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import trio

from trio_openai._httpx import httpx

from .pool_log import is_logged, log_slot

if TYPE_CHECKING:
    from .raw_request import RawRequest

_T = TypeVar("_T")

ONE_BUDGET = "trio_openai.one_budget"
"""The key in `request.extensions` that makes the time spent waiting for a slot count towards the `connect` timeout."""


class Slots:
    """A fixed number of slots, given out in order of arrival.

    Args:
        count: the number of slots.
    """

    def __init__(self, count: int) -> None:
        self._limiter = trio.CapacityLimiter(count)
        self._waiting: dict[trio.CancelScope, float] = {}  # the scope of each waiting request, and its `pool` timeout
        self._extended_at = 0.0

    @property
    def count(self) -> int:
        """The number of slots."""
        return int(self._limiter.total_tokens)

    @property
    def borrowed_tokens(self) -> int:
        """The number of slots in use."""
        return self._limiter.borrowed_tokens

    @property
    def tasks_waiting(self) -> int:
        """The number of tasks that wait for a slot."""
        return self._limiter.statistics().tasks_waiting

    async def take(self, slot: object, request: httpx.Request | RawRequest) -> dict[str, float | None]:
        """Wait for a free slot. Return the request's timeouts, less the time spent here if the request asks for that.

        Raises:
            httpx.PoolTimeout: the queue did not move for `pool` seconds.
        """
        timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            # The usual case. A cancel scope and a pass of the scheduler would cost more than the rest of this.
            self._limiter.acquire_on_behalf_of_nowait(slot)
            return timeouts  # noqa: ASYNC910 - what follows is a checkpoint
        except trio.WouldBlock:
            pass
        seconds, connect = timeouts.get("pool"), timeouts.get("connect")
        waits_since = self._log_wait() if is_logged() else None
        if seconds is None:
            await self._limiter.acquire_on_behalf_of(slot)
            if waits_since is not None:
                self._log_end(waits_since)
            return timeouts
        with trio.CancelScope(deadline=trio.current_time() + seconds) as scope:
            self._waiting[scope] = seconds
            try:
                await self._limiter.acquire_on_behalf_of(slot)
            finally:
                del self._waiting[scope]
            self._extend(seconds)
            if waits_since is not None:
                self._log_end(waits_since)
            left = max(0.0, scope.deadline - trio.current_time())
            if request.extensions.get(ONE_BUDGET) and connect is not None:
                return {**timeouts, "connect": min(connect, left)}
            return timeouts
        raise httpx.PoolTimeout(f"no connection was free within {seconds:g} s")

    def _log_wait(self) -> float | None:
        """Write to the log that a request waits, if it has to. Return the time."""
        if self._limiter.available_tokens >= 1:
            return None
        log_slot("waiting for a slot", slots=self.count, waiting=self.tasks_waiting)
        return trio.current_time()

    def _log_end(self, since: float) -> None:
        waited = trio.current_time() - since
        log_slot("got a slot", slots=self.count, waiting=self.tasks_waiting, seconds=waited)

    def _extend(self, seconds: float) -> None:
        """Restart the timeout of all waiting requests, since the queue has moved.

        With many waiters this takes time, so it happens at most ten times per timeout.
        """
        now = trio.current_time()
        if now - self._extended_at >= seconds / 10:
            self._extended_at = now
            for scope, whole in self._waiting.items():
                scope.deadline = now + whole

    def release(self, slot: object) -> None:
        """Give a slot back. The first waiting request gets it."""
        self._limiter.release_on_behalf_of(slot)


async def within(
    seconds: float | None, error: type[httpx.TimeoutException], function: Callable[..., Awaitable[_T]], *args: object
) -> _T:
    """Call a function, and raise `error` if it takes longer than `seconds`. None means no limit."""
    if seconds is None:
        return await function(*args)
    with trio.move_on_after(seconds):
        return await function(*args)
    raise error(f"timed out after {seconds:g} s")


def limit_of(timeouts: dict[str, float | None], name: str) -> float:
    """Return the seconds of a timeout; infinity if there is none."""
    seconds = timeouts.get(name)
    return math.inf if seconds is None else seconds
