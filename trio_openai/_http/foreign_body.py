"""The body of a response, read piece by piece, whoever's transport it came through.

A response of `TrioTransport` brings its `Body`, which is read directly. Any other client (one that the user brought,
over httpx's own transport, say) is read by `aiter_raw`. Three cures keep the promises there:

* httpx's stock pool loses a slot for good if a request is cancelled while it waits in the pool's queue. So nothing may
  queue there: a request takes a slot of ours first, of which there are no more than the pool has connections.
* A body that is left early unwinds its nested generators only when it is pulled. So it is pulled once more, under a
  scope that is cancelled already, and shielded: it ends at its first checkpoint, from the inside, and closes its
  connection.
* A read that was cancelled cannot be taken up again. So a task of its own makes each read, and cancelling the wait for
  it leaves the read alone (`ForeignBody`).
"""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
import trio

from .background_read import BackgroundRead

CLOSE_SECONDS = 5.0  # how long another transport may take to close
_LATE_CLOSE_SECONDS = 1.0  # the same for a caller whose own time is up
_PIECES_HELD = 1000  # pieces of a body that another transport may have at hand


def closing_deadline() -> float:
    """When to stop waiting for another transport to close: after five seconds, sooner if the caller's time is up.

    A caller that is cancelled already, or has a deadline soon, still gives it one second.
    """
    now = trio.current_time()
    return min(now + CLOSE_SECONDS, max(now + _LATE_CLOSE_SECONDS, trio.current_effective_deadline()))


class ForeignBody:
    """A body that another transport reads.

    Cancelling `read` never cancels the transport's own read, since no other client could take that up again. A task of
    its own makes the read, and the next `read` returns what it brought. So anybody may cancel a wait for a body at any
    time and for any reason (a deadline, a tool that has to report, `settle`), and go on reading later, exactly as with
    the body of `TrioTransport`. No caller has to know which of the two it reads. `aclose` ends the task and waits for
    it.
    """

    def __init__(
        self, response: httpx.Response, undo: contextlib.ExitStack, errors: tuple[type[Exception], ...]
    ) -> None:
        self._response = response
        # What has been read already, such as the answer of a mock, is there without its coding only.
        self._pieces: Any = response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()
        self._undo = undo
        self._errors = errors
        self._reading: BackgroundRead | None = None  # the read that nobody has taken yet
        self._ended = False
        self._unwound = False  # a read was begun and not finished: its generators are gone
        self._closed = False

    async def read(self) -> bytes:
        """Return the next bytes, `b""` at the end. If this is cancelled, nothing is lost.

        Raises:
            trio.ClosedResourceError: the body was closed before, or is while this waits.
        """
        self._check_open()
        if self._reading is None:
            self._reading = BackgroundRead(self._next_piece)
        reading = self._reading
        await reading.done.wait()
        self._reading = None
        self._check_open()
        return reading.result()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this response has been closed")

    async def _next_piece(self) -> bytes:
        self._unwound = True
        piece = b""
        while not piece and not self._ended:
            try:
                piece = await anext(self._pieces)
            except StopAsyncIteration:
                self._ended = True
            if not piece:
                await trio.lowlevel.checkpoint()  # another transport may have any number of empty ones
        self._unwound = False
        return piece  # noqa: ASYNC910 - not after the end

    async def aclose(self, *, park: bool = False) -> None:  # noqa: ARG002 - another transport does not park
        """Unwind the body if it was left early, close the response, give back the slot. Idempotent.

        A task that is reading gets `trio.ClosedResourceError`.
        """
        if self._closed:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            self._closed = True
            await self._close()

    def close_soon(self) -> None:
        """Close it in a task, for a stream that nobody can close any more."""
        if not self._closed:
            trio.lowlevel.spawn_system_task(self._close_alone)

    async def _close_alone(self) -> None:  # noqa: ASYNC910 - it is a task, and nobody waits for it
        with contextlib.suppress(Exception):  # nobody is there to hear of it, and here it would end the run
            await self.aclose()

    async def _close(self) -> None:  # noqa: ASYNC910 - a checkpoint unless the transport has none to offer
        # Errors of closing say nothing about what was read, and there is nothing to be done about them.
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
        with trio.CancelScope() as at_once, contextlib.suppress(StopAsyncIteration):  # noqa: ASYNC912
            at_once.cancel()
            for _ in range(_PIECES_HELD):  # what it has got already comes without a checkpoint
                await anext(self._pieces)
        await self._pieces.aclose()
