"""The times at which things happened to a call."""

from __future__ import annotations

import attrs


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
