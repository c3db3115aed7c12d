"""Decide whether refusals come from a limit or at random.

Some servers refuse one request in a hundred whatever the load, because of a bad replica, a deployment or a flaky
gateway. Slowing down for such a refusal gains nothing, and a client that slows down every time ends up with almost no
throughput.

A limit refuses as soon as a little more is tried than before. A refusal anywhere else is a *surprise*. After two
surprises the window makes a *leap*: it doubles its load for a number of attempts. A limit refuses many of them, and the
leap ends after four refusals. If hardly any are refused, refusals come at random. A failed leap doubles the number of
answers before the next one, so that leaps stay cheap.

While refusals are believed to be random, two sums watch for a limit (CUSUM: E. S. Page, "Continuous Inspection
Schemes", Biometrika 41, 1954):

* `cluster` grows when several attempts in a row are refused. Then the next attempts are observed as in a leap, but
  under the same load.
* `excess` counts the refusals beyond the usual share plus one per cent. It notices a limit that is slightly exceeded.
"""

from __future__ import annotations

import math

_SURPRISES = 2  # surprises before a leap
_ISOLATED = 2  # answers between two setbacks; with fewer, they count as one surprise
_LEAP = 50  # answers that make a leap successful
_FEWEST_REFUSED = 4  # refusals that make a leap fail ...
_MOST_REFUSED = 0.2  # ... if they are more than this share of its attempts
_PRICE = 100  # answers between two leaps, at first
_MOST_PRICE = 6400  # answers between two leaps, at most
_TRUSTED = 5000  # answers after which the result of a leap counts as confirmed
_BY_A_LIMIT = 0.5  # the share of attempts that an exceeded limit is assumed to refuse
_ENOUGH = 5.0  # evidence for a cluster, as a natural logarithm: odds of about 150 to 1
_TOLERATED = 0.01  # refusals beyond the usual share that are tolerated
_MOST_EXCESS = 4.0  # refusals in `excess` that prove a limit
_LEAST_SHARE, _MOST_SHARE = 0.005, 0.1  # bounds for the estimated share of random refusals
_MEMORY = 400  # attempts over which that share is averaged


class Randomness:
    """The evidence for and against random refusals.

    Attributes:
        is_likely: True if refusals seem to come at random.
        is_leaping: True while a leap is in progress.
    """

    def __init__(self) -> None:
        self.is_likely = self.is_leaping = False
        self._surprises = 0
        self._price = self._since = _PRICE  # answers required before a leap, and answers since the last one
        self._tried = self._lost = 0.0  # attempts and refusals, of which the share is estimated
        self._cluster = self._excess = 0.0

    @property
    def share(self) -> float:
        """The estimated share of attempts that is refused whatever the load."""
        return min(max(self._lost / max(self._tried, 1.0), _LEAST_SHARE), _MOST_SHARE)

    def is_suspected(self, answers: int, *, agrees: bool) -> bool:
        """Record a setback. Return True if it is time for a leap.

        Args:
            answers: how many attempts were answered since the previous setback.
            agrees: True if the setback came where a limit was known to be.
        """
        if agrees:
            self._surprises = 0
            return False
        self._surprises += answers >= _ISOLATED
        return not self.is_likely and self._surprises >= _SURPRISES and self._since >= self._price

    def leap(self) -> None:
        """Begin a leap."""
        self.is_leaping, self.is_likely = True, False
        self._surprises = self._since = 0
        self._tried = self._lost = 0.0

    def leap_refused(self, begun: int) -> bool:
        """Record a refusal during a leap in which `begun` attempts have begun. Return True if the leap has failed."""
        self._lost += 1.0
        if self._lost < _FEWEST_REFUSED or self._lost <= _MOST_REFUSED * begun:
            return False
        self.is_leaping = False
        self._price = min(self._price * 2, _MOST_PRICE)
        return True

    def leap_answered(self) -> bool:
        """Record an answer during a leap. Return True if the leap has succeeded."""
        self._tried += 1.0
        if self._tried < _LEAP:
            return False
        self._tried += self._lost
        self.is_leaping, self.is_likely = False, True
        self._cluster = self._excess = 0.0
        return True

    def answered(self) -> None:
        """Record an answer."""
        self._since += 1
        if self.is_likely:
            self._average(0.0)
            self._cluster = max(self._cluster + math.log((1.0 - _BY_A_LIMIT) / (1.0 - self.share)), 0.0)
            self._excess = max(self._excess - self.share - _TOLERATED, 0.0)

    def explains(self) -> bool:
        """Record a refusal. Return True if it is a random one. It may start a new leap."""
        if not self.is_likely:
            return False
        self._cluster += math.log(_BY_A_LIMIT / self.share)
        self._excess += 1.0 - self.share - _TOLERATED
        self._average(1.0)
        if self._excess > _MOST_EXCESS:
            self._price = min(self._price * 2, _MOST_PRICE) if self._since < _TRUSTED else _PRICE
            self.is_likely, self._surprises = False, 1
            return False
        if self._cluster > _ENOUGH:
            since = self._since
            self.leap()
            self._since = since
        return True

    def looks_again(self) -> bool:
        """Return whether the latest refusal has started a leap."""
        return self.is_leaping

    def _average(self, lost: float) -> None:
        """Add an attempt to the estimated share; older attempts fade out."""
        keep = 1.0 - 1.0 / _MEMORY if self._tried >= _MEMORY else 1.0
        self._tried, self._lost = self._tried * keep + 1.0, self._lost * keep + lost
