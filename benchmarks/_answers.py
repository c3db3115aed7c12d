"""A server for many short calls and for streams that stay open. It uses asyncio, prepared bytes and keep-alive.

The URL's path begins with the kind of response:

* `/short`: a complete response of a few events; the connection stays open.
* `/close`: the same, but the connection is closed.
* `/wanted`: what the request wants: that response as a stream, or as one JSON object; the connection stays open.
* `/held`: the head and the opening events. The rest is sent when somebody requests `/release`.

    python _answers.py CPU        prints its port and serves until its standard input ends
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading

from _machine import pin
from _wire import CHAT, HEAD, KEPT_HEAD

EVENTS = 5  # in a short response
ANSWER = {
    "id": "chatcmpl-benchmark",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4o",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": " river stone cloud"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12},
}
_PLAIN = json.dumps(ANSWER).encode()
_PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_PLAIN), _PLAIN)
_EVENTS = CHAT.beginning + b"".join(CHAT.writes(EVENTS - 1, 1)) + CHAT.tail


class _Connection(asyncio.Protocol):
    """One client's connection, with one request at a time."""

    held: set[asyncio.Transport]

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if end and len(body) >= length:
            self._data = b""
            wants_stream = b'"stream":true' in body or b'"stream": true' in body
            self._answer(head.partition(b" /")[2].partition(b"/")[0], wants_stream=wants_stream)

    def _answer(self, wanted: bytes, *, wants_stream: bool) -> None:
        if wanted == b"wanted" and not wants_stream:
            self._transport.write(_PLAIN)
        elif wanted == b"held":
            self._transport.write(KEPT_HEAD + CHAT.beginning)
            self.held.add(self._transport)
        elif wanted == b"close":
            self._transport.write(HEAD + _EVENTS)
            self._transport.close()
        else:
            self._transport.write(KEPT_HEAD + _EVENTS)
        if wanted == b"release":
            for transport in self.held:
                transport.write(CHAT.tail)
            self.held.clear()

    def connection_lost(self, error: Exception | None) -> None:
        self.held.discard(self._transport)


async def serve() -> None:
    """Listen, print the port, and serve."""
    _Connection.held = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    pin(int(sys.argv[1]))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(serve())
