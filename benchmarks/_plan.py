"""What one measurement streams: the plan, which travels in the URL's path, and the bytes, which are encoded beforehand.

All events are of one size, so a contender that sees bytes and no events can count.
"""

from __future__ import annotations

import json
import re

import attrs

PACES = ("lockstep", "free")


@attrs.frozen
class Plan:
    """What the server is to send.

    Attributes:
        streams: streams that are open at a time.
        events: events of each stream that are measured. One more goes out with the head, before the gate.
        per_write: events in one TCP write.
        pace: `lockstep`: every stream gets a write, and the next round comes when the client has nothing left to do, so
            one write is one read. `free`: as fast as the server can, and what piles up the client reads at once.
    """

    streams: int
    events: int
    per_write: int
    pace: str = attrs.field(default="lockstep", validator=attrs.validators.in_(PACES))

    @property
    def path(self) -> str:
        """The beginning of every URL's path."""
        return f"/{self.streams}/{self.events}/{self.per_write}/{self.pace}/v1"

    @classmethod
    def of_request(cls, head: bytes) -> Plan:
        """The plan that a request's first line names."""
        found = re.match(rb"\w+ /(\d+)/(\d+)/(\d+)/(\w+)/v1/", head)
        if found is None:
            raise ValueError(f"a request without a plan: {head[:80]!r}")
        streams, events, per_write, pace = found.groups()
        return cls(int(streams), int(events), int(per_write), pace.decode())


HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-request-id: req_0123456789abcdef\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
)

_WORDS = (" river", " stone", " cloud", " bread", " music", " green", " seven", " light")


def chunked(data: bytes) -> bytes:
    """One chunk of HTTP's chunked framing."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _sse(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    """One event of a chat completion, with the fields that OpenAI sends."""
    chunk = {
        "id": "chatcmpl-BxQ0dSsGq0Zu3VfJm5rT1kYp7aLwE",
        "object": "chat.completion.chunk",
        "created": 1_753_000_000,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_07871e2ad8",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}],
        "usage": None,
        "obfuscation": "Xq3Lr8ZtVw",
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


EVENTS = [_sse({"content": word}) for word in _WORDS]
EVENT_SIZE = len(EVENTS[0])
TAIL = chunked(_sse({}, "stop")) + chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def writes(count: int, per_write: int) -> list[bytes]:
    """`count` events, each a chunk of its own, as so many writes."""
    chunks = [chunked(EVENTS[i % len(EVENTS)]) for i in range(count)]
    return [b"".join(chunks[i : i + per_write]) for i in range(0, count, per_write)]
