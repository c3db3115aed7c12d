"""Helpers for the tests of the transport: a server of hand-written connections, and what a program does."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import trio
import trio.testing
from net_helpers import (
    CHAT,
    watch,
)

from trio_openai import TrioOpenAI
from trio_openai.testing import Pause, Reply
from trio_openai.testing._memory import MemoryStream

HELLO = Reply.chat("Hello there, you.")

PLAIN = Reply.chat("Hello there, you.", stream=False)

URL = "http://test/v1"

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

both_kinds = pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])


async def read_stream(client: TrioOpenAI) -> str:
    async with client.chat.completions.stream(**CHAT) as stream:
        return "".join([text async for text in stream.text_deltas])


async def read_plain(client: TrioOpenAI) -> str | None:
    completion = await client.chat.completions.create(**CHAT)
    return completion.choices[0].message.content


class HandMade:
    """A server of hand-written connections: the n-th function serves the n-th connection, the last one all further
    ones.
    """

    def __init__(self, nursery: trio.Nursery, *serving: Callable[[MemoryStream], Awaitable[object]]) -> None:
        self.opened = 0
        self.live: list[MemoryStream] = []
        self._nursery = nursery
        self._serving = serving
        nursery.start_soon(watch)

    async def open_stream(self, host: str, port: int) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        near, far = MemoryStream.pair()
        self._nursery.start_soon(self._serving[min(self.opened, len(self._serving) - 1)], far)
        self.opened += 1
        self.live.append(near)
        return near

    def open_now(self) -> int:
        return sum(not is_closed(stream) for stream in self.live)


def is_closed(stream: MemoryStream) -> bool:
    return stream._inner.receive_stream._closed


async def receive_request(stream: MemoryStream) -> bytes:
    """Return a request whose body, if any, came together with its head. Return nothing at the end of the stream."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = bytes(await stream.receive_some())
        if not more:
            return b""
        data += more
    return data


async def answer(stream: MemoryStream, *writes: bytes) -> bytes:
    request = await receive_request(stream)
    for data in writes if request else ():
        await stream.send_all(data)
    return request


async def answer_always(stream: MemoryStream) -> None:
    while await answer(stream, OK):
        pass
    stream.close()


def split_end(reply: Reply) -> Reply:
    """Return the reply with the end of its body in a separate write, a moment later."""
    raw = b"".join(b"%x\r\n%b\r\n" % (len(step), step) for step in reply.body if isinstance(step, bytes))
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return Reply.raw(head + raw, Pause(0.001), b"0\r\n\r\n", close=False)


TLSPair = tuple[ssl.SSLContext, ssl.SSLContext]


class Pieces(httpx.AsyncByteStream):
    """A body that is made while it is sent, with a checkpoint before every piece."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self._pieces = iter(pieces)
        self._error = error

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.sleep(0.001)
        for piece in self._pieces:
            return piece
        raise self._error or StopAsyncIteration
