"""Decide whether a server of several may be asked: the arithmetic only, without a clock.

A `Health` learns from every attempt at its server. It has three states:

* up: the server may be asked.
* down: the server was unreachable, or several attempts in a row failed. Nobody asks it until a wait is over. The wait
  doubles each time, up to half a minute.
* probing: the wait is over, and one attempt is on its way. It is an ordinary request of the program, so there is no
  background task. Its outcome decides: the server is up again, or down for longer.

Attempts that began before the server was found to be down say nothing new, so their failures are not counted. Otherwise
a hundred connections that break together would count as a hundred failures in a row.
"""

from __future__ import annotations

import enum
import math

from trio_openai._wire.retries import headers_of, retry_after, should_retry_reported
from trio_openai.errors import APIConnectionError, APIError, APIStatusError, APITimeoutError, StreamTruncatedError

_FIRST_WAIT = 0.5  # seconds
_LONGEST_WAIT = 30.0
_LONGEST_STATED = 3600.0  # a longer `retry-after` is not believed
_IN_A_ROW = 3  # failures that could have been caused by the requests, before the server is to blame


class Blame(enum.Enum):
    """The reason why another server should be asked."""

    UNREACHABLE = "unreachable"  # no request can succeed there now
    FAILED = "failed"  # the server failed, perhaps because of this request
    BUSY = "busy"  # the server has too much to do
    ELSEWHERE = "elsewhere"  # the server works, but another one may have what is asked for


def blame_for(error: APIError) -> Blame | None:
    """Return why another server should be asked after this error; None if it would answer the same."""
    if isinstance(error, APITimeoutError):
        return _blame_for_silence(error)
    if isinstance(error, StreamTruncatedError):
        return Blame.FAILED
    if isinstance(error, APIConnectionError):
        return Blame.UNREACHABLE
    if "insufficient_quota" in (error.code, error.type):
        return Blame.UNREACHABLE
    if isinstance(error, APIStatusError):
        return _blame_for_status(error.status_code)
    return Blame.BUSY if should_retry_reported(error) else None


def _blame_for_silence(error: APITimeoutError) -> Blame | None:
    if error.phase == "total":  # the time of the whole call is over
        return None
    if error.phase == "connect":
        return Blame.ELSEWHERE if error.is_final else Blame.UNREACHABLE  # final: the client has no free connection
    return Blame.FAILED


def _blame_for_status(status: int) -> Blame | None:
    if status in (401, 403):
        return Blame.UNREACHABLE
    if status in (404, 408, 409):
        return Blame.ELSEWHERE
    if status in (429, 503):
        return Blame.BUSY
    return Blame.FAILED if status >= 500 else None


def stated_wait(error: APIError, unix_time: float) -> float:
    """Return the seconds after which the server wants to be asked again; zero if it does not say."""
    wait = retry_after(headers_of(error), unix_time)
    return min(max(wait, 0.0), _LONGEST_STATED) if wait is not None and not math.isnan(wait) else 0.0


class Health:
    """Knowledge from the attempts at one server.

    Attributes:
        state: `up`, `down` or `probing`.
        in_a_row: the failures since the last success.
    """

    def __init__(self) -> None:
        self.state: str = "up"
        self.in_a_row: int = 0
        self._times_down = 0  # since the server last worked
        self._down_since = -math.inf
        self._free_at = -math.inf  # the time before which nobody asks, whether it is up or down

    def ready_at(self, now: float) -> float:
        """Return the time at which an attempt may begin; infinity while another attempt probes the server."""
        return math.inf if self.state == "probing" else max(self._free_at, -math.inf if self.state == "up" else now)

    def retry_at(self) -> float:
        """Return the time before which nobody asks the server."""
        return self._free_at

    def begin(self) -> bool:
        """Count an attempt as begun. Return whether it probes a server that is down."""
        if self.state == "up":
            return False
        self.state = "probing"
        return True

    def give_up(self, *, probes: bool) -> None:
        """Count an attempt that was cancelled. Another one may probe the server at once."""
        if probes and self.state == "probing":
            self.state = "down"

    def answered(self, *, probes: bool) -> None:
        """Take note that the server has begun to answer an attempt."""
        if probes:
            self.state = "up"

    def succeeded(self, *, began: float) -> None:
        """Count an attempt that the server has answered completely."""
        if self.state == "up" and began >= self._down_since:
            self.in_a_row = self._times_down = 0

    def failed(self, blame: Blame, wait: float, *, began: float, probes: bool, now: float, random: float) -> bool:
        """Count an attempt that failed.

        Args:
            blame: why it failed.
            wait: the seconds that the server asks to wait.
            began: the time at which the attempt began.
            probes: what `begin` returned for it.
            now: the current time.
            random: a number in [0, 1).

        Returns:
            Whether the server is down because of this.
        """
        self._free_at = max(self._free_at, now + wait)
        if blame is Blame.ELSEWHERE:  # which shows that the server works
            self.answered(probes=probes)
            return False
        if began < self._down_since or (self.state != "up" and not probes):
            return False
        self.in_a_row += 1
        if blame is not Blame.UNREACHABLE and self.in_a_row < _IN_A_ROW and not probes:
            return False
        backoff = min(_FIRST_WAIT * 2.0 ** min(self._times_down, 100), _LONGEST_WAIT) * (1 - 0.25 * random)
        self._free_at = max(self._free_at, now + backoff)
        self._down_since = now
        self._times_down += 1
        self.state = "down"
        return True
