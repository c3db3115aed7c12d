"""Limiters decide when an attempt may begin, and learn from its outcome.

A client asks its limiter before every attempt, including retries but not the redirects inside an attempt. `acquire`
waits and returns a `Permit`. The permit is settled exactly once, whatever happens to the attempt: a response, an error,
or a cancellation.

Each limiter here consists of a rule and a `_Queue`. The rule (`Rates` in `rate.py`, `Window` in `adaptive.py`) is
arithmetic: `ready_at` returns the earliest time at which the next attempt may begin, and `begin` counts it. The queue
puts waiting attempts in order.

There is no background task behind the queue. The first task in it sleeps until the rule's time has come or something
has changed; the others sleep until they are first. A task that is woken does not receive a permit, it only looks at the
rule again. And a task leaves the queue in a `finally` block that wakes the next one. So a cancellation at any moment
neither loses a permit nor leaves anybody waiting (promise 1).
"""

from __future__ import annotations

import functools
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
import trio

from trio_openai._wire.usage import bounded, count_of

from .adaptive import THROTTLED, Window
from .rate import Flight, Rates

log = logging.getLogger("trio_openai")

_NO_HEADERS: Mapping[str, str] = {}
# Error codes with which servers say that they are overloaded, also inside a stream that began with status 200.
_OVERLOAD_CODES = frozenset(
    {"rate_limit_exceeded", "rate_limit_error", "overloaded", "overloaded_error", "slow_down", "server_overloaded"}
)


@attrs.frozen(kw_only=True)
class Attempt:
    """An attempt that is about to be made.

    Attributes:
        method: the HTTP method, such as `POST`.
        path: the path below the base URL, such as `/chat/completions`.
        model: the model that the request asks for, or None.
        tokens: an estimate of the tokens that it will use: the output that it allows, plus one for every four
            characters of its input.
    """

    method: str
    path: str
    model: str | None = None
    tokens: int = 0


@attrs.frozen(kw_only=True)
class Outcome:
    """The outcome of an attempt.

    Attributes:
        status: the HTTP status, or None if the attempt was cancelled before there was one or the connection failed.
        tokens: the tokens that it used, or None if the response did not say so or was not read that far.
        headers: the headers of the response. Names are looked up in any case.
        code: the code (or else the type) of the error that the server reported, by its status or inside a stream.
    """

    status: int | None = None
    tokens: int | None = None
    headers: Mapping[str, str] = attrs.field(default=_NO_HEADERS, repr=False)
    code: str | int | None = None

    @property
    def is_throttled(self) -> bool:
        """True if the server was asked for too much: a 429, a 503, or an overload that ended the stream.

        An exhausted account (`insufficient_quota`) does not count, because sending less would not help.
        """
        if self.code == "insufficient_quota":
            return False
        return self.status in THROTTLED or self.code in THROTTLED or self.code in _OVERLOAD_CODES


class Permit(Protocol):
    """Permission for one attempt."""

    def settle(self, outcome: Outcome) -> None:
        """Record the attempt's outcome. Called exactly once, when the response has been read or given up."""
        ...


class Limiter(Protocol):
    """The interface of `TrioOpenAI(limiter=...)`. Several clients may share one limiter."""

    async def acquire(self, attempt: Attempt) -> Permit:
        """Wait until the attempt may begin. If this raises an exception or is cancelled, there is nothing to settle."""
        ...


class _Rule(Protocol):
    """The arithmetic of a limiter."""

    def ready_at(self, tokens: int, now: float) -> float: ...

    def begin(self, tokens: int, now: float) -> Flight: ...

    def load(self, now: float) -> float: ...


class _Waiter:
    """A task in the queue, woken to look at the rule again."""

    __slots__ = ("woken",)

    def __init__(self) -> None:
        self.woken = trio.Event()


