"""Record when things happened to a stream, and run its deadlines. Both are brought up to date once a read."""

from __future__ import annotations

from typing import Any

import trio

from trio_openai._deadlines import Clocks
from trio_openai._wire.decoder import Decoder
from trio_openai._wire.timings import Timings


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
        if timings.last_event is not None and (gap := now - timings.last_event) > (timings.longest_gap or -1.0):
            timings.longest_gap = gap
        timings.last_event = now
        if timings.first_content is None and decoder.protocol.has_content:
            timings.first_content = now
            clocks.stop("first_content")
        if clocks.has_limits:
            clocks.start("idle")
