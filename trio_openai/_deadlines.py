"""Deadlines: how long a call may wait for each phase of its answer. The arithmetic only: nothing here reads a clock.

Each deadline is a budget of waiting time. Its clock runs only while a task waits for the network. A program that takes
its time between two events uses nothing up, and so does not make a healthy server look dead.

`Deadlines` are the limits. `Clocks` are what is left of them during one call. `_request/exchange.py` starts and stops
the clocks, measures the waits, and raises the error.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import attrs


class NotGiven:
    """The type of `NOT_GIVEN`, the default of an argument for which None has a meaning."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()

Phase = Literal["connect", "headers", "first_event", "first_content", "idle", "total"]
_PHASES: tuple[Phase, ...] = get_args(Phase)


def _check(_: object, attribute: attrs.Attribute[float | None], value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0):
        raise ValueError(f"Deadlines({attribute.name}=...) takes seconds, zero or more, or None for no limit")


def _seconds() -> Any:
    return attrs.field(default=None, validator=_check)


@attrs.frozen(kw_only=True)
class Deadlines:
    """The time to wait for the server in each phase of a call, in seconds. None means no limit.

    Only the time counts in which a task waits for the server, not the time that the program needs between two events.

    Attributes:
        connect: Until an attempt has a connection, including TLS and the wait for a free slot of `max_connections`.
        headers: From the start of an attempt to the status and headers. A server that queues requests sends them only
            when it begins to work on the request.
        first_event: From the headers to the first event.
        first_content: From the headers to the first content (text, reasoning, refusal, tool call or audio).
        idle: From one event to the next, or from the headers to the first event. Keep-alive comments are not events.
        total: For the whole call, including retries, the waits before them, and the wait for a limiter.

    Raises:
        ValueError: A value is not zero, a positive number, or None.
    """

    connect: float | None = _seconds()
    headers: float | None = _seconds()
    first_event: float | None = _seconds()
    first_content: float | None = _seconds()
    idle: float | None = _seconds()
    total: float | None = _seconds()

    @classmethod
    def of(cls, timeout: Any) -> Deadlines:
        """Return the deadlines for the `timeout` option of a client or call.

        A number limits each wait: for the connection, for the headers, and from one event to the next. Of an
        `httpx.Timeout`, `connect` and `read` are used, as by openai-python.

        Raises:
            TypeError: It is none of these.
        """
        if isinstance(timeout, Deadlines):
            return timeout
        if hasattr(timeout, "connect") and hasattr(timeout, "read"):  # an httpx.Timeout, or httpx2's
            return cls(connect=timeout.connect, headers=timeout.read, idle=timeout.read)
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float)):
            raise TypeError(f"timeout takes seconds, a trio_openai.Deadlines or None, not {type(timeout).__name__}")
        return cls(connect=timeout, headers=timeout, idle=timeout)

    def as_httpx(self) -> dict[str, float | None]:
        """Return the timeouts for an HTTP client. `pool` is its wait for a slot."""
        return {"connect": self.connect, "pool": self.connect, "read": self.headers, "write": self.headers}

    def for_plain_answers(self) -> Deadlines:
        """Return the deadlines for an answer that is not a stream.

        Servers send its headers when it is complete, so the body gets no more time than the headers unless `idle` says
        so.
        """
        return attrs.evolve(self, idle=self.headers if self.idle is None else self.idle)


DEFAULT_DEADLINES = Deadlines(connect=5.0, headers=600.0)
"""openai-python's defaults up to the headers: 5 s to connect and ten minutes for the rest.

There is no limit for the stream itself. Only the program knows how long a generation may take or stay silent, and can
use a cancel scope or a deadline. TCP keep-alive detects a server that has vanished.
"""


class Clocks:
    """The seconds that are left of each deadline of one call. A phase counts once it was started.

    Attributes:
        has_limits: whether any phase has a limit.
    """

    __slots__ = ("_left", "_limits", "has_limits")

    def __init__(self, limits: Deadlines) -> None:
        self._left: dict[Phase, float] = {}
        self.change(limits)
        self.start("total")

    def change(self, limits: Deadlines) -> None:
        """Use other limits for the clocks that are started from now on."""
        given: dict[Phase, float | None] = {phase: getattr(limits, phase) for phase in _PHASES}
        self._limits = {phase: limit for phase, limit in given.items() if limit is not None}
        self.has_limits: bool = bool(self._limits)

    def start(self, *phases: Phase) -> None:
        """Start clocks, each with its full time. Phases without a limit are ignored."""
        for phase in phases:
            if phase in self._limits:
                self._left[phase] = self._limits[phase]

    def stop(self, *phases: Phase) -> None:
        """Stop clocks until they are started again."""
        for phase in phases:
            self._left.pop(phase, None)

    @property
    def are_running(self) -> bool:
        """True if at least one clock is running."""
        return bool(self._left)

    def next(self) -> tuple[Phase, float] | None:
        """Return the clock that will run out first and its seconds, or None if no clock is running."""
        return min(self._left.items(), key=lambda item: item[1]) if self._left else None

    def spend(self, seconds: float) -> None:
        """Subtract the length of a wait from every running clock."""
        for phase in self._left:
            self._left[phase] -= seconds