class _Queue:
    """The attempts that wait for a rule, first come first served. It belongs to the first trio run that uses it."""

    def __init__(self, rule: _Rule) -> None:
        self._rule = rule
        self._token: trio.lowlevel.TrioToken | None = None
        self._clock: trio.abc.Clock | None = None
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()  # unlike a deque, fast to leave from the middle
        self.listeners: tuple[Callable[[], object], ...] = ()  # called when nobody waits and something has changed

    def __len__(self) -> int:
        return len(self._waiters)

    async def pass_through(self, tokens: int) -> Flight:
        """Wait for all earlier attempts and for the rule, then count the attempt as begun."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self.bind()
        now = trio.current_time()
        if not self._waiters and self._rule.ready_at(tokens, now) <= now:
            flight = self._rule.begin(tokens, now)
            # Shielded, since a cancellation after `begin` would lose an attempt that is counted as in flight.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return flight
        return await self._wait(tokens)

    async def _wait(self, tokens: int) -> Flight:
        """Wait in the queue, looking at the rule whenever the task is first and has been woken."""
        me = _Waiter()
        self._waiters[me] = None
        try:
            while True:
                now = trio.current_time()
                ready_at = self._rule.ready_at(tokens, now) if next(iter(self._waiters)) is me else math.inf
                if ready_at <= now:
                    return self._rule.begin(tokens, now)  # noqa: ASYNC910 - `pass_through` had a checkpoint
                with trio.move_on_at(ready_at):
                    await me.woken.wait()
                me.woken = trio.Event()
        finally:
            del self._waiters[me]
            self.wake()

    def ready_at(self, tokens: int, now: float) -> float:
        """Return the time at which an attempt that does not wait in this queue may begin."""
        self.bind()
        return math.inf if self._waiters else self._rule.ready_at(tokens, now)

    def begin(self, tokens: int, now: float) -> Flight:
        """Count an attempt as begun that did not wait in this queue."""
        return self._rule.begin(tokens, now)

    def load(self, now: float) -> float:
        """Return which part of the rule's limit is in use, from 0 to 1."""
        return self._rule.load(now)

    def bind(self) -> None:
        """Remember the trio run, and refuse to be used in another one."""
        token = trio.lowlevel.current_trio_token()
        if self._token is None:
            self._token, self._clock = token, trio.lowlevel.current_clock()
        elif self._token is not token:
            raise RuntimeError("this limiter belongs to another trio run; create a limiter for each run")

    def now(self) -> float:
        """Return the time of the trio run that the limiter belongs to. May be called from any thread."""
        return self._clock.current_time() if self._clock is not None else 0.0

    def change(self, function: Callable[[], object]) -> None:
        """Change the rule and let the first task look again.

        Called in another thread, this takes effect as soon as the trio run gets to it.
        """

        def apply() -> None:
            function()
            self.wake()

        here = trio.lowlevel.current_trio_token() if trio.lowlevel.in_trio_run() else None
        if self._token is None or self._token is here:
            apply()
        else:
            self._token.run_sync_soon(apply)

    def wake(self) -> None:
        """Let the first task look at the rule again, because something has changed."""
        if self._waiters:
            next(iter(self._waiters)).woken.set()
        else:
            for listener in self.listeners:
                listener()


class _SettledOnce:
    """A permit that passes its outcome on, and refuses to be settled twice."""

    __slots__ = ("_pass_on",)

    def __init__(self, pass_on: Callable[[Outcome], None]) -> None:
        self._pass_on: Callable[[Outcome], None] | None = pass_on

    def settle(self, outcome: Outcome) -> None:
        """Record the attempt's outcome.

        Raises:
            RuntimeError: the permit has already been settled.
        """
        pass_on, self._pass_on = self._pass_on, None
        if pass_on is None:
            raise RuntimeError("this permit has already been settled")
        pass_on(outcome)


@attrs.frozen(kw_only=True)
class RateStatistics:
    """The state of a `RateLimiter` at one moment.

    Attributes:
        requests_per_minute: the limit, or None.
        tokens_per_minute: the limit, or None.
        in_flight: attempts that have begun and have not been settled.
        waiting: attempts in the queue.
    """

    requests_per_minute: float | None
    tokens_per_minute: float | None
    in_flight: int
    waiting: int


