"""When to retry, and when to give up waiting: the arithmetic, without a clock.

Retries follow openai-python's rules: 408, 409, 429, 5xx and connection errors, unless the server says otherwise in
`x-should-retry`, or asks for a longer wait than two minutes; the wait is the server's `retry-after-ms` or
`retry-after`, else 0.5 s, doubled every time up to 8 s, less up to a quarter at random. Ours beside: a 429 with code
`insufficient_quota` is not retried, since waiting does not fill an account.

Deadlines are budgets of waiting: a clock runs only while somebody waits for the network, so a slow consumer uses none
of it up.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import attrs

from trio_openai.errors import APIError, APIStatusError

Phase = Literal["connect", "headers", "first_event", "first_content", "idle", "total"]

MAX_RETRY_AFTER = 120.0
INITIAL_DELAY = 0.5
MAX_DELAY = 8.0

_OVERLOADED = frozenset(
    {
        "rate_limit_exceeded",
        "rate_limit_error",
        "overloaded",
        "overloaded_error",
        "server_error",
        "server_overloaded",
        "service_unavailable",
        "slow_down",
        "vector_store_timeout",
    }
)  # codes and types with which servers say, inside a 200, what 429 and 503 say


_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait, or None. `now` is Unix time, for a `retry-after` that is a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds / unit
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    try:
        return email.utils.mktime_tz(date) - now if date else None
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    return (
        float(text)
        if text and re.fullmatch(r"\s*[+-]?\d+(\.\d*)?(e[+-]?\d+)?\s*", text, re.ASCII | re.IGNORECASE)
        else None
    )


def should_retry_status(status: int, headers: Mapping[str, str], code: object, now: float) -> bool:
    """Whether an HTTP error status is worth another attempt. `code` is the one in the error's body."""
    wait = retry_after(headers, now)
    if (wait is not None and wait > MAX_RETRY_AFTER) or code == "insufficient_quota":
        return False
    told = headers.get("x-should-retry")
    if told in ("true", "false"):
        return told == "true"
    return status in (408, 409, 429) or status >= 500


def should_retry_reported(error: APIError) -> bool:
    """Whether an error that the server reported inside a 200 means that it is overloaded."""
    if error.code == "insufficient_quota" or error.type == "insufficient_quota":
        return False
    status = error.code if isinstance(error.code, int) else _number(str(error.code))
    return status in (408, 409, 429) or (status or 0) >= 500 or not _OVERLOADED.isdisjoint((error.code, error.type))


def delay(retries_taken: int, headers: Mapping[str, str], random: float, now: float) -> float:
    """Seconds to wait before the next attempt. `random` is in [0, 1)."""
    wait = retry_after(headers, now)
    if wait is not None and 0 < wait <= MAX_RETRY_AFTER:
        return wait
    backoff = min(INITIAL_DELAY * 2.0 ** min(retries_taken, 1000), MAX_DELAY)
    return backoff * (1 - 0.25 * random)


def headers_of(error: APIError) -> Mapping[str, str]:
    """The response headers that an error carries, or none."""
    return error.response.headers if isinstance(error, APIStatusError) else {}


def _check(_: object, attribute: attrs.Attribute[float | None], value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
        raise ValueError(f"Deadlines({attribute.name}=...) takes seconds, zero or more, or None for no limit")


def _seconds() -> Any:
    return attrs.field(default=None, validator=_check)


@attrs.frozen(kw_only=True)
class Deadlines:
    """How long to wait for the server, in seconds of waiting; None is for ever.

    The time in which the program that reads is busy with something else does not count.

    Attributes:
        connect: for one attempt to connect, TLS included, and before that for a free slot of `max_connections`.
        headers: for the status and headers of one attempt, from the beginning of the request. A server that queues
            requests sends nothing before it has a free slot.
        first_event: from the headers to the first event.
        first_content: from the headers to the first piece of content (text, reasoning, refusal, tool call or audio).
        idle: from one event to the next, or from the headers to the first one. Keep-alive comments are no events.
        total: for all of it, retries, the pauses before them and the waiting for a limiter included.
    """

    connect: float | None = _seconds()
    headers: float | None = _seconds()
    first_event: float | None = _seconds()
    first_content: float | None = _seconds()
    idle: float | None = _seconds()
    total: float | None = _seconds()

    @classmethod
    def of(cls, timeout: Any) -> Deadlines:
        """A number bounds each wait: for the connection, for the headers, and from one event to the next."""
        if isinstance(timeout, Deadlines):
            return timeout
        if hasattr(timeout, "connect") and hasattr(timeout, "read"):  # an httpx.Timeout, as openai-python takes it
            return cls(connect=timeout.connect, headers=timeout.read, idle=timeout.read)
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
            raise TypeError(f"timeout takes seconds, a trio_openai.Deadlines or None, not {type(timeout).__name__}")
        return cls(connect=timeout, headers=timeout, idle=timeout)

    def as_httpx(self) -> dict[str, float | None]:
        """Return what an HTTP client is told of them. The time for a slot and for the connection is one budget."""
        return {"connect": self.connect, "pool": self.connect, "read": self.headers, "write": self.headers}

    def for_plain_answers(self) -> Deadlines:
        """The same for an answer that is no stream, whose body is no more than an afterthought of its headers."""
        return attrs.evolve(self, idle=self.headers if self.idle is None else self.idle)


DEFAULT_DEADLINES = Deadlines(connect=5.0, headers=600.0)
"""As openai-python until the headers: 5 s to connect, ten minutes for the rest. How long a generation may take, and be
silent, is the program's to say, by a cancel scope or a deadline of its own; a peer that vanishes is noticed by TCP
keep-alive.
"""


class Clocks:
    """The deadlines of one call, as what is left of each: started by name, and run down by `spend`."""

    def __init__(self, limits: Deadlines) -> None:
        given: dict[Phase, float | None] = {phase: getattr(limits, phase) for phase in get_args(Phase)}
        self._limits = {phase: limit for phase, limit in given.items() if limit is not None}
        self._left: dict[Phase, float] = {}
        self.start("total")

    def start(self, *phases: Phase) -> None:
        """Start clocks, or wind them up again."""
        for phase in phases:
            if phase in self._limits:
                self._left[phase] = self._limits[phase]

    def stop(self, *phases: Phase) -> None:
        """Stop clocks for good, or until they are started."""
        for phase in phases:
            self._left.pop(phase, None)

    @property
    def are_running(self) -> bool:
        """Whether any is."""
        return bool(self._left)

    def next(self) -> tuple[Phase, float] | None:
        """The clock that will run out first, and the seconds left on it; None if none runs."""
        return min(self._left.items(), key=lambda item: item[1]) if self._left else None

    def spend(self, seconds: float) -> None:
        """Take a wait off every clock that runs."""
        for phase in self._left:
            self._left[phase] -= seconds
