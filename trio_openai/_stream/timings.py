"""When things happened to a stream, and the deadlines that run meanwhile. Brought up to date once a read."""

from __future__ import annotations

from typing import Any

import attrs
import trio

from trio_openai._deadlines import Clocks
from trio_openai._wire.reader import Reader


@attrs.define
class Timings:
    """When things happened, in seconds from the beginning of the call on trio's clock; None if they have not.

    Attributes:
        headers: the response's head was there.
        first_event: the first event arrived.
        first_content: the first text, reasoning, refusal, tool call or audio arrived.
        last_event: the latest event arrived.
        longest_gap: the longest time between two arrivals of events, as this program saw them.
        retries: attempts that failed and were followed by another; of those, `resumes` came after the stream had begun.
        resumes: how often it was taken up again after it had broken.
    """

    headers: float | None = None
    first_event: float | None = None
    first_content: float | None = None
    last_event: float | None = None
    longest_gap: float | None = None
    retries: int = 0
    resumes: int = 0


class Progress:
    """Keeps the timings of one stream, and tells the clocks of its deadlines what has come.

    Attributes:
        timings: as of the last `note`.
    """

    __slots__ = ("_arrived", "_began", "_clocks", "_events", "timings")

    def __init__(self, clocks: Clocks) -> None:
        self.timings = Timings()
        self._clocks = clocks
        self._began = self._arrived = trio.current_time()
        self._events = 0

    def head_came(self, *, goes_on: bool) -> None:
        """The head of a response is there: of the stream, or (`goes_on`) of one that takes it up again."""
        self._arrived = trio.current_time()
        if goes_on:
            self._clocks.start("idle")
            return
        self._clocks.start("first_event", "first_content", "idle")
        self.timings.headers = self._arrived - self._began

    def something_came(self) -> None:
        """There was a read."""
        self._arrived = trio.current_time()

    def note(self, reader: Reader[Any]) -> None:
        """Take in the events that the last read brought."""
        if reader.events == self._events:
            return
        self._events = reader.events
        timings, clocks, now = self.timings, self._clocks, self._arrived - self._began
        if timings.first_event is None:
            timings.first_event = now
            clocks.stop("first_event")
        if timings.last_event is not None:
            timings.longest_gap = max(timings.longest_gap or 0.0, now - timings.last_event)
        timings.last_event = now
        if timings.first_content is None and reader.protocol.has_content:
            timings.first_content = now
            clocks.stop("first_content")
        clocks.start("idle")
