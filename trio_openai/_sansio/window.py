"""A limit that nobody states, found out by trying: the window of attempts in flight, and the rate at which they begin.

A server may hide a limit of attempts at a time, or of attempts a minute. Two quantities keep to the two of them:

* `limit`, how many may be in flight. It grows by one with every answer until the first refusal, by one a round later (a
  round is as many answers as the limit is high), and only while it is used to the full.
* `rate`, how many may begin in a second. There is none until the server has been found to limit that.

A 429 or 503 is a setback: the limit shrinks by a factor, once for all attempts that had begun by then, and is soon back
at what is safe. What is safe, the setback tells:

* If as many answers have come at that level of attempts in flight as the level is high, the level is not to blame, so
  the rate is. A server that then refuses for long against the length of an attempt has shown the same. What got
  through since the setback before, divided by the time since, is the rate that it allows.
* Else the level was one too high.

To try more costs a refusal now and then. So after each the limit and the rate stay where they are safe until a hundred
answers have paid for it, and no more than one in a hundred is refused, however small the hidden limit is.

A server's own word goes first: nothing begins before the end of a `retry-after`, nor beyond what `x-ratelimit-*` allow.
If a server refuses again and again and asks for no pause, the pauses are ours, each longer than the one before.

The figures were chosen by simulation (`tests/sansio/test_window.py`). What the rule cannot do: tell a limit of the rate
from one of attempts at a time where the rate comes to one or two of them and their lengths vary widely; and foresee the
end of a fixed minute of which the server says nothing at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from . import policy
from .limits import Allowance, Bucket, Flight, reset_of

THROTTLED = (429, 503)

_SHRINK = 0.7
_REGROWTH = 0.2  # of the limit with every answer, but no more than one, until it is back where it is safe
_LEAST_FALL = 0.97  # what is left of the rate
_MOST_FALL = 0.1  # so little may get through because there was little to do
_RATE_GROWTH = 1.005  # with every answer

_PRICE = 100  # answers that pay for one refusal
_PRICE_IN_ROUNDS = 5  # where a level was refused: a high limit takes more answers to come back
_FIRST_PRICE = 20  # for all refusals of the first minute, in which nothing is known yet
_MOST_DEBT = 10  # prices

_PAUSE = 0.5  # seconds, doubled at every setback in a row
_MOST_PAUSE = 16.0
_PAUSES = 20  # a refusal may cost another pause like the last, so there are so many such times in between ...
_LONGEST_WAIT = 120.0  # ... but no more than so many seconds

_LONG = 3  # times the length of an attempt: a refusal that lasts as long is one of the rate
_MINUTE = 60.0
_OUTAGE = 75.0  # seconds: longer than any minute, so no limit

_SPREAD = 1.5  # attempts begin at no more than so many times the rate at which they end: else they come in waves
_SPREAD_BURST = 0.15  # of the limit
_REMEMBERED = 20  # attempts, in their average length
_SHORTEST = 0.001  # seconds, for that average
_IDLE = 1.0  # seconds without an attempt, though one could have begun: they tell nothing of the server


class Window:
    """How many attempts may be in flight, and when the next may begin; see above.

    Args:
        limit: at first.
        minimum: 1 or more.
        maximum: what it never grows beyond.
    """

    def __init__(self, limit: float, minimum: int, maximum: int) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.in_flight = 0
        self.throttled = 0
        self.paused_until = -math.inf
        self._requests, self._tokens = Allowance(), Allowance()
        self._pace = Bucket(0.0, 1.0)
        self._begun = 0
        self._spent = 0.0
        self._mean = 0.0  # seconds that an attempt takes, once there has been an answer
        self._answers = 0
        self._first_at = math.inf
        self._ended_at = -math.inf
        self._filled_by = 0  # the number of the last attempt that took the last place
        self._counted_from, self._counted_since = 0, 0.0  # what gets through: after which attempt, and since when
        self._begin_anew(limit)

    def _begin_anew(self, limit: float) -> None:
        self.limit = self._bounded(limit)
        self.rate = math.inf  # a second
        self._safe = math.inf  # the limit that is not known to be too high
        self._fast = True  # the limit grows with every answer
        self._debt = 0  # answers that are to come before more is tried
        self._try_at = -math.inf  # when more may be tried
        self._answered = Counter[int]()  # since the last setback, by the level in flight when they began
        self._setbacks = 0  # in a row, since an attempt got through
        self._set_back_at = -math.inf  # by the first of them
        self._set_back_by = self._shrunk_by = self._begun  # the last attempt that had begun by the first, by the latest
        self._refused = 0  # of those until the first
        self._is_rate = False  # what was to blame

    def ready_at(self, tokens: int, now: float) -> float:
        """When an attempt may begin; `inf` if another one has to end first."""
        if self.in_flight + 1 > self.limit:
            return math.inf
        stated = max(self._requests.ready_at(1, now), self._tokens.ready_at(tokens, now))
        return max(self.paused_until, self._pace.ready_at(1), stated)

    def begin(self, tokens: int, now: float) -> Flight:
        """Count an attempt as begun."""
        self._first_at = min(self._first_at, now)
        if not self.in_flight and now > max(self._ended_at, self.ready_at(tokens, now)) + _IDLE:
            self._counted_from, self._counted_since, self._set_back_at = self._begun, now, -math.inf
        self.in_flight += 1
        self._begun += 1
        self._spent += tokens
        self._pace.take(1, now)
        self._requests.take(1, now)
        self._tokens.take(tokens, now)
        if self.in_flight + 1 > self.limit:
            self._filled_by = self._begun
        return Flight(self._begun, self.in_flight, now, tokens, self._spent)

    def end(self, flight: Flight, status: int | None, headers: Mapping[str, str], now: float, unix_time: float) -> None:
        """Count it as over, and draw the conclusions. A status of None draws none."""
        self.in_flight -= 1
        self._ended_at = now
        if status is None:
            return
        self._requests.hear(flight, "requests", headers, self._begun - flight.serial)
        self._tokens.hear(flight, "tokens", headers, self._spent - flight.spent)
        if status in THROTTLED:
            self._refuse(flight, _pause(headers, unix_time), now)
        elif 200 <= status < 300:
            self._answer(flight, now)
        self._set_pace()

    def resize(self, limit: float | None, minimum: int, maximum: int) -> None:
        """Set the limit and its bounds. With a limit, what was learned of the server's is forgotten."""
        self.minimum, self.maximum = minimum, maximum
        if limit is None:
            self.limit = self._bounded(self.limit)
        else:
            self._begin_anew(limit)
        self._set_pace()

    def _bounded(self, limit: float) -> float:
        return float(min(max(limit, self.minimum), self.maximum))

    # Refused.

    def _refuse(self, flight: Flight, pause: float | None, now: float) -> None:
        self.throttled += 1
        if pause is not None:
            self.paused_until = max(self.paused_until, now + pause)
            self._try_at = max(self._try_at, now + min(pause * _PAUSES, _LONGEST_WAIT))
        if flight.serial > self._shrunk_by:
            self._set_back(flight, pause, now)
        elif self._setbacks == 1:  # several at once: the lowest level tells
            self._refused += 1
            if not self._is_rate:
                self._safe = min(self._safe, max(flight.level - 1.0, 1.0))
                self.limit = self._bounded(min(self.limit, self._safe))
        self._owe(now)

    def _set_back(self, flight: Flight, pause: float | None, now: float) -> None:
        """The first attempt is refused that has begun since the last time."""
        if not self._setbacks:
            self._blame(flight.level)
            self._set_back_at, self._set_back_by, self._refused = now, self._begun, 1
        elif pause is None:
            pause = min(_PAUSE * 2.0 ** min(self._setbacks - 1, 10), _MOST_PAUSE)
            self.paused_until = max(self.paused_until, now + pause)
        self._setbacks += 1
        self._shrunk_by = self._begun
        self.limit = self._bounded(min(self.limit, flight.level) * _SHRINK)

    def _blame(self, level: int) -> None:
        """Tell what kind of limit it is. Of setbacks in a row, the first knows best."""
        answered = sum(count for other, count in self._answered.items() if other >= level)
        self._is_rate = level <= self.minimum or answered >= max(level, 2)
        self._safe = self.limit if self._is_rate else level - 1.0
        self._answered.clear()  # the server may have changed: next time it takes a round of answers anew
        self._fast = False

    def _owe(self, now: float) -> None:
        if now < self._first_at + _MINUTE:
            self._debt = _FIRST_PRICE
            return
        price = _PRICE if self._is_rate else max(_PRICE, math.ceil(_PRICE_IN_ROUNDS * self.limit))
        self._debt = min(self._debt + price, _MOST_DEBT * price)

    # Answered.

    def _answer(self, flight: Flight, now: float) -> None:
        self._answers += 1
        took = max(now - flight.began, _SHORTEST)
        self._mean += (took - self._mean) / min(self._answers, _REMEMBERED)
        self._debt = max(self._debt - 1, 0)
        if flight.serial <= self._shrunk_by:
            return
        if self._setbacks:
            self._recover(flight)
        self._answered[flight.level] += 1
        if self._may_try(now) and self.rate < self._natural_rate():
            self.rate *= _RATE_GROWTH
        if flight.serial <= self._filled_by:
            self.limit = self._bounded(self._grown(now))

    def _recover(self, flight: Flight) -> None:
        """The first attempt has got through that has begun since the last setback."""
        refused_for, counted_for = flight.began - self._set_back_at, flight.began - self._counted_since
        if (self._is_rate or refused_for > _LONG * self._mean) and 0 < refused_for < _OUTAGE:
            before = min(self.rate, max(min(self._safe, self.maximum), 1.0) / self._mean)
            through = (self._set_back_by - self._counted_from - self._refused) / counted_for
            part = 1.0 - refused_for / counted_for  # what got through is less if the rate has just grown
            self.rate = before * min(max(through / before, part, _MOST_FALL), _LEAST_FALL)
        self._counted_from, self._counted_since = flight.serial - 1, flight.began
        self._setbacks = 0

    def _grown(self, now: float) -> float:
        """The limit after an answer to an attempt during which it was used to the full."""
        if self._fast:
            return self.limit + 1.0
        if self.limit < self._safe:
            return min(self.limit + min(_REGROWTH * self.limit, 1.0), self._safe)
        return self.limit + 1.0 / self.limit if self._may_try(now) else self.limit

    def _may_try(self, now: float) -> bool:
        """Whether the refusals so far are paid for."""
        return not self._debt and now >= self._try_at

    # The pace.

    def _natural_rate(self) -> float:
        """How many attempts may begin in a second, were there no other limit than the window."""
        return self.limit * _SPREAD / max(self._mean, _SHORTEST)

    def _set_pace(self) -> None:
        if self._mean:
            natural = self._natural_rate()
            self._pace.period = 1.0 / min(natural, self.rate)
            self._pace.burst = max(1.0, _SPREAD_BURST * self.limit) if natural < self.rate else 1.0


def _pause(headers: Mapping[str, str], unix_time: float) -> float | None:
    """Seconds that a refusal asks to wait, or None."""
    wait = policy.retry_after(headers, unix_time)
    if wait is None:
        wait = reset_of(headers)
    return min(wait, policy.MAX_RETRY_AFTER) if wait is not None and wait > 0 else None
