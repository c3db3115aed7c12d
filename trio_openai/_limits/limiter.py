"""Limiters: what decides when an attempt may begin, and hears what became of it.

A limiter sees every attempt of a call, retries included, and none of the redirects in it. It is asked by `acquire`,
which waits; what it answers is a `Permit`, to be settled exactly once, whatever happened.

Both of those here are a rule (`_limits/rate.py`, `_limits/adaptive.py`) and a line. There is no task behind them:
whoever is first in line sleeps until the rule's time has come, or until something has changed, and the others sleep
until they are first. To be woken is to look again, and a place in line is given up in a `finally`, which wakes the next
one; so nothing is lost, and nobody stranded, however a waiting task ends.
"""

from __future__ import annotations

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
_TOO_MUCH = frozenset(
    {"rate_limit_exceeded", "rate_limit_error", "overloaded", "overloaded_error", "slow_down", "server_overloaded"}
)


@attrs.frozen(kw_only=True)
class Attempt:
    """An attempt that is about to be made.

    Attributes:
        method: such as `POST`.
        path: below the base URL, such as `/chat/completions`.
        model: what the request asks for, or None.
        tokens: an estimate of what it will use: the output that it allows, and a token for every four characters of its
            input.
    """

    method: str
    path: str
    model: str | None = None
    tokens: int = 0


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        status: the HTTP status; None if it was cancelled before there was one, or the connection failed.
        tokens: what it used, if the answer said so and was read that far.
        headers: of the response; their names are found in any case.
        code: of the error that the answer reported, be it by its status or inside a stream: its code, else its type.
    """

    status: int | None = None
    tokens: int | None = None
    headers: Mapping[str, str] = attrs.field(default=_NO_HEADERS, repr=False)
    code: str | int | None = None

    @property
    def is_throttled(self) -> bool:
        """Whether the server says that it is asked too much: 429, 503, or that an overload ended the stream.

        An account that is used up is none of that: to ask less would not help.
        """
        if self.code == "insufficient_quota":
            return False
        return self.status in THROTTLED or self.code in THROTTLED or self.code in _TOO_MUCH


class Permit(Protocol):
    """The leave to make one attempt."""

    def settle(self, outcome: Outcome) -> None:
        """Hear what became of it. Called exactly once, when the answer has been read or given up; it cannot wait."""
        ...


class Limiter(Protocol):
    """What `TrioOpenAI(limiter=...)` takes. Several clients may share one."""

    async def acquire(self, attempt: Attempt) -> Permit:
        """Wait until the attempt may be made. If this raises, also by cancellation, nothing has to be settled."""
        ...


class _Rule(Protocol):
    def ready_at(self, tokens: int, now: float) -> float: ...

    def begin(self, tokens: int, now: float) -> Flight: ...


class _Waiter:
    """A task in line; it is woken to look again."""

    __slots__ = ("woken",)

    def __init__(self) -> None:
        self.woken = trio.Event()


class _Queue:
    """Who waits for a rule, in the order in which they came. It belongs to the first run that it is used in."""

    def __init__(self, rule: _Rule) -> None:
        self._rule = rule
        self._token: trio.lowlevel.TrioToken | None = None
        self._clock: trio.abc.Clock | None = None
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()  # a deque would be slow to leave from the middle

    def __len__(self) -> int:
        return len(self._waiters)

    async def pass_through(self, tokens: int) -> Flight:
        """Wait for one's turn, and for the rule; then the attempt has begun."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._bind()
        now = trio.current_time()
        if not self._waiters and self._rule.ready_at(tokens, now) <= now:
            flight = self._rule.begin(tokens, now)
            await trio.lowlevel.cancel_shielded_checkpoint()
            return flight
        return await self._wait(tokens)

    async def _wait(self, tokens: int) -> Flight:
        me = _Waiter()
        self._waiters[me] = None
        try:
            while True:
                now = trio.current_time()
                ready_at = self._rule.ready_at(tokens, now) if next(iter(self._waiters)) is me else math.inf
                if ready_at <= now:
                    return self._rule.begin(tokens, now)  # noqa: ASYNC910 - it has waited before
                with trio.move_on_at(ready_at):
                    await me.woken.wait()
                me.woken = trio.Event()
        finally:
            del self._waiters[me]
            self.wake()

    def _bind(self) -> None:
        """Belong to this run."""
        token = trio.lowlevel.current_trio_token()
        if self._token is None:
            self._token, self._clock = token, trio.lowlevel.current_clock()
        elif self._token is not token:
            raise RuntimeError("this limiter has been used in another run of trio; make one for each")

    def now(self) -> float:
        """The time of the run that it belongs to, also for other threads."""
        return self._clock.current_time() if self._clock is not None else 0.0

    def change(self, function: Callable[[], object]) -> None:
        """Change the rule, and have whoever is first look again. From another thread: as soon as the run gets to it."""

        def apply() -> None:
            function()
            self.wake()

        here = trio.lowlevel.current_trio_token() if trio.lowlevel.in_trio_run() else None
        if self._token is None or self._token is here:
            apply()
        else:
            self._token.run_sync_soon(apply)

    def wake(self) -> None:
        """Something has changed: whoever is first looks again."""
        if self._waiters:
            next(iter(self._waiters)).woken.set()


