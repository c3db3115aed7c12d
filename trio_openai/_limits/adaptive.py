"""A limit that nobody states, found out by trying: the window of attempts in flight, and the rate at which they begin.

A server may hide a limit of attempts at a time, or of attempts a minute. Two quantities keep to the two of them:

* `limit`, how many may be in flight. It grows by one with every answer until the first refusal. Later it grows by one a
  round, and twice as fast in the next round (a round is as many answers as the limit is high). It only grows while it
  is used to the full.
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

Not every refusal is such a setback:

* Some servers refuse one request in a hundred whatever the load. `randomness.py` finds that out by a leap to twice the
  load, and then no longer slows down for single refusals.
* In an outage everything is refused, also a lone attempt after a pause. When it is over, what was known before still
  holds. Only if outages take more than a fifth of the time, a limit of the rate is the better explanation.
* A server may want its requests spaced evenly. `spacing.py` finds the least gap that it has accepted.

What is safe grows slowly at first, then faster and faster until the next setback, so a wrong conclusion is soon undone.
This is how TCP CUBIC probes, and how PCC and BBR tell random loss from congestion. AWS's SDKs and Netflix's gradient
limits measure the rate, or the latency, in a like manner.

The figures were chosen by simulation (`tests/limits/test_window.py`, `tests/limits/test_window_faults.py`). What the
rule cannot do: tell a limit of the rate from one of attempts at a time where the rate comes to one or two of them and
their lengths vary widely; and foresee the end of a fixed minute of which the server says nothing at all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from trio_openai._wire import retries

from .randomness import Randomness
from .rate import Allowance, Bucket, Flight, reset_of
from .spacing import Spacing

THROTTLED = (429, 503)

_SHRINK = 0.7
_REGROWTH = 0.2  # of the limit with every answer, but no more than one, until it is back where it is safe
_LEAST_FALL = 0.97  # what is left of the rate
_MOST_FALL = 0.1  # so little may get through because there was little to do
_RATE_GROWTH = 0.005  # with every answer; it doubles ...
_CALM = 60  # ... every so many answers, as long as nothing is refused ...
_MOST_RATE_GROWTH = 0.05  # ... up to so much an answer ...
_RATE_GROWTH_A_SECOND = 0.1  # ... and so much a second
_LEAST_AFTER_GROWTH = 0.75  # what is left of a rate that was refused while it grew
_LEAST_AT_ONCE = 0.5  # what is left of a rate that was refused again before it grew

_PRICE = 100  # answers that pay for one refusal
_PRICE_IN_ROUNDS = 5  # where a level was refused: a high limit takes more answers to come back
_UNSURE_PRICE = 5  # for the very first setback: it tells little
_FIRST_PRICE = 20  # for all refusals of the first minute, in which nothing is known yet
_MOST_DEBT = 10  # prices
_MOST_DEBT_KNOWN = 3  # where the setback was expected

_PAUSE = 0.5  # seconds, doubled at every setback in a row
_MOST_PAUSE = 4.0  # an outage may end at any time
_PAUSES = 20  # a refusal may cost another pause like the last, so there are so many such times in between ...
_LONGEST_WAIT = 120.0  # ... but no more than so many seconds

_LONG = 3  # times the length of an attempt: a refusal that lasts as long is one of the rate
_MINUTE = 60.0
_OUTAGE = 75.0  # seconds: longer than any minute, so no limit
_OUTAGES = 0.2  # of the time; more is a limit
_LONG_REFUSAL = 5.0  # seconds

_SPREAD = 1.5  # attempts begin at no more than so many times the rate at which they end: else they come in waves
_SPREAD_BURST = 0.15  # of the limit
_REMEMBERED = 20  # attempts, in their average length
_SHORTEST = 0.001  # seconds, for that average
_IDLE = 1.0  # seconds without an attempt, though one could have begun: they tell nothing of the server


_Known: TypeAlias = tuple[float, float, int, float]
"""The limit, what of it is safe, the debt, and the rate."""


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
        self.rate: float = math.inf  # a second
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
        self._randomness, self._spacing = Randomness(), Spacing()
        self._verdicts = 0  # about what was to blame
        self._agrees = False  # the latest with the one before
        self._since = self._judged_after = 0  # answers since the latest verdict; as many as there were before it
        self._beyond = 0  # of them, those beyond what was known to be safe
        self._calm = 0  # answers since more is tried
        self._random_refusals = 0
        self._hinted = False  # the server has said how long to wait
        self._had_outage = False
        self._first_refused = self._last_refused = 0  # of the setbacks in a row
        self._between: list[int] = []  # attempts that began meanwhile and were answered
        self._before: _Known = (self.limit, math.inf, 0, math.inf)  # the setback
        self._refused_rate = self._held_rate = math.inf  # when it was last refused, and after that
        self._leapt_from = 0  # the number of the last attempt before a leap
        self._landing: _Known = (self.limit, math.inf, 0, math.inf)  # what holds if it fails

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
        return Flight(self._begun, self.in_flight, now, tokens, self._spent, self._spacing.begin(now))

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
        self._spacing.refused(flight, is_latest=flight.serial == self._begun)
        if pause is not None:
            self.paused_until = max(self.paused_until, now + pause)
        if flight.serial > self._shrunk_by:
            if self._is_random(now):
                return
            self._set_back(flight, pause, now)
        elif self._setbacks == 1:  # several at once: the lowest level tells
            self._refused += 1
            if not self._is_rate:
                self._safe = min(self._safe, max(flight.level - 1.0, 1.0))
                self.limit = self._bounded(min(self.limit, self._safe))
        elif not self._setbacks:
            return  # it had begun before a setback that is over
        if pause is not None:
            self._hinted = True
            self._try_at = max(self._try_at, now + min(pause * _PAUSES, _LONGEST_WAIT))
        self._last_refused = max(self._last_refused, flight.serial)
        self._owe(now)

    def _is_random(self, now: float) -> bool:
        """Return whether a refusal is no setback, because it comes at random or because a leap is under way."""
        random = self._randomness
        if random.is_leaping:
            if random.leap_refused(self._begun - self._leapt_from):
                self._land(now)
            return True
        if self._setbacks or not random.explains():
            return False
        if random.looks_again():  # under the same load
            self._leapt_from, self._landing = self._begun, (_SHRINK * self.limit, self.limit, 0, self.rate)
        self._random_refusals += 1
        return True

    def _set_back(self, flight: Flight, pause: float | None, now: float) -> None:
        """The first attempt is refused that has begun since the last time."""
        if not self._setbacks:
            self._before = (self.limit, self._safe, self._debt, self.rate)
            self._between, self._hinted, self._first_refused = [], pause is not None, flight.serial
            self._blame(flight, now)
            self._set_back_at, self._set_back_by, self._refused = now, self._begun, 1
            if self._spacing.is_likely and self.rate < math.inf:
                self.rate = self._spacing.slowed(self.rate)
        elif pause is None:
            pause = min(_PAUSE * 2.0 ** min(self._setbacks - 1, 10), _MOST_PAUSE)
            self.paused_until = max(self.paused_until, now + pause)
        self._setbacks += 1
        self._shrunk_by = self._begun
        if not (self._spacing.is_likely and self.rate < math.inf and self._setbacks <= 2):  # else the level is fine
            self.limit = self._bounded(min(self.limit, flight.level) * _SHRINK)

    def _blame(self, flight: Flight, now: float) -> None:
        """Tell what kind of limit it is. Of setbacks in a row, the first knows best."""
        level = flight.level
        answered = sum(count for other, count in self._answered.items() if other >= level)
        self._spacing.judge(flight, self._answered.total())
        self._is_rate = self._spacing.is_likely or level <= self.minimum or answered >= max(level, 2)
        self._agrees = self._spacing.is_likely or self._was_expected(level, now)
        self._judged_after = self._since
        self._verdicts += 1
        self._refused_rate = self.rate
        self._safe = self.limit if self._is_rate else level - 1.0
        self._answered.clear()  # the server may have changed: next time it takes a round of answers anew
        self._fast = False
        self._since = self._beyond = self._calm = 0

    def _was_expected(self, level: int, now: float) -> bool:
        """Return whether a setback came where the one before had it expected: as soon as a little more was tried."""
        if not self._is_rate:
            return self._safe < level <= self._safe + max(2.0, 0.1 * self._safe) and self._beyond < 5
        return self._may_try(now) and 0.8 * self._refused_rate < self.rate < 1.25 * self._refused_rate < math.inf

    def _owe(self, now: float) -> None:
        if self._verdicts == 1 and not self._randomness.is_likely:
            self._debt = _UNSURE_PRICE
        elif self._randomness.is_likely or now < self._first_at + _MINUTE:
            self._debt = _FIRST_PRICE
        else:
            price = _PRICE if self._is_rate else max(_PRICE, math.ceil(_PRICE_IN_ROUNDS * self.limit))
            self._debt = min(self._debt + price, (_MOST_DEBT_KNOWN if self._agrees else _MOST_DEBT) * price)

    # Answered.

    def _answer(self, flight: Flight, now: float) -> None:
        self._answers += 1
        took = max(now - flight.began, _SHORTEST)
        self._mean += (took - self._mean) / min(self._answers, _REMEMBERED)
        self._debt = max(self._debt - 1, 0)
        if flight.serial <= self._shrunk_by:
            if self._setbacks and flight.serial > self._first_refused:
                self._between.append(flight.serial)
            return
        if self._setbacks:
            self._recover(flight)
        self._learn(flight)
        if self._may_try(now):
            self._calm += 1
            if self.rate < self._natural_rate():
                self.rate *= 1.0 + self._rate_growth()
        if flight.serial <= self._filled_by:
            self.limit = self._bounded(self._grown(now))

    def _learn(self, flight: Flight) -> None:
        random = self._randomness
        if not random.is_leaping:
            random.answered()
        elif flight.serial > self._leapt_from and random.leap_answered():
            self._fast, self._debt, self.rate = True, 0, math.inf
        self._since += 1
        self._answered[flight.level] += 1
        self._spacing.answered(flight)
        self._beyond += flight.level > self._safe + 1

    def _rate_growth(self) -> float:
        growth: float = _RATE_GROWTH * 2.0 ** min(self._calm / _CALM, 20.0)
        return max(_RATE_GROWTH, min(growth, _MOST_RATE_GROWTH, _RATE_GROWTH_A_SECOND / self.rate))

    def _recover(self, flight: Flight) -> None:
        """The first attempt has got through that has begun since the last setback."""
        refused_for, counted_for = flight.began - self._set_back_at, flight.began - self._counted_since
        is_outage = self._is_outage(refused_for, counted_for)
        if is_outage:
            self.limit, self._safe, self._debt, self.rate = self._before
            self._safe = min(self._safe, self.limit)
            self.limit = self._bounded(0.5 * self.limit)
        elif (self._is_rate or refused_for > _LONG * self._mean) and 0 < refused_for < _OUTAGE:
            self._slow_down(refused_for, counted_for)
        self._counted_from, self._counted_since, self._random_refusals = flight.serial - 1, flight.began, 0
        self._setbacks = 0
        self._held_rate = self.rate
        if not (is_outage or self._hinted) and self._randomness.is_suspected(self._judged_after, agrees=self._agrees):
            self._leap()

    def _is_outage(self, refused_for: float, counted_for: float) -> bool:
        """Return whether everything was refused for a while, a lone attempt after a pause too."""
        if self._setbacks == 1 or self._hinted or any(serial < self._last_refused for serial in self._between):
            return False
        is_limit = self._had_outage and counted_for < _OUTAGE and refused_for > _OUTAGES * counted_for
        self._had_outage = True
        return not is_limit

    def _slow_down(self, refused_for: float, counted_for: float) -> None:
        """Find the rate that the server allows, from what got through since the setback before."""
        if self._spacing.is_likely:
            if self.rate == math.inf or self._setbacks > 2:
                self.rate = self._spacing.slowed(self.rate)
            self._safe = max(self._safe, 1.5 * self.rate * self._mean)  # the level is not to blame
            return
        before = min(self.rate, max(min(self._safe, self.maximum), 1.0) / self._mean)
        through = (self._set_back_by - self._counted_from - self._refused - self._random_refusals) / counted_for
        if self.rate == math.inf or refused_for > max(_LONG * self._mean, _LONG_REFUSAL):
            least = 1.0 - refused_for / counted_for  # what got through is less if the rate has just grown
        elif self.rate > self._held_rate:
            least = max(self._held_rate / before, _LEAST_AFTER_GROWTH)
        else:  # one was refused after so many answers
            least = max(self._judged_after / (self._judged_after + 1.0), _LEAST_AT_ONCE)
        self.rate = before * min(max(through / before, least, _MOST_FALL), _LEAST_FALL)

    # A leap: twice the load for some attempts, to see whether more of them are refused.

    def _leap(self) -> None:
        self._randomness.leap()
        self._leapt_from, self._landing = self._begun, (self.limit, self._safe, self._debt, self.rate)
        self.limit, self._safe, self.rate = self._bounded(2.0 * self.limit), math.inf, 2.0 * self.rate

    def _land(self, now: float) -> None:
        limit, self._safe, self._debt, self.rate = self._landing
        self.limit, self._fast, self._shrunk_by = self._bounded(limit), False, self._begun
        self.paused_until = max(self.paused_until, now + min(self._mean, _PAUSE))

    def _grown(self, now: float) -> float:
        """Return the limit after an answer to an attempt during which it was used to the full."""
        if self._fast:
            return self.limit + 1.0
        if self.limit < self._safe:
            return min(self.limit + min(_REGROWTH * self.limit, 1.0), self._safe)
        if not self._may_try(now):
            return self.limit
        a_round: float = 2.0 ** min(self._calm / self.limit, 20.0)
        return self.limit + min(a_round / self.limit, 1.0)

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
            period, is_slow = 1.0 / min(natural, self.rate), self.rate < natural
            if is_slow:
                self._pace.stretch(period)
            self._pace.period = period
            bursts = not is_slow and natural < self.rate and not self._spacing.is_likely
            self._pace.burst = max(1.0, _SPREAD_BURST * self.limit) if bursts else 1.0


def _pause(headers: Mapping[str, str], unix_time: float) -> float | None:
    """Seconds that a refusal asks to wait, or None."""
    wait = retries.retry_after(headers, unix_time)
    if wait is None:
        wait = reset_of(headers)
    return min(wait, retries.MAX_RETRY_AFTER) if wait is not None and wait > 0 else None
