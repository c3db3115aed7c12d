"""Discover a limit that nobody states, by trying: how many attempts may be in flight, and at what rate they may begin.

A server may hide a limit on concurrent attempts or on attempts per minute. `Window` controls one quantity for each:

* `limit`: how many attempts may be in flight. Until the first refusal it grows by one with every answer. Later it grows
  by one in the first round, two in the next, then four, and so on (a round is as many answers as the limit is high). It
  grows only while it is fully used.
* `rate`: how many attempts may begin per second. It is infinite until the server turns out to limit the rate.

A 429 or 503 is a *setback*. The limit shrinks by a factor, once for all attempts that had begun by then, and soon
returns to what is safe. What is safe depends on the cause of the setback:

* The rate was too high, if that level (the number of attempts in flight) had been answered as often as the level is
  high: the level itself works. The same is true of a server that keeps refusing for much longer than an attempt takes.
  The rate that it allows is the number of attempts that got through since the previous setback, divided by that time.
* Otherwise the level was one too high.

Trying more costs a refusal now and then. So after each refusal, the limit and the rate stay where they are safe until a
hundred answers have *paid* for it (`_debt`). So no more than one attempt in a hundred is refused, however small the
hidden limit is.

The server's own statements have priority. Nothing begins before a `retry-after` has passed, nor beyond what the
`x-ratelimit-*` headers allow. If a server refuses repeatedly without asking for a pause, the window makes its own
pauses, each longer than the one before.

Not every refusal is a setback of this kind:

* Some servers refuse one request in a hundred whatever the load. `randomness.py` recognises this by doubling the load
  for a moment (a leap), and the window then no longer slows down for single refusals.
* During an outage everything is refused, also a lone attempt after a pause. Afterwards, what was known before the
  outage still holds. Only if outages take up more than a fifth of the time, a rate limit is the better explanation.
* A server may want requests evenly spaced. `spacing.py` finds the smallest gap that it has accepted.

What is safe grows slowly at first, then faster and faster until the next setback, so a wrong conclusion is soon undone.
TCP CUBIC probes in this way. PCC and BBR tell random loss from congestion by similar means, and AWS's SDKs and
Netflix's gradient limits adapt to the rate or the latency.

The constants were chosen by simulation (`tests/limits/test_window.py`, `tests/limits/test_window_faults.py`). Two
things this rule cannot do. It cannot tell a rate limit from a limit on concurrency if the rate amounts to one or two
concurrent attempts and their durations vary widely. And it cannot foresee the end of a fixed one-minute window that the
server does not mention.
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

# How the limit and the rate shrink and grow.
_SHRINK = 0.7  # the limit is multiplied by this at a setback
_REGROWTH = 0.2  # growth of the limit per answer, as a share, up to one, until it is back where it is safe
_LEAST_FALL = 0.97  # a rate that was refused is multiplied by this or less ...
_MOST_FALL = 0.1  # ... but not by less than this, since few attempts may have got through because few were made
_RATE_GROWTH = 0.005  # growth of the rate per answer; it doubles ...
_CALM = 60  # ... after every 60 answers without a refusal ...
_MOST_RATE_GROWTH = 0.05  # ... up to this much per answer ...
_RATE_GROWTH_A_SECOND = 0.1  # ... and this much per second
_LEAST_AFTER_GROWTH = 0.75  # keep at least this share of a rate that was refused while it grew
_LEAST_AT_ONCE = 0.5  # keep at least this share of a rate that was refused again before it grew

# How many answers pay for a refusal, before more is tried.
_PRICE = 100  # answers per refusal
_PRICE_IN_ROUNDS = 5  # rounds, where the level was to blame: a high limit takes more answers to come back
_UNSURE_PRICE = 5  # answers for the very first setback, which says little
_FIRST_PRICE = 20  # answers for each refusal in the first minute, while nothing is known yet
_MOST_DEBT = 10  # times the price
_MOST_DEBT_KNOWN = 3  # times the price, if the setback was expected

# Pauses after refusals.
_PAUSE = 0.5  # seconds, doubled at every further setback in a row
_MOST_PAUSE = 4.0  # seconds; not longer, because an outage may end at any time
_PAUSES = 20  # after a stated pause, wait 20 times as long before more is tried, since that may cost another pause ...
_LONGEST_WAIT = 120.0  # ... but no longer than this many seconds

# What refusals that last a while mean.
_LONG = 3  # refusals that last 3 times as long as an attempt come from a rate limit
_MINUTE = 60.0
_OUTAGE = 75.0  # seconds; longer than any per-minute limit can last
_OUTAGES = 0.2  # outages for more than this share of the time are a rate limit
_LONG_REFUSAL = 5.0  # seconds

# How attempts are spread over time.
_SPREAD = 1.5  # attempts begin at most 1.5 times as fast as they end; otherwise they would come in waves
_SPREAD_BURST = 0.15  # this share of the limit may begin at once
_REMEMBERED = 20  # attempts over which their duration is averaged
_SHORTEST = 0.001  # seconds; a shorter duration counts as this
_IDLE = 1.0  # seconds in which an attempt could have begun but none did; such times say nothing about the server


_Known: TypeAlias = tuple[float, float, int, float]
"""What is known about the server: the limit, the safe limit, the debt, and the rate."""


class Window:
    """The rule of an `AdaptiveLimiter`: how many attempts may be in flight, and when the next may begin.

    Args:
        limit: the limit at first.
        minimum: the lowest limit, at least 1.
        maximum: the highest limit.
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
        self._mean = 0.0  # the average duration of an attempt in seconds, or 0 before the first answer
        self._answers = 0
        self._first_at = math.inf
        self._ended_at = -math.inf
        self._filled_by = 0  # the serial number of the latest attempt that reached the limit
        self._counted_from, self._counted_since = 0, 0.0  # throughput is counted after this attempt and this time
        self._begin_anew(limit)

    def _begin_anew(self, limit: float) -> None:
        """Forget everything that was learned about the server."""
        self.limit = self._bounded(limit)
        self.rate: float = math.inf  # attempts per second
        self._safe = math.inf  # the highest limit that has not been refused
        self._fast = True  # True until the first setback: the limit grows with every answer
        self._debt = 0  # answers to wait for before more is tried
        self._try_at = -math.inf  # the time from which more may be tried
        self._answered = Counter[int]()  # answers since the last setback, by the level at which their attempts began
        # Setbacks in a row, without an attempt getting through in between:
        self._setbacks = 0  # how many
        self._set_back_at = -math.inf  # when the first came
        self._set_back_by = self._shrunk_by = self._begun  # the last attempt begun by the first, and by the latest
        self._refused = 0  # refused attempts among those begun by the first
        self._first_refused = self._last_refused = 0  # serial numbers
        self._between: list[int] = []  # attempts that began in between and were answered
        self._hinted = False  # True if the server said how long to wait
        self._before: _Known = (self.limit, math.inf, 0, math.inf)  # what was known before the first
        # The cause of the latest setback:
        self._is_rate = False  # True if the rate was to blame, False if the level was
        self._randomness, self._spacing = Randomness(), Spacing()
        self._blamed = 0  # how many setbacks have had their cause determined
        self._agrees = False  # True if the setback came where the previous one predicted it
        self._since = self._judged_after = 0  # answers since the latest setback, and between it and the one before
        self._beyond = 0  # answers since then above the safe limit
        self._calm = 0  # answers since more is being tried
        self._random_refusals = 0
        self._had_outage = False
        self._refused_rate = self._held_rate = math.inf  # the rate that was last refused, and the rate set after that
        self._leapt_from = 0  # the last attempt before a leap
        self._landing: _Known = (self.limit, math.inf, 0, math.inf)  # what to return to if the leap fails

    def ready_at(self, tokens: int, now: float) -> float:
        """Return the time at which an attempt may begin, or infinity if another one must end first."""
        if self.in_flight + 1 > self.limit:
            return math.inf
        stated = max(self._requests.ready_at(1, now), self._tokens.ready_at(tokens, now))
        return max(self.paused_until, self._pace.ready_at(1), stated)

    def load(self, now: float) -> float:  # noqa: ARG002 - `Rates.load` needs it
        """Return which part of the limit is in use, from 0 to 1."""
        return min(self.in_flight / self.limit, 1.0)

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
        """Count an attempt as ended, and learn from it. A status of None teaches nothing."""
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
        """Set the limit and its bounds. A new limit also forgets everything learned about the server."""
        self.minimum, self.maximum = minimum, maximum
        if limit is None:
            self.limit = self._bounded(self.limit)
        else:
            self._begin_anew(limit)
        self._set_pace()

    def _bounded(self, limit: float) -> float:
        return float(min(max(limit, self.minimum), self.maximum))

    # Refusals.

    def _refuse(self, flight: Flight, pause: float | None, now: float) -> None:
        """Handle a refusal."""
        self.throttled += 1
        self._spacing.refused(flight, is_latest=flight.serial == self._begun)
        if pause is not None:
            self.paused_until = max(self.paused_until, now + pause)
        if flight.serial > self._shrunk_by:
            if self._is_random(now):
                return
            self._set_back(flight, pause, now)
        elif self._setbacks == 1:  # several attempts were refused together: the lowest of their levels is too high
            self._refused += 1
            if not self._is_rate:
                self._safe = min(self._safe, max(flight.level - 1.0, 1.0))
                self.limit = self._bounded(min(self.limit, self._safe))
        elif not self._setbacks:
            return  # the attempt had begun before a setback that is over
        if pause is not None:
            self._hinted = True
            self._try_at = max(self._try_at, now + min(pause * _PAUSES, _LONGEST_WAIT))
        self._last_refused = max(self._last_refused, flight.serial)
        self._owe(now)

    def _is_random(self, now: float) -> bool:
        """Return whether a refusal is not a setback, because it is random or belongs to a leap."""
        random = self._randomness
        if random.is_leaping:
            if random.leap_refused(self._begun - self._leapt_from):
                self._land(now)
            return True
        if self._setbacks or not random.explains():
            return False
        if random.looks_again():  # a leap that keeps the load as it is
            self._leapt_from, self._landing = self._begun, (_SHRINK * self.limit, self.limit, 0, self.rate)
        self._random_refusals += 1
        return True

    def _set_back(self, flight: Flight, pause: float | None, now: float) -> None:
        """Handle the first refusal of an attempt that began after the previous setback."""
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
        # If the spacing of requests explains the refusal, the level is not to blame and stays.
        if not (self._spacing.is_likely and self.rate < math.inf and self._setbacks <= 2):
            self.limit = self._bounded(min(self.limit, flight.level) * _SHRINK)

    def _blame(self, flight: Flight, now: float) -> None:
        """Determine the kind of limit behind a refusal. Of several setbacks in a row, only the first is used."""
        level = flight.level
        answered = sum(count for other, count in self._answered.items() if other >= level)
        self._spacing.judge(flight, self._answered.total())
        # Attempts that began together may arrive in any order: only one that nothing has followed was really alone.
        is_alone = level <= self.minimum and flight.serial == self._begun
        self._is_rate = self._spacing.is_likely or is_alone or answered >= max(level, 2)
        self._agrees = self._spacing.is_likely or self._was_expected(level, now)
        self._judged_after = self._since
        self._blamed += 1
        self._refused_rate = self.rate
        self._safe = self.limit if self._is_rate else max(level - 1.0, 1.0)
        self._answered.clear()  # the server may have changed, so the next judgement needs new answers
        self._fast = False
        self._since = self._beyond = self._calm = 0

    def _was_expected(self, level: int, now: float) -> bool:
        """Return whether a setback came where the previous one predicted it: as soon as a little more was tried."""
        if not self._is_rate:
            return self._safe < level <= self._safe + max(2.0, 0.1 * self._safe) and self._beyond < 5
        return self._may_try(now) and 0.8 * self._refused_rate < self.rate < 1.25 * self._refused_rate < math.inf

    def _owe(self, now: float) -> None:
        """Increase the number of answers to wait for before more is tried."""
        if self._blamed == 1 and not self._randomness.is_likely:
            self._debt = _UNSURE_PRICE
        elif self._randomness.is_likely or now < self._first_at + _MINUTE:
            self._debt = _FIRST_PRICE
        else:
            price = _PRICE if self._is_rate else max(_PRICE, math.ceil(_PRICE_IN_ROUNDS * self.limit))
            self._debt = min(self._debt + price, (_MOST_DEBT_KNOWN if self._agrees else _MOST_DEBT) * price)

    # Answers.

    def _answer(self, flight: Flight, now: float) -> None:
        """Handle an answer with a 2xx status."""
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
        """Count an answer to an attempt that began after the latest setback."""
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
        """Return the growth of the rate for one answer, as a share."""
        growth: float = _RATE_GROWTH * 2.0 ** min(self._calm / _CALM, 20.0)
        return max(_RATE_GROWTH, min(growth, _MOST_RATE_GROWTH, _RATE_GROWTH_A_SECOND / self.rate))

    def _recover(self, flight: Flight) -> None:
        """Handle the first answer to an attempt that began after the setbacks: they are over."""
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
        """Return whether everything was refused for a while, including a lone attempt after a pause."""
        if self._setbacks == 1 or self._hinted or any(serial < self._last_refused for serial in self._between):
            return False
        is_limit = self._had_outage and counted_for < _OUTAGE and refused_for > _OUTAGES * counted_for
        self._had_outage = True
        return not is_limit

    def _slow_down(self, refused_for: float, counted_for: float) -> None:
        """Set the rate that the server allows, from what got through since the previous setback."""
        if self._spacing.is_likely:
            if self.rate == math.inf or self._setbacks > 2:
                self.rate = self._spacing.slowed(self.rate)
            # The level is not to blame, so allow what this rate needs (Little's law: level = rate * duration).
            self._safe = max(self._safe, 1.5 * self.rate * self._mean)
            return
        before = min(self.rate, max(min(self._safe, self.maximum), 1.0) / self._mean)
        through = (self._set_back_by - self._counted_from - self._refused - self._random_refusals) / counted_for
        if self.rate == math.inf or refused_for > max(_LONG * self._mean, _LONG_REFUSAL):
            least = 1.0 - refused_for / counted_for  # the share of the time in which the server accepted attempts
        elif self.rate > self._held_rate:
            least = max(self._held_rate / before, _LEAST_AFTER_GROWTH)
        else:  # one attempt was refused after `_judged_after` answers
            least = max(self._judged_after / (self._judged_after + 1.0), _LEAST_AT_ONCE)
        self.rate = before * min(max(through / before, least, _MOST_FALL), _LEAST_FALL)

    # A leap: double the load for a number of attempts, to see whether more of them are refused.

    def _leap(self) -> None:
        """Begin a leap."""
        self._randomness.leap()
        self._leapt_from, self._landing = self._begun, (self.limit, self._safe, self._debt, self.rate)
        self.limit, self._safe, self.rate = self._bounded(2.0 * self.limit), math.inf, 2.0 * self.rate

    def _land(self, now: float) -> None:
        """End a failed leap, and return to what was known before it."""
        limit, self._safe, self._debt, self.rate = self._landing
        self.limit, self._fast, self._shrunk_by = self._bounded(limit), False, self._begun
        self.paused_until = max(self.paused_until, now + min(self._mean, _PAUSE))

    def _grown(self, now: float) -> float:
        """Return the limit after an answer to an attempt during which the limit was fully used."""
        if self._fast:
            return self.limit + 1.0
        if self.limit < self._safe:
            return min(self.limit + min(_REGROWTH * self.limit, 1.0), self._safe)
        if not self._may_try(now):
            return self.limit
        a_round: float = 2.0 ** min(self._calm / self.limit, 20.0)
        return self.limit + min(a_round / self.limit, 1.0)

    def _may_try(self, now: float) -> bool:
        """Return whether the refusals so far have been paid for."""
        return not self._debt and now >= self._try_at

    # The pace at which attempts begin.

    def _natural_rate(self) -> float:
        """Return how many attempts may begin per second if the limit is the only restriction."""
        return self.limit * _SPREAD / max(self._mean, _SHORTEST)

    def _set_pace(self) -> None:
        """Set the bucket that spreads attempts over time."""
        if self._mean:
            natural = self._natural_rate()
            period, is_slow = 1.0 / min(natural, self.rate), self.rate < natural
            if is_slow:
                self._pace.stretch(period)
            self._pace.period = period
            bursts = not is_slow and natural < self.rate and not self._spacing.is_likely
            self._pace.burst = max(1.0, _SPREAD_BURST * self.limit) if bursts else 1.0


def _pause(headers: Mapping[str, str], unix_time: float) -> float | None:
    """Return the seconds that a refusal asks to wait, or None."""
    wait = retries.retry_after(headers, unix_time)
    if wait is None:
        wait = reset_of(headers)
    return min(wait, retries.MAX_RETRY_AFTER) if wait is not None and wait > 0 else None
