"""A window, workers that ask again and again, and a server that hides its limit: simulated in virtual time."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from hidden_limits import HiddenLimit

from trio_openai._limits.adaptive import Window
from trio_openai._limits.rate import Flight
from trio_openai._wire import retries

_UNIX = 1_700_000_000.0


class Simulation:
    """A simulation of workers, a window and a hidden limit, driven by a heap of timed events."""

    def __init__(self, hidden: HiddenLimit, length: Callable[[random.Random], float], workers: int, seed: int) -> None:
        self.window = Window(10, 1, 1000)
        self.answers: list[tuple[float, bool]] = []
        self._hidden, self._length, self._random = hidden, length, random.Random(seed)
        self._line: deque[int] = deque([0] * workers)  # the attempts so far of each waiting request
        self._events: list[Any] = []
        self._number = itertools.count()
        self._alarm = math.inf

    def run(self, seconds: float) -> None:
        self._begin(0.0)
        while self._events[0][0] < seconds:
            now, _, function, *args = heapq.heappop(self._events)
            function(now, *args)

    def score(self, since: float, until: float, seconds: float) -> tuple[float, float]:
        """Return the share of the limit's throughput that was used, and the share of the requests that was refused."""
        admitted, count = self._counted(since, until)
        allowed = sum(self._hidden.throughput(float(at), seconds) for at in range(int(since), int(until)))
        return admitted / allowed, 1.0 - admitted / count

    def throughput(self, since: float, until: float) -> float:
        """Return the answers a second."""
        return self._counted(since, until)[0] / (until - since)

    def _counted(self, since: float, until: float) -> tuple[int, int]:
        seen = [ok for at, ok in self.answers if since <= at < until]
        return sum(seen), len(seen)

    def _at(self, when: float, function: Callable[..., None], *args: Any) -> None:
        heapq.heappush(self._events, (when, next(self._number), function, *args))

    def _begin(self, now: float) -> None:
        """Begin every request that may begin, and set an alarm for the next one."""
        while self._line:
            ready = self.window.ready_at(0, now)
            if ready > now:
                if ready < math.inf and ready != self._alarm:
                    self._alarm = ready
                    self._at(ready, self._begin)
                return
            self._at(now + 0.01, self._arrive, self._line.popleft(), self.window.begin(0, now))

    def _arrive(self, now: float, attempts: int, flight: Flight) -> None:
        admitted, headers = self._hidden.admits(now)
        self.answers.append((now, admitted))
        if admitted:
            self._at(now + self._length(self._random), self._leave, attempts, flight, headers)
        else:
            self._at(now + 0.05, self._end, attempts, flight, 429, headers)

    def _leave(self, now: float, attempts: int, flight: Flight, headers: dict[str, str]) -> None:
        self._hidden.left()
        self._at(now + 0.01, self._end, attempts, flight, 200, headers)

    def _end(self, now: float, attempts: int, flight: Flight, status: int, headers: dict[str, str]) -> None:
        self.window.end(flight, status, headers, now, _UNIX)
        if status == 200 or attempts == 2:
            self._line.append(0)
        else:
            self._at(now + retries.delay(attempts, headers, self._random.random(), _UNIX), self._again, attempts + 1)
        self._begin(now)

    def _again(self, now: float, attempts: int) -> None:
        self._line.append(attempts)
        self._begin(now)


LENGTHS: dict[str, Callable[[random.Random], float]] = {
    "even": lambda _: 2.0,
    "short": lambda _: 0.1,
    "spread": lambda r: r.uniform(1.0, 3.0),
    "wild": lambda r: r.expovariate(0.5),
}
SECONDS = {"even": 2.01, "short": 0.11, "spread": 2.01, "wild": 2.01}  # average seconds of a request, with the network
