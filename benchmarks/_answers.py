"""A server for many short calls and for streams that stay open. It uses asyncio, prepared bytes and keep-alive.

The URL's path begins with the kind of response:

* `/short`: a complete response of a few events; the connection stays open.
* `/close`: the same, but the connection is closed.
* `/held`: the head and the opening events. The rest is sent when somebody requests `/release`.

    python _answers.py CPU        prints its port and serves until its standard input ends
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from _machine import pin
from _wire import CHAT, HEAD, KEPT_HEAD

EVENTS = 5  # in a short response
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
            self._answer(head.partition(b" /")[2].partition(b"/")[0])

    def _answer(self, wanted: bytes) -> None:
        if wanted == b"held":
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
