"""The process that opens calls: one contender makes short calls, one after the other, over one connection.

It measures its CPU time from the beginning of a call until the whole request has been given to the kernel, and until
the end of the response. Every contender sends with `trio.SocketStream.send_all`, which is replaced here by a function
that also reads the clock.

    python _opening_client.py CONTENDER PORT CPU CALLS      prints one line of JSON: CPU seconds per call
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from _contenders import BARE, CHAT_REQUEST, LIBRARY, OPENAI
from _machine import pin

_WARM_UP = 50


class Meter:
    """Sums the CPU time of calls.

    Attributes:
        sent: seconds until the requests were sent.
        whole: seconds until the responses had ended.
    """

    def __init__(self) -> None:
        self.sent = self.whole = self._began = self._last_sent = 0.0
        send = trio.SocketStream.send_all

        async def send_all(stream: trio.SocketStream, data: Any) -> None:
            await send(stream, data)
            self._last_sent = time.process_time()

        trio.SocketStream.send_all = send_all  # type: ignore[method-assign]

    async def measure(self, call: Callable[[], Awaitable[None]]) -> None:
        """Make one call."""
        began = time.process_time()
        await call()
        self.whole += time.process_time() - began
        self.sent += self._last_sent - began


Calls = Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]


async def _trio_openai(url: str, repeat: Calls) -> None:
    from trio_openai import TrioOpenAI

    async with TrioOpenAI(base_url=url, api_key="benchmark") as client:

        async def call() -> None:
            async with client.chat.completions.stream(**CHAT_REQUEST) as stream:
                async for _ in stream:
                    pass

        await repeat(call)


async def _openai(url: str, repeat: Calls) -> None:
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="benchmark") as client:

        async def call() -> None:
            async with await client.chat.completions.create(**CHAT_REQUEST, stream=True) as stream:
                async for _ in stream:
                    pass

        await repeat(call)


async def _by_hand(url: str, repeat: Calls) -> None:
    """Write what the other clients send, with a body of JSON, and decode each event."""
    import orjson

    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    head = (
        f"POST /{path}/chat/completions HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n"
        "Accept-Encoding: identity\r\nContent-Type: application/json\r\nAuthorization: Bearer benchmark\r\n"
    )
    async with await trio.open_tcp_stream(name, int(port)) as stream:

        async def call() -> None:
            body = orjson.dumps({**CHAT_REQUEST, "stream": True})
            await stream.send_all(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            data = b""
            while not data.endswith(b"\r\n0\r\n\r\n"):
                data += await stream.receive_some(65536)
            for block in data.split(b"\n\n")[:-2]:
                orjson.loads(block[block.find(b"{") :])

        await repeat(call)


_CONTENDERS: dict[str, Callable[[str, Calls], Awaitable[None]]] = {
    LIBRARY: _trio_openai,
    OPENAI: _openai,
    BARE: _by_hand,
}


async def measure(name: str, port: int, calls: int) -> dict[str, float]:
    """Warm up, then make the calls. Return the CPU seconds per call."""
    meter = Meter()

    async def repeat(call: Callable[[], Awaitable[None]]) -> None:
        for _ in range(_WARM_UP):
            await call()
        gc.collect()
        for _ in range(calls):
            await meter.measure(call)

    await _CONTENDERS[name](f"http://127.0.0.1:{port}/short/v1", repeat)
    return {"sent": meter.sent / calls, "whole": meter.whole / calls}


def main(name: str, port: str, cpu: str, calls: str) -> None:
    """Run the command."""
    pin(int(cpu))
    print(json.dumps(trio.run(measure, name, int(port), int(calls))))


if __name__ == "__main__":
    main(*sys.argv[1:])
