"""The prepared bytes of both APIs' streams, with the fields that OpenAI sends.

All measured events have the same size, so a contender that sees only bytes can count events.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

import attrs

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-request-id: req_0123456789abcdef\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
)
KEPT_HEAD = HEAD.replace(b"connection: close\r\n", b"")
"""The head for a connection that can be reused."""

END_OF_BODY = b"0\r\n\r\n"
_WORDS = (" river", " stone", " cloud", " bread", " music", " green", " seven", " light")
_STAMP_WIDTH = 20  # digits


def chunked(data: bytes) -> bytes:
    """Return data as one chunk of HTTP's chunked framing."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@attrs.define(slots=False)
class Wire:
    """The bytes of one API's stream.

    Attributes:
        endpoint: the end of the URL's path.
        opening: the events before the first measured one.
        event: the function that makes an event with the given number and text.
        closing: the events after the last measured one.
    """

    endpoint: str
    opening: list[bytes]
    event: Callable[[int, str], bytes]
    closing: list[bytes]

    @cached_property
    def event_size(self) -> int:
        """The number of bytes of each measured event."""
        return len(self.event(0, _WORDS[0]))

    @cached_property
    def beginning(self) -> bytes:
        """The opening events as chunks."""
        return b"".join(map(chunked, self.opening))

    @cached_property
    def tail(self) -> bytes:
        """The closing events as chunks, followed by the end of the body."""
        return b"".join(map(chunked, self.closing)) + END_OF_BODY

    def writes(self, count: int, per_write: int) -> list[bytes]:
        """Return `count` events, each in its own chunk, grouped into writes of `per_write` events."""
        chunks = [chunked(self.event(i, _WORDS[i % len(_WORDS)])) for i in range(count)]
        return [b"".join(chunks[i : i + per_write]) for i in range(0, count, per_write)]

    @cached_property
    def _around_the_stamp(self) -> list[bytes]:
        mark = "#" * _STAMP_WIDTH
        return chunked(self.event(0, mark)).split(mark.encode())

    def stamped(self, nanoseconds: int) -> bytes:
        """Return a chunk with an event whose text is a time."""
        before, after = self._around_the_stamp
        return b"%b%0*d%b" % (before, _STAMP_WIDTH, nanoseconds, after)


def _sse(raw: dict[str, Any], *, named: bool = False) -> bytes:
    name = f"event: {raw['type']}\n".encode() if named else b""
    return name + b"data: " + json.dumps(raw, separators=(",", ":")).encode() + b"\n\n"


def _chat(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
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
    return _sse(chunk)


_ITEM = "msg_68a1b2c3d4e58191a7f0c1d2e3f405160123456789abcdef"
_PLACE = {"item_id": _ITEM, "output_index": 0, "content_index": 0}
_FIRST_NUMBER = 1_000_000  # large, so that all numbers have the same number of digits


def _response(kind: str, number: int, **fields: Any) -> bytes:
    return _sse({"type": f"response.{kind}", "sequence_number": number, **fields}, named=True)


def _delta(number: int, text: str) -> bytes:
    fields = {**_PLACE, "delta": text, "logprobs": [], "obfuscation": "Xq3Lr8ZtVw"}
    return _response("output_text.delta", _FIRST_NUMBER + number, **fields)


def _whole(status: str, output: list[Any], usage: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "id": "resp_68a1b2c3d4e58191a7f0c1d2e3f405160123456789abcdef",
        "object": "response",
        "created_at": 1_753_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": "gpt-4o-2024-08-06",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "metadata": {},
    }


def _responses() -> Wire:
    last = 9_000_000
    empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    part = {**empty, "text": "a river"}
    item = {"id": _ITEM, "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
    done = {**item, "status": "completed", "content": [part]}
    usage = {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 32,
    }
    opening = [
        _response("created", 0, response=_whole("in_progress", [])),
        _response("in_progress", 1, response=_whole("in_progress", [])),
        _response("output_item.added", 2, output_index=0, item=item),
        _response("content_part.added", 3, **_PLACE, part=empty),
    ]
    closing = [
        _response("output_text.done", last, **_PLACE, text="a river", logprobs=[]),
        _response("content_part.done", last + 1, **_PLACE, part=part),
        _response("output_item.done", last + 2, output_index=0, item=done),
        _response("completed", last + 3, response=_whole("completed", [done], usage)),
    ]
    return Wire("/responses", opening, _delta, closing)


CHAT = Wire(
    endpoint="/chat/completions",
    opening=[_chat({"content": _WORDS[0]})],
    event=lambda _, text: _chat({"content": text}),
    closing=[_chat({}, "stop"), b"data: [DONE]\n\n"],
)
RESPONSES = _responses()
WIRES = {"chat": CHAT, "responses": RESPONSES}