class _QueueLimiter:
    """Base class of a limiter that consists of a rule and a queue."""

    def __init__(self, rule: _Rule) -> None:
        self._queue = _Queue(rule)

    async def acquire(self, attempt: Attempt) -> Permit:
        """Wait until the attempt may begin. If this raises an exception or is cancelled, there is nothing to settle."""
        flight = await self._queue.pass_through(bounded(attempt.tokens))
        return _SettledOnce(functools.partial(self._settle, flight))

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        raise NotImplementedError


class OpenLimiter:
    """A limiter of this module as seen from a queue of the caller's, which waits for several limiters at once.

    Args:
        limiter: the limiter.
        listener: called whenever an attempt might be able to begin.
    """

    def __init__(self, limiter: _QueueLimiter, listener: Callable[[], object]) -> None:
        self._limiter = limiter
        self._queue = limiter._queue  # pyright: ignore[reportPrivateUsage] - of the same file
        self._queue.listeners += (listener,)

    def ready_at(self, tokens: int, now: float) -> float:
        """Return the time at which an attempt may begin; infinity if something has to end first."""
        return self._queue.ready_at(bounded(tokens), now)

    def begin(self, tokens: int, now: float) -> Permit:
        """Begin an attempt. Call this only if `ready_at` has come."""
        flight = self._queue.begin(bounded(tokens), now)
        return _SettledOnce(functools.partial(self._limiter._settle, flight))  # pyright: ignore[reportPrivateUsage]

    def load(self, now: float) -> float:
        """Return which part of the limit is in use, from 0 to 1."""
        return self._queue.load(now)


def opened_limiter(limiter: Limiter, listener: Callable[[], object]) -> OpenLimiter | None:
    """Return the view of a limiter of this module; None for one of the program's own classes."""
    return OpenLimiter(limiter, listener) if isinstance(limiter, _QueueLimiter) else None


