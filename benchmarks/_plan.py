"""What one measurement streams: the plan, which travels in the URL's path. `_wire.py` has the bytes."""

from __future__ import annotations

import re

import attrs
from _wire import WIRES, Wire

PACES = ("lockstep", "free", "timed", "endless")
RATE = 50  # events a second of each stream, `timed`


@attrs.frozen
class Plan:
    """What the server is to send.

    Attributes:
        streams: streams that are open at a time.
        events: events of each stream that are measured. The opening ones go out with the head, before the gate.
        per_write: events in one TCP write.
        pace: `lockstep`: every stream gets a write, and the next round comes when the client has nothing left to do, so
            one write is one read. `free`: as fast as the server can, and what piles up the client reads at once.
            `timed`: `RATE` events a second of each stream, evenly spread, each with the time of its write as its text.
            `endless`: the events of one stream again and again, as fast as the server can, until the client leaves.
        api: whose events: `chat` or `responses`.
    """

    streams: int
    events: int
    per_write: int
    pace: str = attrs.field(default="lockstep", validator=attrs.validators.in_(PACES))
    api: str = attrs.field(default="chat", validator=attrs.validators.in_(list(WIRES)))

    @property
    def path(self) -> str:
        """The beginning of every URL's path."""
        return f"/{self.streams}/{self.events}/{self.per_write}/{self.pace}/{self.api}/v1"

    @property
    def wire(self) -> Wire:
        """The bytes."""
        return WIRES[self.api]

    @classmethod
    def of_path(cls, path: str) -> Plan:
        """The plan that a path names."""
        found = re.match(r"/(\d+)/(\d+)/(\d+)/(\w+)/(\w+)/v1", path)
        if found is None:
            raise ValueError(f"a path without a plan: {path[:80]!r}")
        streams, events, per_write, pace, api = found.groups()
        return cls(int(streams), int(events), int(per_write), pace, api)

    @classmethod
    def of_request(cls, head: bytes) -> Plan:
        """The plan that a request's first line names."""
        return cls.of_path(head.partition(b" ")[2].decode("latin-1"))
