"""The body of a response, read piece by piece, whoever's transport it came through.

A response of `TrioTransport` brings its `Body`, which is read directly. Any other client (one that the user brought, or
httpx's own transport, which goes through proxies) is read by `aiter_bytes`, and promise 1 is kept there by two cures:

* httpx's stock pool loses a slot for good if a request is cancelled while it waits in the pool's queue. So nothing may
  queue there: a request takes a slot of ours first, of which there are no more than the pool has connections.
* A body that is left early unwinds its nested generators only when it is pulled. So it is pulled once more, under a
  scope that is cancelled already, and shielded: it ends at its first checkpoint, from the inside, and closes its
  connection.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol, cast

import httpx
import trio

from ._transport import BODY, NATIVE

_CLOSE_SECONDS = 5.0  # how long another transport may take to close


class ReadableBody(Protocol):
    """A body: `read` until `b""`, and `aclose` at any time."""

    async def read(self) -> bytes:
        """The next bytes, `b""` at the end."""
        ...

    async def aclose(self, *, park: bool = False) -> None:
        """Give up the connection, before any checkpoint if that is possible. `park`: the rest is of no interest."""
        ...


class ForeignBody:
    """A body that another transport reads, or httpx decompresses."""

    def __init__(self, response: httpx.Response, undo: contextlib.ExitStack) -> None:
        self._response = response
        self._pieces: AsyncIterator[bytes] = response.aiter_bytes()
        self._undo = undo
        self._reading: trio.CancelScope | None = None
        self._ended = False
        self._broken = False  # a read was begun and not finished: its generators are gone
        self._closed = False

    async def read(self) -> bytes:
        """The next bytes, `b""` at the end.

        Raises:
            trio.ClosedResourceError: the body was closed before, or is while this waits.
        """
        if self._closed:
            raise trio.ClosedResourceError("this response has been closed")
        if self._broken:
            raise httpx.ReadError("a read of it was cancelled, which this http_client cannot take up again")
        try:
            with trio.CancelScope() as self._reading:
                return await self._next_piece()
            raise trio.ClosedResourceError("this response has been closed")
        finally:
            self._reading = None
            if self._is_closed():
                await self._close()

    def _is_closed(self) -> bool:
        return self._closed

    async def _next_piece(self) -> bytes:
        self._broken = True
        piece = b""
        while not piece and not self._ended:
            try:
                piece = await anext(self._pieces)
            except StopAsyncIteration:
                self._ended = True
        self._broken = False
        return piece  # noqa: ASYNC910 - not after the end

    async def aclose(self, *, park: bool = False) -> None:  # noqa: ARG002 - another transport does not park
        """Unwind the body if it was left early, close the response, give back the slot. Idempotent.

        If a task is reading, it does so, and then gets `trio.ClosedResourceError`: nobody else may touch its
        generators.
        """
        if self._closed:
            await trio.lowlevel.cancel_shielded_checkpoint()
        elif self._reading is not None:
            self._closed = True
            self._reading.cancel()
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            self._closed = True
            await self._close()

    async def _close(self) -> None:
        with self._undo, trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
            if not (self._ended or self._broken):
                await self._unwind()
            await self._response.aclose()

    async def _unwind(self) -> None:  # noqa: ASYNC910 - the checkpoint is the one that ends it
        with trio.CancelScope() as at_once, contextlib.suppress(StopAsyncIteration):
            at_once.cancel()
            await anext(self._pieces)


async def send(
    http: httpx.AsyncClient, slots: trio.CapacityLimiter | None, request: httpx.Request, auth: Any
) -> httpx.Response:
    """Send one request, without following redirects. `body_of` the response has to be read or closed.

    Raises:
        RuntimeError: the client answered in HTTP/2, whose streams its transport does not reset when they are left: the
            server would go on generating.
    """
    with contextlib.ExitStack() as undo:
        if slots is not None:
            slot = object()
            await slots.acquire_on_behalf_of(slot)
            undo.callback(slots.release_on_behalf_of, slot)
            request.extensions[NATIVE] = undo.close  # that pool is ours, and counts for itself
        options: Any = {"auth": auth} if auth is not None else {}
        response = await http.send(request, stream=True, follow_redirects=False, **options)
        if response.http_version == "HTTP/2":
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
                await response.aclose()
            raise RuntimeError("this http_client answered in HTTP/2, which trio_openai cannot cancel; use http2=False")
        encoding = response.headers.get("content-encoding", "identity")
        if BODY not in response.extensions or encoding != "identity":
            response.extensions[BODY] = ForeignBody(response, undo.pop_all())
    return response


def body_of(response: httpx.Response) -> ReadableBody:
    """The body of a response that came from `send`."""
    return cast("ReadableBody", response.extensions[BODY])
