"""Stream an answer that is bytes, such as sound: to a player, or into a file without holding all of it in memory.

There are no events here, so there is no decoder and no lifecycle. What is left of one is small: a body is complete or
it is not, and nothing is retried after the headers.
"""

from __future__ import annotations

import functools
import io
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from trio_openai._http.lifetime import BodyOwner
from trio_openai._http.multipart import in_thread
from trio_openai._request.exchange import Exchange
from trio_openai.errors import APIError, APITimeoutError, StreamTruncatedError

if TYPE_CHECKING:
    import os

    from trio_openai._httpx import httpx


class ByteStream(BodyOwner):
    """The bytes of an answer as they arrive. Iterate it, `read()` all of it, or write it to a file.

    Attributes:
        response: the HTTP response: its status and headers.
    """

    response: httpx.Response

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange = exchange
        self._is_whole = False
        self._is_busy = False
        self._failure: APIError | None = None

    async def _open(self) -> None:
        try:
            opened = await self._exchange.open()
        except BaseException as error:
            self._tell_end(error)
            raise
        self.response = opened.response
        self._own_body(opened.body)
        self._exchange.lifetime.streams.add(self)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes.

        Raises:
            StopAsyncIteration: the answer is complete.
            StreamTruncatedError: the connection broke before the end.
            APITimeoutError: nothing came within the deadline `idle`.
            trio.ClosedResourceError: this stream was closed.
            trio.BusyResourceError: another task is reading it.
        """
        if self._is_busy:
            raise trio.BusyResourceError("another task is reading this")
        self._is_busy = True
        try:
            await trio.lowlevel.checkpoint()
            piece = await self._read()
            if not piece:
                raise StopAsyncIteration
            return piece
        finally:
            self._is_busy = False

    async def _read(self) -> bytes:  # noqa: ASYNC910 - `__anext__` has a checkpoint
        if self._failure is not None:
            raise self._failure
        if self._is_whole:
            return b""  # noqa: ASYNC910
        if self._body is None:
            raise trio.ClosedResourceError("this stream of bytes has been closed")
        clocks = self._exchange.clocks
        clocks.start("idle")
        try:
            piece: bytes | APIError = await self._exchange.limited(self._body.read)
        except self._exchange.errors as error:
            ours = self._exchange.translated(error)
            is_cut = not isinstance(ours, APITimeoutError)
            piece = StreamTruncatedError(f"the answer was cut: {ours}") if is_cut else ours
        except APIError as error:
            piece = error
        finally:
            clocks.stop("idle")
        if isinstance(piece, APIError):  # raised here, outside of `except`, so that it has no context
            raise await self._failed(piece)
        if not piece:
            self._is_whole = True
            await self.aclose()
        return piece  # noqa: ASYNC910

    async def _failed(self, error: APIError) -> APIError:
        error.request_id = self.response.headers.get("x-request-id")
        self._failure = self._exchange.cleaned(error)
        await self.aclose()
        return self._failure

    async def read(self) -> bytes:
        """Return all bytes that are still to come. Raises what iterating raises."""
        pieces: list[bytes] = []
        async for piece in self:
            pieces.append(piece)  # noqa: PERF401
        return b"".join(pieces)

    async def write_to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the bytes to a file as they arrive. If this fails, the file has the bytes that arrived before.

        Threads do the writing, so a slow disk does not block other tasks. A cancellation waits for a write to a regular
        file to end. A write to a pipe or a device may never end, so it is left to its thread.

        Raises:
            OSError: the file cannot be written.
            APIError: the answer failed; see `__anext__`.
        """
        file = WrittenFile(Path(path))
        try:
            await file.open()
            async for piece in self:
                await file.write(piece)
        finally:
            await file.aclose()  # noqa: ASYNC102 - it is shielded, and does not wait for a pipe

    def mark_closed(self) -> None:
        """Do nothing: closing the connection wakes a task that reads. Internal."""

    def _abandoned(self) -> Callable[[], None]:
        self._exchange.lifetime.streams.discard(self)
        return functools.partial(_give_up, self._exchange)

    def _outlived_run(self) -> None:
        self._tell_end()

    def _tell_end(self, error: BaseException | None = None) -> None:
        """Tell the observers, if there are any, how the answer ended."""
        if self._is_whole:
            state = "done"
        elif isinstance(error, StreamTruncatedError):
            state = "truncated"
        else:
            state = "failed" if isinstance(error, APIError) else "closed"
        self._exchange.tell_plain_end(state, error)

    async def aclose(self) -> None:
        """Close the stream and its connection, before anything is waited for. Idempotent, callable from any task."""
        self._exchange.lifetime.streams.discard(self)
        body, self._body = self._body, None
        if body is not None:
            try:
                await body.aclose()
            finally:
                try:
                    self._exchange.settle(error=self._failure)
                finally:
                    self._tell_end(self._failure)
        await trio.lowlevel.cancel_shielded_checkpoint()


def _give_up(exchange: Exchange) -> None:
    """Settle the attempt of an abandoned stream, and tell the observers."""
    try:
        exchange.settle()
    finally:
        exchange.tell_plain_end("closed")


class WrittenFile:
    """A file that threads write. Nothing is buffered, so closing it writes nothing.

    Args:
        path: the path of the file, which is created or emptied.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None
        self._may_block = False  # for ever, like a pipe that nobody reads
        self._using = threading.Lock()  # held while the file is used or closed
        self._is_over = False

    async def open(self) -> None:
        """Create or empty the file. Raises `OSError`."""
        self._may_block = await in_thread(functools.partial(_may_block, self._path))
        await self._in_thread(self._open)

    async def write(self, data: bytes) -> None:
        """Write all of the bytes. Raises `OSError`."""
        await self._in_thread(functools.partial(self._write, data))

    async def aclose(self) -> None:
        """Close the file. If a thread still uses it, that thread closes it later."""
        self._is_over = True
        with trio.CancelScope(shield=True):
            if self._using.acquire(blocking=False):
                self._using.release()
                await in_thread(self._use)
            await trio.lowlevel.checkpoint()

    async def _in_thread(self, function: Callable[[], None]) -> None:
        use = functools.partial(self._use, function)
        await trio.to_thread.run_sync(use, abandon_on_cancel=self._may_block, limiter=trio.CapacityLimiter(1))

    def _use(self, function: Callable[[], None] | None = None) -> None:
        with self._using:
            try:
                if function is not None and not self._is_over:
                    function()
            finally:
                if self._is_over and self._file is not None:
                    self._file.close()

    def _open(self) -> None:
        self._file = io.FileIO(self._path, "w")

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]


def _may_block(path: Path) -> bool:
    """Return whether writing to a path may block for ever."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:  # it does not exist yet, or opening it will raise the error
        return False
