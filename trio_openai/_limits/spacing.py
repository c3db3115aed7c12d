"""Find the least gap between two requests that a server accepts, where it wants them spaced.

Such a server refuses a request that comes too soon after the one before, however few there are. It is a token bucket
that holds one token. Neither the number in flight nor the rate over a second explains its refusals; the gap does: what
was answered had begun at least so long after the attempt before, and what was refused had begun sooner.

A refusal above that gap speaks against it. After two of them nothing more is concluded from gaps.
"""

from __future__ import annotations

import math

from .rate import Flight

_SHORTER = 0.99  # of the least gap: a refusal below it fits
_LONGER = 1.05  # a refusal above it does not
_MOST_FAILURES = 2
_FEWEST = 3  # answers, before which gaps tell nothing
_MARGIN = 0.97  # of the rate that the gap allows
_FALL = 0.9  # what is left of the rate at once, at least
_CREEP = 0.95  # what is left of it if it was below what the gap allows
_REMEMBERED = 1500  # refused attempts


class Spacing:
    """The gaps between attempts.

    Attributes:
        is_likely: True if the server seems to want its requests spaced.
    """

    def __init__(self) -> None:
        self.is_likely = False
        self._least = math.inf  # seconds, of the attempts that were answered
        self._failures = 0
        self._last_began = -math.inf  # an attempt that is not known to have been refused
        self._refused: dict[int, None] = {}  # numbers of attempts; the oldest first

    def begin(self, now: float) -> float:
        """Return the seconds since the attempt before."""
        gap, self._last_began = now - self._last_began, now
        return gap

    def answered(self, flight: Flight) -> None:
        """Take in the gap of an attempt that was answered. After a refused one the real gap is not known."""
        if flight.serial - 1 not in self._refused:
            self._least = min(self._least, flight.gap)

    def refused(self, flight: Flight, *, is_latest: bool) -> None:
        """Leave a refused attempt out: the next one's gap counts from the attempt before it."""
        self._refused[flight.serial] = None
        if len(self._refused) > _REMEMBERED:
            del self._refused[next(iter(self._refused))]
        if is_latest:
            self._last_began = flight.began - flight.gap

    def judge(self, flight: Flight, answers: int) -> None:
        """Decide from a refusal that was a setback, after so many answers since the one before."""
        if flight.gap < _SHORTER * self._least < math.inf and answers > _FEWEST:
            self.is_likely = True
        elif self.is_likely and flight.gap > _LONGER * self._least:
            self.is_likely = False
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                self._least = 0.0

    def slowed(self, rate: float) -> float:
        """Return the rate after a refusal: just below what the least gap allows."""
        allowed = _MARGIN / self._least
        if rate <= allowed:
            return _CREEP * rate
        return max(allowed, _FALL * rate) if rate < math.inf else allowed