class RateLimiter(_QueueLimiter):
    """A limiter for known limits: so many requests and tokens per minute, spread evenly.

    At most the amount for one second, but at least one request, may begin at once. Attempts begin in the order in which
    they arrive. An attempt counts with its estimated tokens until its response says how many it used. An attempt that
    was refused (status 400 or above) counts as having used none.

    A request that used more tokens than estimated delays the next ones, by at most twenty minutes. A reported usage
    that is impossible (negative, not an integer, or above 100 million) is ignored.

    A limiter belongs to one trio run.

    Args:
        requests_per_minute: how many attempts may begin per minute, or None for no limit.
        tokens_per_minute: how many tokens they may use per minute, or None for no limit.

    Raises:
        ValueError: both are None, or one is not above zero.
    """

    def __init__(self, *, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        _check_rates(requests_per_minute, tokens_per_minute)
        self._rates = Rates(requests_per_minute, tokens_per_minute)
        super().__init__(self._rates)

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        self._rates.end(flight, outcome.status, count_of(outcome.tokens), self._queue.now())
        self._queue.wake()

    def resize(self, *, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        """Set both limits. They apply to waiting attempts too. May be called from any thread.

        Raises:
            ValueError: both are None, or one is not above zero. The limits are unchanged then.
        """
        _check_rates(requests_per_minute, tokens_per_minute)
        self._queue.change(lambda: self._rates.resize(requests_per_minute, tokens_per_minute, self._queue.now()))

    def statistics(self) -> RateStatistics:
        """Return the state of the limiter."""
        return RateStatistics(
            requests_per_minute=self._rates.requests,
            tokens_per_minute=self._rates.tokens,
            in_flight=self._rates.in_flight,
            waiting=len(self._queue),
        )


@attrs.frozen(kw_only=True)
class AdaptiveStatistics:
    """The state of an `AdaptiveLimiter` at one moment.

    Attributes:
        limit: how many attempts may be in flight. It is a fraction, of which the integer part counts.
        minimum: the lowest limit.
        maximum: the highest limit.
        in_flight: attempts that have begun and have not been settled.
        waiting: attempts in the queue.
        paused_for: seconds until the end of the pause that the server asked for, or 0.
        throttled: how many attempts the server has refused with a 429 or 503.
        requests_per_minute: the rate that the server seems to allow, or None if none has been found.
    """

    limit: float
    minimum: int
    maximum: int
    in_flight: int
    waiting: int
    paused_for: float
    throttled: int
    requests_per_minute: float | None


class AdaptiveLimiter(_QueueLimiter):
    """A limiter for unknown limits: it finds out how much the server accepts, and stays just below that.

    It limits how many attempts are in flight. The limit grows while attempts succeed and shrinks by a factor after a
    429 or 503. The limiter remembers the level at which that happened, and rarely tries it again. Refusals at random
    and outages that are over do not slow it down. It obeys `retry-after` and the `x-ratelimit-*` headers. A 429 with
    the code `insufficient_quota` is ignored, because sending less would not help.

    Attempts begin in the order in which they arrive. Use one limiter for everything that the server counts together,
    which usually is a model. A limiter belongs to one trio run.

    Args:
        initial: how many attempts may be in flight at first. It is raised to `minimum` or lowered to `maximum`.
        minimum: the lowest limit.
        maximum: the highest limit.

    Raises:
        ValueError: not `1 <= minimum <= maximum`, or `initial` is less than 1.
    """

    def __init__(self, *, initial: int = 10, minimum: int = 1, maximum: int = 1000) -> None:
        _check_window(initial, minimum, maximum)
        self._window = Window(initial, minimum, maximum)
        super().__init__(self._window)

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        window, before = self._window, self._window.limit
        # A 429 for an exhausted account is no information about limits, so it ends the attempt without a status.
        status = 429 if outcome.is_throttled else None if outcome.status in THROTTLED else outcome.status
        window.end(flight, status, outcome.headers, self._queue.now(), time.time())
        if window.limit < before:
            log.debug("HTTP %s with %d in flight: the limit is now %.1f", status, flight.level, window.limit)
        self._queue.wake()

    def resize(self, limit: int | None = None, *, minimum: int | None = None, maximum: int | None = None) -> None:
        """Set the limit, its bounds, or both. May be called from any thread.

        A new `limit` also forgets everything learned about the server. Attempts in flight continue; if there are more
        than the limit, no attempt begins until enough of them have ended.

        Raises:
            ValueError: not `1 <= minimum <= maximum`, or `limit` is less than 1. Nothing is changed then.
        """
        low = self._window.minimum if minimum is None else minimum
        high = self._window.maximum if maximum is None else maximum
        _check_window(1 if limit is None else limit, low, high)
        self._queue.change(lambda: self._window.resize(limit, low, high))

    def statistics(self) -> AdaptiveStatistics:
        """Return the state of the limiter."""
        window = self._window
        return AdaptiveStatistics(
            limit=window.limit,
            minimum=window.minimum,
            maximum=window.maximum,
            in_flight=window.in_flight,
            waiting=len(self._queue),
            paused_for=max(window.paused_until - self._queue.now(), 0.0),
            throttled=window.throttled,
            requests_per_minute=window.rate * 60 if window.rate < math.inf else None,
        )


def _check_rates(*rates: float | None) -> None:
    if all(rate is None for rate in rates):
        raise ValueError("a RateLimiter needs requests_per_minute=, tokens_per_minute=, or both")
    if any(rate is not None and not 0 < rate < math.inf for rate in rates):
        raise ValueError("a rate must be a number above zero")


def _check_window(limit: float, minimum: int, maximum: int) -> None:
    if not 1 <= minimum <= maximum:
        raise ValueError(f"the bounds must be 1 <= minimum <= maximum, not minimum={minimum} and maximum={maximum}")
    if not 1 <= limit < math.inf:
        raise ValueError(f"the limit must be 1 or more, not {limit}")
