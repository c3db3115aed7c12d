"""A limit that nobody states, found out by trying: the window of attempts in flight.

How many are in flight is the one quantity that is known exactly, and it bounds a rate too: that is the window divided
by how long an attempt takes. The rule is TCP's, with what its successors learned:

* As long as the server has never refused, the window grows by one with every answer; afterwards by one a round, which
  is as many answers as the window is wide. It grows only while it is used to the full.
* A 429 or 503 shrinks it by a factor, once for each congestion event: attempts that had begun before it shrank tell
  nothing new. If the first one after that is refused too, everything pauses, each time for longer.
* The level at which it was refused is remembered (as in CUBIC). The window is soon back to just below, and stays there.
  The level itself is tried again when a hundred answers have paid for each refusal, so they stay at one in a hundred
  however small the hidden limit is. If it holds for a round, it is forgotten.
* If attempts at that level have been answered all through the last minute, or if the server asks for a pause that is
  long against an answer, the limit is not one of attempts at a time but of their rate. Then the rate at which they got
  through in the last minute is remembered instead (as in BBR), and grows slowly when the refusals are paid for.
* A server's own word goes first: nothing begins before the end of a `retry-after`, nor beyond what `x-ratelimit-*`
  allow.
* Once the server has refused, attempts begin at no more than twice the rate at which they end. What begins at one
  moment would end at one moment, for ever, and run into a limit of the rate all at once.

What was learned is forgotten after ten minutes without a refusal, and after more than a minute with nothing else: that
was an outage. The figures were chosen by simulation, against hidden
limits of concurrency (1 to 200), of a bucket and of fixed minutes, with answers of even and of widely spread length.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import attrs

from . import policy
from .limits import Allowance, Bucket, Flight, reset_of

THROTTLED = (429, 503)

_SHRINK = 0.7
_RECOVERY = 4  # rounds until the window is back below the level at which it was refused

_PRICE = 100  # answers that pay for one refusal
_FIRST_PRICE = 20  # for all refusals of the first minute, in which the level is not known yet
_MOST_DEBT = 10 * _PRICE
_PRICE_IN_ROUNDS = 30  # for a refusal at a level that was known: a large window takes more answers to come back

_PAUSE = 0.5  # seconds, doubled at every refusal in a row
_MOST_PAUSE = 16.0
_PAUSES = 20  # a refusal may cost another pause like the last, so there are so many such times in between ...
_LONGEST_WAIT = 120.0  # ... but no more than so many seconds
_LONG_PAUSE = 3  # times the length of an attempt

_MINUTE = 60.0
_LEAST_SPAN = 10.0  # seconds: a rate is not told from less
_LEAST_RATE = 0.1  # attempts a second: after an outage there may have been none
_RATE_GROWTH = 1.003
_RATE_BURST = 2.0
_PACE = 2.0
_PACE_BURST = 1 / 6  # of the window
_SMOOTHED = 0.1  # the weight of the latest attempt in the average length
_SHORTEST = 0.001  # seconds, for that average
_IDLE = 1.0  # seconds without an attempt, though one could have begun
_FADES = 600.0


@attrs.define
class _Second:
    begun: int = 0  # attempts that were not refused
    top: int = 0  # the highest level at which one was answered
    at_top: int = 0  # how many were


class Tally:
    """What got through in the last minute, by the second in which it began."""

    def __init__(self) -> None:
        self._seconds: dict[int, _Second] = {}
        self._order: deque[int] = deque()

    def begun(self, now: float) -> None:
        """An attempt begins."""
        second = math.floor(now)
        if second not in self._seconds:
            self._seconds[second] = _Second()
            self._order.append(second)
            while self._order[0] < second - _MINUTE:
                del self._seconds[self._order.popleft()]
        self._seconds[second].begun += 1

    def refused(self, flight: Flight) -> None:
        """It did not get through."""
        if found := self._seconds.get(math.floor(flight.began)):
            found.begun -= 1

    def answered(self, flight: Flight) -> None:
        """It did."""
        if found := self._seconds.get(math.floor(flight.began)):
            if flight.level > found.top:
                found.top, found.at_top = flight.level, 0
            found.at_top += flight.level == found.top

    def since(self, time: float) -> int:
        """How many got through, or may, of those that have begun since then."""
        return sum(entry.begun for second, entry in self._seconds.items() if second >= time)

    def forget_levels(self) -> None:
        """Forget which levels were answered."""
        for entry in self._seconds.values():
            entry.top = entry.at_top = 0

    def has_held(self, level: int, now: float) -> bool:
        """Whether as many have been answered at that level in the last minute as it is high: a whole round."""
        answered = (e.at_top for second, e in self._seconds.items() if second > now - _MINUTE and e.top >= level)
        return sum(answered) >= max(level, 2)


class Window:
    """How many attempts may be in flight; see above.

    Args:
        limit: at first.
        minimum: 1 or more.
        maximum: what it never grows beyond.
    """

    def __init__(self, limit: float, minimum: int, maximum: int) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.limit = self._bounded(limit)
        self.in_flight = 0
        self.throttled = 0
        self.paused_until = -math.inf
        self._requests, self._tokens = Allowance(), Allowance()
        self._begun = 0
        self._filled_by = 0  # the number of the last attempt that took the last place
        self._spent = 0.0
        self._tally = Tally()
        self._mean = 0.0  # seconds that an attempt takes, when there has been an answer
        self._pace = Bucket(0.0, 1.0)
        self._busy_since = self._ended_at = -math.inf
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._started_at = math.inf
        self._fast = True  # it grows with every answer
        self._refused_at = math.inf  # lately; what was learned then fades
        self._shrunk_after = self._begun  # the number of the last attempt that began before the window shrank
        self._in_a_row = 0  # times that it has shrunk since an attempt got through
        self._row_began = -math.inf
        self._rate_told = False  # whether the rate has been learned from this row
        self._safe = 0.0  # how far it soon grows back
        self._recovery = 1.0  # by how much it then grows a round
        self._known_level = 0
        self._forget()

    def _forget(self) -> None:
        self.ceiling: int | None = None  # the level at which it was refused
        self.rate = math.inf  # attempts a second
        self._held = 0  # answers at the ceiling or above
        self._debt = 0  # answers that are to come before the ceiling is tried again, or the rate grows
        self._retry_at = -math.inf  # when the ceiling may be tried again

    def ready_at(self, tokens: int, now: float) -> float:
        """When an attempt may begin; `inf` if another one has to end first."""
        if self.in_flight + 1 > self.limit:
            return math.inf
        stated = max(self._requests.ready_at(1, now), self._tokens.ready_at(tokens, now))
        return max(self.paused_until, self._pace.ready_at(1), stated)

    def begin(self, tokens: int, now: float) -> Flight:
        """Count an attempt as begun."""
        self._started_at = min(self._started_at, now)
        if not self.in_flight and now > max(self._ended_at, self.ready_at(tokens, now)) + _IDLE:
            self._busy_since = now
        if now > self._refused_at + _FADES:
            self._refused_at = math.inf
            self._forget()
        self.in_flight += 1
        self._begun += 1
        self._spent += tokens
        self._tally.begun(now)
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
        if self.throttled and self._mean:
            self._set_pace()

    def resize(self, limit: float | None, minimum: int, maximum: int) -> None:
        """Set the limit and its bounds. With a limit, what was learned of the server's is forgotten."""
        self.minimum, self.maximum = minimum, maximum
        if limit is not None:
            self._begin_anew()
            self._set_pace()
        self.limit = self._bounded(self.limit if limit is None else limit)

    def _bounded(self, limit: float) -> float:
        return float(min(max(limit, self.minimum), self.maximum))

    # Refused.

    def _refuse(self, flight: Flight, pause: float | None, now: float) -> None:
        self.throttled += 1
        self._refused_at = now
        self._tally.refused(flight)
        self._owe(_PRICE, now)
        if pause is not None:
            self.paused_until = max(self.paused_until, now + pause)
            self._retry_at = max(self._retry_at, now + min(pause * _PAUSES, _LONGEST_WAIT))
        if flight.serial > self._shrunk_after:
            self._conclude(flight, pause, now)
            self._shrink(flight)
        elif self._in_a_row == 1 and self.ceiling is not None:  # several at once: the lowest level tells
            self._set_ceiling(min(self.ceiling, flight.level))

    def _conclude(self, flight: Flight, pause: float | None, now: float) -> None:
        """What kind of limit it is, and where. Of refusals in a row only the first tells the level."""
        is_rate = False
        if self._in_a_row == 0:
            self._row_began = now
            is_rate = flight.level <= self.minimum or self._tally.has_held(flight.level, now)
            if flight.level <= self.minimum and self._mean:  # the window cannot shrink, so the rate has to
                self.rate = max(min(self.rate, self.minimum / self._mean) * _SHRINK, _LEAST_RATE)
            if is_rate:
                self.ceiling, self._safe = None, min(self.limit, flight.level)
                self._tally.forget_levels()  # the server may have changed: next time it takes a round of answers anew
            else:
                self._set_ceiling(flight.level)
                if flight.level == self._known_level:
                    self._owe(_PRICE_IN_ROUNDS * flight.level - _PRICE, now)
                self._known_level = flight.level
        elif pause is None:
            pause = min(_PAUSE * 2.0 ** min(self._in_a_row - 1, 10), _MOST_PAUSE)
            self.paused_until = max(self.paused_until, now + pause)
        if is_rate or (self._mean and (pause or 0.0) > _LONG_PAUSE * self._mean):
            self._learn_rate(now)

    def _set_ceiling(self, level: int) -> None:
        self.ceiling, self._held = level, 0
        self._safe = max(level - 1.0, 1.0)

    def _learn_rate(self, now: float) -> None:
        since = max(self._busy_since, self._started_at, now - _MINUTE)
        if self._rate_told or now - since < _LEAST_SPAN:
            return
        self._rate_told = True
        self.rate = min(max(self._tally.since(since) / (now - since), _LEAST_RATE), self.rate)

    def _shrink(self, flight: Flight) -> None:
        self._fast = False
        self._in_a_row += 1
        self._shrunk_after = self._begun
        self.limit = self._bounded(min(self.limit, flight.level) * _SHRINK)
        self._recovery = max(1.0, (self._safe - self.limit) / _RECOVERY)

    def _owe(self, answers: int, now: float) -> None:
        if now < self._started_at + _MINUTE:
            self._debt = _FIRST_PRICE
        elif answers > 0:
            self._debt = min(self._debt + answers, max(_MOST_DEBT, 2 * answers))

    # Answered.

    def _answer(self, flight: Flight, now: float) -> None:
        took = max(now - flight.began, _SHORTEST)
        self._mean += (took - self._mean) * (_SMOOTHED if self._mean else 1.0)
        self._debt = max(self._debt - 1, 0)
        if not self._debt and self.rate < self._natural_rate():
            self.rate *= _RATE_GROWTH
        if flight.serial <= self._shrunk_after:
            return
        if self._in_a_row and now > self._row_began + _MINUTE:  # that was an outage, and no limit of ours
            self._forget()
            self._busy_since = now
        self._in_a_row, self._rate_told = 0, False
        self._tally.answered(flight)
        if flight.serial <= self._filled_by:
            self.limit = self._bounded(self._grown(flight, now))

    def _grown(self, flight: Flight, now: float) -> float:
        """The window after an answer to an attempt during which it was full."""
        if self._fast:
            return self.limit + 1.0
        if self.limit < self._safe:
            return min(self.limit + self._recovery / self.limit, self._safe)
        if self.ceiling is None:
            return self.limit + 1.0 / self.limit
        if flight.level >= self.ceiling:
            self._held += 1
            if self._held >= self.ceiling:
                self.ceiling, self._fast = None, True
        elif not self._debt and now >= self._retry_at:
            return max(self.limit, float(self.ceiling))
        return self.limit

    def _natural_rate(self) -> float:
        """The rate at which attempts may begin, were there no other limit than the window."""
        return self.limit * _PACE / max(self._mean, _SHORTEST)

    def _set_pace(self) -> None:
        natural = self._natural_rate()
        is_natural = natural < self.rate
        self._pace.period = 1.0 / min(natural, self.rate)
        self._pace.burst = max(1.0, self.limit * _PACE_BURST) if is_natural else _RATE_BURST


def _pause(headers: Mapping[str, str], unix_time: float) -> float | None:
    """Seconds that a refusal asks to wait, or None."""
    wait = policy.retry_after(headers, unix_time)
    if wait is None:
        wait = reset_of(headers)
    return min(wait, policy.MAX_RETRY_AFTER) if wait is not None and wait > 0 else None
