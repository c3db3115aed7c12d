"""The plan of a measurement: how many streams and events, and how fast. It travels in the URL's path.

So the server learns from the request what to send, and needs no other configuration. `_wire.py` has the bytes.
"""

from __future__ import annotations

import re

import attrs
from _wire import WIRES, Wire

PACES = ("lockstep", "free", "timed", "endless")
RATE = 50  # events per second of each stream, with the pace `timed`


@attrs.frozen
class Plan:
    """A description of what the server sends.

    Attributes:
        streams: the number of streams that are open at the same time.
        events: the number of measured events of each stream. The opening events are sent with the response head,
            before the measurement starts, and do not count.
        per_write: the number of events in one TCP write.
        pace: `lockstep`: write once to every stream, and start the next round when the client has nothing left to do,
            so one write is one read. `free`: write as fast as possible, so the client reads whatever has piled up.
            `timed`: `RATE` events per second and stream, evenly spread, each with the time of its write as its text.
            `endless`: repeat the events of one stream as fast as possible until the client leaves.
        api: the API whose events are sent: `chat` or `responses`.
    """

    streams: int
    events: int
    per_write: int
    pace: str = attrs.field(default="lockstep", validator=attrs.validators.in_(PACES))
    api: str = attrs.field(default="chat", validator=attrs.validators.in_(list(WIRES)))

    @property
    def path(self) -> str:
        """The beginning of the URL's path."""
        return f"/{self.streams}/{self.events}/{self.per_write}/{self.pace}/{self.api}/v1"

    @property
    def wire(self) -> Wire:
        """The bytes of the API's stream."""
        return WIRES[self.api]

    @classmethod
    def of_path(cls, path: str) -> Plan:
        """Return the plan in a URL's path."""
        found = re.match(r"/(\d+)/(\d+)/(\d+)/(\w+)/(\w+)/v1", path)
        if found is None:
            raise ValueError(f"the path contains no plan: {path[:80]!r}")
        streams, events, per_write, pace, api = found.groups()
        return cls(int(streams), int(events), int(per_write), pace, api)

    @classmethod
    def of_request(cls, head: bytes) -> Plan:
        """Return the plan in the path of a request's first line."""
        return cls.of_path(head.partition(b" ")[2].decode("latin-1"))
