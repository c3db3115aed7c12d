"""Deadlines: how long a call may wait for what, without a clock.

Each deadline is a budget of waiting: its clock runs only while somebody waits for the network, so a program that reads
slowly uses none of it up.
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
