"""A client whose responses come from memory, so that the kernel plays no part in the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import trio
from _wire import CHAT, HEAD

from trio_openai import TrioOpenAI, TrioTransport


class CannedStream(trio.abc.Stream):
    """A connection whose response is already in memory, one piece per read. Its events wait until the gate opens."""

    def __init__(self, pieces: list[bytes], gate: trio.Event) -> None:
        self._pieces: Iterator[bytes] = iter([*pieces, CHAT.tail])
        self._gate = gate
        self._head = HEAD

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._head:
            await trio.lowlevel.checkpoint()  # before taking the bytes, so that a cancelled read loses nothing
            head, self._head = self._head, b""
            return head
        await self._gate.wait()  # a checkpoint even if the gate is open
        return next(self._pieces, b"")

    def close(self) -> None:
        self._pieces = iter(())

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


class ReadyStream(CannedStream):
    """A connection whose reads return at once, so that what the library does costs more than trio's scheduler."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._head:
            return await super().receive_some(max_bytes)
        return next(self._pieces, b"")


def client_of(
    pieces: list[bytes], gate: trio.Event, stream: Callable[[list[bytes], trio.Event], CannedStream] = CannedStream
) -> TrioOpenAI:
    """Return a client whose connections all answer with these pieces."""

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return stream(pieces, gate)

    transport = httpx.AsyncClient(transport=TrioTransport(open_stream=open_stream))
    return TrioOpenAI(base_url="http://127.0.0.1/v1", api_key="benchmark", http_client=transport)
