"""An answer that is bytes, such as sound, piece by piece: for a player, or for a file that need not fit into memory."""

from __future__ import annotations

import functools
import io
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from trio_openai._http.body import body_of
from trio_openai._http.lifetime import BodyOwner
from trio_openai._http.multipart import in_thread
from trio_openai._request.exchange import Exchange
from trio_openai.errors import APIError, APITimeoutError, StreamTruncatedError

if TYPE_CHECKING:
    import os

    import httpx


class ByteStream(BodyOwner):
    """The bytes of an answer, as they come. Iterate it, `read()` it whole, or have it written to a file.

    Attributes:
        response: the response: status and headers.
    """

    response: httpx.Response

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._is_whole = False
        self._is_busy = False
        self._failure: APIError | None = None

    async def _open(self) -> None:
        self.response = await self._exchange.open()
        self._own_body(body_of(self.response))
        self._exchange.lifetime.streams.add(self)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next bytes.

        Raises:
            StopAsyncIteration: that was all.
            StreamTruncatedError: the connection broke before.
            APITimeoutError: there was nothing for too long.
            trio.ClosedResourceError: this was closed.
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

    async def _read(self) -> bytes:  # noqa: ASYNC910 - `__anext__` sees to it
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
        if isinstance(piece, APIError):  # raised out here, it does not hold on to what caused it
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
        """All bytes that are still to come. Raises as iterating does."""
        pieces: list[bytes] = []
        async for piece in self:
            pieces.append(piece)  # noqa: PERF401
        return b"".join(pieces)

    async def write_to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the bytes to a file as they come. If that fails, those that came are in the file.

        The disk is only touched in threads. A cancellation waits until a write to a regular file has ended. One to a
        pipe or a device may never end, so it is left to its thread.

        Raises:
            OSError: the file cannot be written.
            APIError: as iterating does.
        """
        file = WrittenFile(Path(path))
        try:
            await file.open()
            async for piece in self:
                await file.write(piece)
        finally:
            await file.aclose()  # noqa: ASYNC102 - it is shielded, and does not wait for a pipe

    def mark_closed(self) -> None:
        """Do nothing: closing the connection wakes whoever reads. Internal."""

    def _abandoned(self) -> Callable[[], None]:
        self._exchange.lifetime.streams.discard(self)
        return self._exchange.settle

    async def aclose(self) -> None:
        """Close it and its connection. Idempotent, callable from any task. The connection is closed before it waits."""
        self._exchange.lifetime.streams.discard(self)
        body, self._body = self._body, None
        if body is None:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            try:
                await body.aclose()
            finally:
                self._exchange.settle(error=self._failure)


class WrittenFile:
    """A file that is written in threads. Nothing is buffered, so to close it writes nothing.

    Args:
        path: where it is, or is to be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO | None = None
        self._may_block = False  # for ever, as a pipe does that nobody reads
        self._using = threading.Lock()  # held by the thread that is using the file, and by who closes it
        self._is_over = False

    async def open(self) -> None:
        """Create the file, or empty it. Raises `OSError`."""
        self._may_block = await in_thread(functools.partial(_may_block, self._path))
        await self._in_thread(self._open)

    async def write(self, data: bytes) -> None:
        """Write all of the bytes. Raises `OSError`."""
        await self._in_thread(functools.partial(self._write, data))

    async def aclose(self) -> None:
        """Close it. If a thread still uses it, that thread closes it when it has ended."""
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
    """Return whether to write there may block for ever."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:  # it is not there yet, or opening it says why it cannot be
        return False
