"""Bodies of HTTP clients that the program brings, such as an `httpx.AsyncClient` with httpx's own transport.

A response of `TrioTransport` brings a `Body`, which is built for cancellation. Any other client's response can only be
read through `aiter_raw`, that is, through the client's own async generators. Three measures keep the promises there:

* httpx's stock pool loses a slot for good if a request is cancelled while it waits in the pool's queue. So nothing may
  queue there: each request first takes one of our own `Slots`, of which there are as many as that pool has connections.
* An async generator that is not exhausted cleans up only when it is resumed. So a body that is left early is resumed
  once more, inside a scope that is already cancelled. It stops at its first checkpoint, its `finally` blocks run from
  the inside out, and its connection is closed.
* A generator whose read was cancelled is finished and cannot be read further. So each read runs in a task, and
  cancelling the wait for that task leaves the read alone (`background_read.py`).
"""

from __future__ import annotations

import contextlib
from typing import Any

import trio

from trio_openai._httpx import httpx

from .background_read import BackgroundRead

CLOSE_SECONDS = 5.0  # the longest wait for another transport to close
_LATE_CLOSE_SECONDS = 1.0  # the same, if the caller is cancelled or its deadline has passed
_CHUNKS_HELD = 1000  # chunks that another transport may return without a checkpoint


def closing_deadline() -> float:
    """Return the time at which to stop waiting for another transport to close.

    That is in five seconds, or sooner if the caller's own deadline is sooner. A caller that is already cancelled still
    waits one second, which is enough for any transport that behaves.
    """
    now = trio.current_time()
    return min(now + CLOSE_SECONDS, max(now + _LATE_CLOSE_SECONDS, trio.current_effective_deadline()))


class ForeignBody:
    """A body that another HTTP client's transport reads.

    A task makes each read, because another client cannot continue a read that was cancelled. `read` waits for that
    task. If the wait is cancelled, the task goes on, and the next `read` returns its result. So callers may cancel a
    read at any time and continue later, exactly as with `Body`; they never need to know which kind they have. `aclose`
    ends the task.

    Args:
        response: the response, whose head has been read.
        undo: releases the slot when the body is closed.
        errors: the exceptions that this client raises for network failures.
    """

    def __init__(
        self, response: httpx.Response, undo: contextlib.ExitStack, errors: tuple[type[Exception], ...]
    ) -> None:
        self._response = response
        # A body that httpx has read already, such as a mock's, exists only in decompressed form.
        self._chunks: Any = response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()
        self._undo = undo
        self._errors = errors
        self._reading: BackgroundRead | None = None  # a read whose result has not been returned yet
        self._ended = False
        self._unwound = False  # a read has begun and not finished, so cancelling it ends the generators
        self._closed = False

    async def read(self) -> bytes:
        """Return the next bytes, or `b""` at the end. If this is cancelled, nothing is lost.

        Raises:
            trio.ClosedResourceError: the body was closed, before this call or while it waited.
        """
        self._check_open()
        if self._reading is None:
            self._reading = BackgroundRead(self._next_chunk)
        reading = self._reading
        await reading.done.wait()
        self._reading = None
        self._check_open()
        return reading.result()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this response has been closed")

    async def _next_chunk(self) -> bytes:
        self._unwound = True
        chunk = b""
        while not chunk and not self._ended:
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self._ended = True
            if not chunk:
                await trio.lowlevel.checkpoint()  # another transport may return any number of empty chunks in a row
        self._unwound = False
        return chunk  # noqa: ASYNC910 - `anext` of the client's iterator is the checkpoint

    async def aclose(self, *, park: bool = False) -> None:  # noqa: ARG002 - other transports cannot park a connection
        """Unwind the body if it was left early, close the response, and release the slot. Idempotent.

        A task that is waiting in `read` gets `trio.ClosedResourceError`.
        """
        if self._closed:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            self._closed = True
            await self._close()

    def close_soon(self) -> None:
        """Close the body in a system task, for a stream that was garbage collected."""
        if not self._closed:
            trio.lowlevel.spawn_system_task(self._close_alone)

    async def _close_alone(self) -> None:  # noqa: ASYNC910 - the main function of a task
        with contextlib.suppress(Exception):  # an exception in a system task would crash the whole run
            await self.aclose()

    async def _close(self) -> None:  # noqa: ASYNC910 - has the checkpoints that the other transport has
        # An error while closing says nothing about the bytes that were read, and the caller can do nothing about it.
        with (
            self._undo,
            trio.CancelScope(shield=True, deadline=closing_deadline()),
            contextlib.suppress(*self._errors),
        ):
            if self._reading is not None:
                await self._reading.cancel()
            if not (self._ended or self._unwound):
                await self._unwind()
            await self._response.aclose()

    async def _unwind(self) -> None:
        """Resume the client's generators in a cancelled scope, so that their cleanup runs now."""
        with trio.CancelScope() as at_once, contextlib.suppress(StopAsyncIteration):  # noqa: ASYNC912
            at_once.cancel()
            for _ in range(_CHUNKS_HELD):  # chunks that it has buffered come without a checkpoint
                await anext(self._chunks)
        await self._chunks.aclose()