class _Settled:
    """A permit that passes its outcome on."""

    __slots__ = ("_pass_on",)

    def __init__(self, pass_on: Callable[[Outcome], None]) -> None:
        self._pass_on: Callable[[Outcome], None] | None = pass_on

    def settle(self, outcome: Outcome) -> None:
        """Hear what became of the attempt.

        Raises:
            RuntimeError: that has been said already.
        """
        pass_on, self._pass_on = self._pass_on, None
        if pass_on is None:
            raise RuntimeError("this permit has been settled already")
        pass_on(outcome)


@attrs.frozen(kw_only=True)
class RateStatistics:
    """A `RateLimiter` at one moment.

    Attributes:
        requests_per_minute: the limit, or None.
        tokens_per_minute: the limit, or None.
        in_flight: attempts that have begun and are not settled.
        waiting: attempts in line.
    """

    requests_per_minute: float | None
    tokens_per_minute: float | None
    in_flight: int
    waiting: int


class RateLimiter:
    """So many requests and so many tokens a minute, evenly: at once may begin what a second allows, and one at least.

    Attempts begin in the order in which they come. Tokens are counted as estimated until the answer says how many they
    were; an attempt that was refused (a status of 400 or above) has used none. It belongs to one run of trio.

    A request that used more than was estimated leaves a debt, which holds the next one up for at most twenty minutes
    more. A count that no request can use (negative, no whole number, more than 100 million) is ignored.

    Args:
        requests_per_minute: how many attempts may begin; None for no limit.
        tokens_per_minute: how many tokens they may use; None for no limit.

    Raises:
        ValueError: neither is given, or one is not above zero.
    """

    def __init__(self, *, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        _check_rates(requests_per_minute, tokens_per_minute)
        self._rates = Rates(requests_per_minute, tokens_per_minute)
        self._line = _Queue(self._rates)

    async def acquire(self, attempt: Attempt) -> Permit:
        """Wait until the attempt may be made."""
        flight = await self._line.pass_through(bounded(attempt.tokens))
        return _Settled(lambda outcome: self._settle(flight, outcome))

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        self._rates.end(flight, outcome.status, count_of(outcome.tokens), self._line.now())
        self._line.wake()

    def resize(self, *, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        """Set both limits, from now on. Who waits is served by the new ones. Callable from any thread.

        Raises:
            ValueError: as when it is made; then nothing has changed.
        """
        _check_rates(requests_per_minute, tokens_per_minute)
        self._line.change(lambda: self._rates.resize(requests_per_minute, tokens_per_minute, self._line.now()))

    def statistics(self) -> RateStatistics:
        """How it stands."""
        return RateStatistics(
            requests_per_minute=self._rates.requests,
            tokens_per_minute=self._rates.tokens,
            in_flight=self._rates.in_flight,
            waiting=len(self._line),
        )


@attrs.frozen(kw_only=True)
class AdaptiveStatistics:
    """An `AdaptiveLimiter` at one moment.

    Attributes:
        limit: attempts that may be in flight; of a fraction, the whole part counts.
        minimum: what the limit never shrinks below.
        maximum: what it never grows beyond.
        in_flight: attempts that have begun and are not settled.
        waiting: attempts in line.
        paused_for: seconds until the end of the pause that the server asked for, or 0.
        throttled: answers of 429 and 503 so far.
        requests_per_minute: the rate that the server was found to allow, or None.
    """

    limit: float
    minimum: int
    maximum: int
    in_flight: int
    waiting: int
    paused_for: float
    throttled: int
    requests_per_minute: float | None


class AdaptiveLimiter:
    """Finds out how much a server takes, and keeps just below it.

    It limits the attempts in flight: the limit grows while all goes well, and shrinks by a factor at a 429 or 503. It
    remembers where that was, and seldom goes there again. Refusals that come at random, whatever the load, and outages
    that are over do not slow it down. It waits as long as `retry-after` says, and keeps to what `x-ratelimit-*` say. A
    429 with the code `insufficient_quota` counts for nothing: less of it would not help.

    Attempts begin in the order in which they come. Use one limiter for what the server counts together, most often a
    model. It belongs to one run of trio.

    Args:
        initial: attempts in flight at first, within the other two.
        minimum: what the limit never shrinks below.
        maximum: what it never grows beyond.

    Raises:
        ValueError: they are not `1 <= minimum <= maximum`, or `initial` is less than 1.
    """

    def __init__(self, *, initial: int = 10, minimum: int = 1, maximum: int = 1000) -> None:
        _check_window(initial, minimum, maximum)
        self._window = Window(initial, minimum, maximum)
        self._line = _Queue(self._window)

    async def acquire(self, attempt: Attempt) -> Permit:
        """Wait until the attempt may be made."""
        flight = await self._line.pass_through(bounded(attempt.tokens))
        return _Settled(lambda outcome: self._settle(flight, outcome))

    def _settle(self, flight: Flight, outcome: Outcome) -> None:
        window, before = self._window, self._window.limit
        status = 429 if outcome.is_throttled else None if outcome.status in THROTTLED else outcome.status
        window.end(flight, status, outcome.headers, self._line.now(), time.time())
        if window.limit < before:
            log.debug("HTTP %s with %d in flight: the limit is %.1f now", status, flight.level, window.limit)
        self._line.wake()

    def resize(self, limit: int | None = None, *, minimum: int | None = None, maximum: int | None = None) -> None:
        """Set the limit, its bounds, or all of them. With a limit it begins anew, and what was learned is forgotten.

        Callable from any thread.

        What is in flight goes on; if it is more than the limit, nothing begins until enough of it has ended.

        Raises:
            ValueError: as when it is made; then nothing has changed.
        """
        low = self._window.minimum if minimum is None else minimum
        high = self._window.maximum if maximum is None else maximum
        _check_window(1 if limit is None else limit, low, high)
        self._line.change(lambda: self._window.resize(limit, low, high))

    def statistics(self) -> AdaptiveStatistics:
        """How it stands."""
        window = self._window
        return AdaptiveStatistics(
            limit=window.limit,
            minimum=window.minimum,
            maximum=window.maximum,
            in_flight=window.in_flight,
            waiting=len(self._line),
            paused_for=max(window.paused_until - self._line.now(), 0.0),
            throttled=window.throttled,
            requests_per_minute=window.rate * 60 if window.rate < math.inf else None,
        )


def _check_rates(*rates: float | None) -> None:
    if all(rate is None for rate in rates):
        raise ValueError("a RateLimiter takes requests_per_minute=, tokens_per_minute=, or both")
    if any(rate is not None and not 0 < rate < math.inf for rate in rates):
        raise ValueError("a rate has to be a number above zero")


def _check_window(limit: float, minimum: int, maximum: int) -> None:
    if not 1 <= minimum <= maximum:
        raise ValueError("the bounds have to be 1 <= minimum <= maximum")
    if not 1 <= limit < math.inf:
        raise ValueError("the limit has to be 1 or more")
