"""Decide whether refusals come from a limit or at random.

Some servers refuse one request in a hundred whatever the load: a bad replica, a deployment, a flaky gateway. To slow
down for such a refusal gains nothing, and a client that does so every time ends up with almost no throughput.

A limit refuses as soon as a little more is tried than before. A refusal that comes elsewhere is a surprise. After two
surprises the window makes a leap: it takes twice its load for some attempts. A limit refuses many of them, and the leap
is over after four refusals. If hardly any is refused, refusals come at random. A leap that fails doubles the number of
answers until the next one, so leaps cost little.

While refusals are thought to be random, two sums over the outcomes watch for a limit (E. S. Page, "Continuous
Inspection Schemes", Biometrika 41, 1954):

* `cluster` grows when several attempts in a row are refused. Then the next attempts are looked at as in a leap, under
  the same load.
* `excess` counts the refusals beyond the usual share and one per cent, and notices a limit that is exceeded a little.
"""

from __future__ import annotations

import math

_SURPRISES = 2
_ISOLATED = 2  # answers between two refusals; else they belong together
_LEAP = 50  # answers in which a leap succeeds
_FEWEST_REFUSED = 4  # in which it fails ...
_MOST_REFUSED = 0.2  # ... if they are more than this share of the attempts
_PRICE = 100  # answers from one leap to the next
_MOST_PRICE = 6400
_TRUSTED = 5000  # answers after which a success was one
_BY_A_LIMIT = 0.5  # the share that a limit refuses once it is exceeded
_ENOUGH = 5.0  # as a logarithm: 150 to 1
_TOLERATED = 0.01  # refusals beyond the usual share
_MOST_EXCESS = 4.0  # refusals
_LEAST_SHARE, _MOST_SHARE = 0.005, 0.1
_MEMORY = 400  # attempts over which the share is averaged


class Randomness:
    """The evidence for and against refusals at random.

    Attributes:
        is_likely: True if refusals come at random.
        is_leaping: True while a leap is under way.
    """

    def __init__(self) -> None:
        self.is_likely = self.is_leaping = False
        self._surprises = 0
        self._price = self._since = _PRICE  # answers that a leap takes, and those since the last one
        self._tried = self._lost = 0.0
        self._cluster = self._excess = 0.0

    @property
    def share(self) -> float:
        """The share of attempts that is refused whatever the load."""
        return min(max(self._lost / max(self._tried, 1.0), _LEAST_SHARE), _MOST_SHARE)

    def is_suspected(self, answers: int, *, agrees: bool) -> bool:
        """Record a setback; return True if it is time for a leap.

        Args:
            answers: since the setback before.
            agrees: whether it came where a limit was known to be.
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
        """Record a refusal in a leap in which so many have begun; return True if it has failed."""
        self._lost += 1.0
        if self._lost < _FEWEST_REFUSED or self._lost <= _MOST_REFUSED * begun:
            return False
        self.is_leaping = False
        self._price = min(self._price * 2, _MOST_PRICE)
        return True

    def leap_answered(self) -> bool:
        """Record an answer in a leap; return True if it has succeeded."""
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
        """Record a refusal; return True if it is one of those at random. A leap may begin with it."""
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
        """Return whether the latest refusal has begun a leap."""
        return self.is_leaping

    def _average(self, lost: float) -> None:
        keep = 1.0 - 1.0 / _MEMORY if self._tried >= _MEMORY else 1.0
        self._tried, self._lost = self._tried * keep + 1.0, self._lost * keep + lost
