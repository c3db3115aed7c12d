"""Find the smallest gap between two requests that a server accepts, for servers that want requests evenly spaced.

Such a server refuses a request that comes too soon after the previous one, however few requests there are. (Internally
it is a token bucket that holds one token.) Neither the number in flight nor the rate over a second explains these
refusals, but the gap does: every answered attempt began at least so long after the previous one, and every refused
attempt began sooner.

A refusal above that gap contradicts the theory. After two such refusals, nothing is concluded from gaps any more.
"""

from __future__ import annotations

import math

from .rate import Flight

_SHORTER = 0.99  # a refusal below this share of the smallest accepted gap supports the theory ...
_LONGER = 1.05  # ... and a refusal above this share contradicts it
_MOST_FAILURES = 2  # contradictions, before the theory is given up
_FEWEST = 3  # answers, before gaps mean anything
_MARGIN = 0.97  # use this share of the rate that the smallest gap allows
_FALL = 0.9  # keep at least this share of the rate after one refusal
_CREEP = 0.95  # keep this share of a rate that is already below what the gap allows
_REMEMBERED = 1500  # refused attempts to remember


class Spacing:
    """The gaps between attempts.

    Attributes:
        is_likely: True if the server seems to want its requests spaced.
    """

    def __init__(self) -> None:
        self.is_likely = False
        self._least = math.inf  # the smallest gap of an answered attempt, in seconds
        self._failures = 0
        self._last_began = -math.inf  # when the latest attempt began that is not known to have been refused
        self._refused: dict[int, None] = {}  # serial numbers of refused attempts, oldest first

    def begin(self, now: float) -> float:
        """Record the start of an attempt, and return the seconds since the previous one."""
        gap, self._last_began = now - self._last_began, now
        return gap

    def answered(self, flight: Flight) -> None:
        """Record the gap of an answered attempt, unless the previous attempt was refused, which hides the real gap."""
        if flight.serial - 1 not in self._refused:
            self._least = min(self._least, flight.gap)

    def refused(self, flight: Flight, *, is_latest: bool) -> None:
        """Record a refused attempt. It does not count for the next gap, which starts at the attempt before it."""
        self._refused[flight.serial] = None
        if len(self._refused) > _REMEMBERED:
            del self._refused[next(iter(self._refused))]
        if is_latest:
            self._last_began = flight.began - flight.gap

    def judge(self, flight: Flight, answers: int) -> None:
        """Decide whether the gap explains a refusal.

        Args:
            flight: the refused attempt.
            answers: how many attempts were answered since the previous setback.
        """
        if flight.gap < _SHORTER * self._least < math.inf and answers > _FEWEST:
            self.is_likely = True
        elif self.is_likely and flight.gap > _LONGER * self._least:
            self.is_likely = False
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                self._least = 0.0

    def slowed(self, rate: float) -> float:
        """Return the rate to use after a refusal: just below what the smallest gap allows."""
        allowed = _MARGIN / self._least
        if rate <= allowed:
            return _CREEP * rate
        return max(allowed, _FALL * rate) if rate < math.inf else allowed
