"""Record when things happened to a stream, and run its deadlines. Both are brought up to date once a read."""

from __future__ import annotations

from typing import Any

import attrs
import trio

from trio_openai._deadlines import Clocks
from trio_openai._wire.decoder import Decoder


@attrs.define
class Timings:
    """The times at which things happened, in seconds since the call began, on trio's clock. None if they have not yet.

    Attributes:
        headers: the head of the response arrived.
        first_event: the first event arrived.
        first_content: the first text, reasoning, refusal, tool call or audio arrived.
        last_event: the latest event arrived.
        longest_gap: the longest time between two arrivals of events, as this program saw them.
        retries: the number of attempts that failed and were followed by another.
        resumes: the number of these that resumed a stream after its first event.
    """

    headers: float | None = None
    first_event: float | None = None
    first_content: float | None = None
    last_event: float | None = None
    longest_gap: float | None = None
    retries: int = 0
    resumes: int = 0


class Stopwatch:
    """Record the timings of one stream, and tell the clocks of its deadlines what arrived.

    Attributes:
        timings: as of the last `note`.
    """

    __slots__ = ("_arrived", "_began", "_clocks", "_events", "timings")

    def __init__(self, clocks: Clocks) -> None:
        self.timings = Timings()
        self._clocks = clocks
        self._began = self._arrived = 0.0
        self._events = 0

    def start(self) -> None:
        """Note that the call begins."""
        self._began = self._arrived = trio.current_time()

    def head_came(self, *, goes_on: bool) -> None:
        """Note that the head of a response arrived: of the stream, or (`goes_on`) of one that resumes it."""
        self._arrived = trio.current_time()
        if goes_on:
            self._clocks.start("idle")
            return
        self._clocks.start("first_event", "first_content", "idle")
        self.timings.headers = self._arrived - self._began

    def something_came(self) -> None:
        """Note that a read returned."""
        self._arrived = trio.current_time()

    def note(self, decoder: Decoder[Any]) -> None:
        """Take in the events that the last read brought."""
        if decoder.events == self._events:
            return
        self._events = decoder.events
        timings, clocks, now = self.timings, self._clocks, self._arrived - self._began
        if timings.first_event is None:
            timings.first_event = now
            clocks.stop("first_event")
        if timings.last_event is not None:
            timings.longest_gap = max(timings.longest_gap or 0.0, now - timings.last_event)
        timings.last_event = now
        if timings.first_content is None and decoder.protocol.has_content:
            timings.first_content = now
            clocks.stop("first_content")
        clocks.start("idle")
