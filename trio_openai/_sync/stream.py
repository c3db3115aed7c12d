"""Read a stream in a thread, while its connection lives in a trio loop.

The problem: a thread iterates the stream with a plain `for`, but only the loop can wait for its socket. A call into the
loop costs far more than decoding an event, so one call for each event would be too slow.

The idea: the sans-IO `Lifecycle` (`_wire/lifecycle.py`) needs no loop, so the reading thread drives it directly. It
asks `next` for an event and gets either the event, without any call, or a `Decision` such as READ. Only a `Decision`
is passed to the loop, where `EventSource.carry_out` does the work. So a read costs one call, however many events the
bytes contain.

Rules that hold it together:

* One thread at a time reads. It holds `_reading_lock`, and a second one gets `trio.BusyResourceError`. While the loop
  carries a decision out, the reading thread waits, so the two never drive the lifecycle at once.
* Any thread may look at the result (`snapshot`, `text`, `verdict`, `timings`) at any time. `_result_lock` is held
  while somebody looks and while an event is added up, but not during the wait for the loop.
* Nothing is read ahead. Bytes that the thread has not asked for stay in the socket, so a slow thread slows down the
  server, and the snapshot has exactly the events that were handed over.
* Observers are told in the loop, so all records of a call come from one thread.
* An interrupt (Ctrl-C) during a call into the loop closes the stream, because the result of the call may be lost. That
  is what the argument `undo=` of `Portal.run` is for.

Read next: `portal.py` for the calls into a loop, `views.py` for text, messages and bytes, `kinds.py` for the stream
of each endpoint, `_stream/source.py` for the same lifecycle driven by a task.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import trio

from trio_openai._httpx import httpx
from trio_openai._stream.bytes import ByteStream
from trio_openai._stream.stream import Stream, source_of
from trio_openai._wire.lifecycle import Decision, Verdict
from trio_openai._wire.sse_block import ServerSentEvent
from trio_openai._wire.text import Printable
from trio_openai._wire.timings import Timings

from .portal import Portal
from .views import SyncBodyIterator, SyncDerivedIterator, SyncMessageIterator

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")
HeldT = TypeVar("HeldT", bound="Stream[Any, Any] | ByteStream")


class Held(Generic[HeldT]):
    """A stream that lives in a loop, held by threads.

    Args:
        stream: The stream in the loop.
        portal: The way into the loop.
        owner: The client. The reference keeps it from being collected, and closed, before the stream.
    """

    def __init__(self, stream: HeldT, portal: Portal[Any], owner: object) -> None:
        self._stream = stream
        self._portal = portal
        self._owner = owner

    @property
    def response(self) -> httpx.Response:
        """The status and headers of the response."""
        return self._stream.response

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream and its connection. Idempotent.

        Any thread that runs no trio loop may call this. If another thread is reading the stream, it gets
        `trio.ClosedResourceError`.

        Raises:
            RuntimeError: This thread runs a trio loop. The stream stays open.
        """
        try:
            self._portal.run(self._stream.aclose)
        except trio.ClosedResourceError:
            pass  # the client was closed or the loop has ended, and the stream with it


class SyncStream(Held[Stream[EventT, WholeT]], Generic[EventT, WholeT]):
    """A stream of typed events, and the result they add up to.

    Methods `stream` and `create(stream=True)` of an endpoint return one. Iterate it for the events exactly as the
    server sent them, or iterate `text_deltas`. One thread at a time may iterate. Everything else can be used from any
    thread at any time.

    If an interrupt (Ctrl-C, or another signal whose handler raises) comes while this waits for the server, the stream
    is closed, and the exception is raised unchanged.
    """

    def __init__(self, stream: Stream[EventT, WholeT], portal: Portal[Any], owner: object) -> None:
        # Attributes are dropped in the order they were set. With the source first, a forgotten stream is closed, with
        # its ResourceWarning, before its client is.
        self._source = source_of(stream)
        super().__init__(stream, portal, owner)
        # Both are reentrant: `deltas` reads through `__next__`, and a signal handler may look at the result.
        self._reading_lock = threading.RLock()  # held by the thread that reads
        self._result_lock = threading.RLock()  # held while an event is added up, or the result is looked at
        self._printable = Printable()

    @property
    def request_id(self) -> str | None:
        """The `x-request-id` header of the response, or None. Support teams ask for it."""
        return self._stream.request_id

    @property
    def snapshot(self) -> WholeT:
        """The result so far: all events that were handed over, added up.

        Any thread can read it at any time, also after an error or an interrupt.
        """
        with self._result_lock:
            return self._stream.snapshot

    @property
    def text(self) -> str:
        """The text so far. See `Stream.text`."""
        with self._result_lock:
            return self._stream.text

    @property
    def verdict(self) -> Verdict:
        """The way the stream ended, or `open`."""
        with self._result_lock:
            return self._stream.verdict

    @property
    def timings(self) -> Timings:
        """The times of the first event, the first content and so on, and the number of retries so far."""
        with self._result_lock:
            return self._stream.timings

    @property
    def text_deltas(self) -> Iterator[str]:
        """The text of the events, in pieces that are never empty and can always be printed.

        It is the text of choice 0, of a response's output, or of a recording. See `Stream.text_deltas`.

        Raises:
            APIError: While iterating: as for the stream itself. Also if the response failed (`response.failed`),
                because the text alone would not show that.
        """
        return SyncDerivedIterator(self._source, self._next_text)

    def _next_text(self) -> str:
        try:
            next(self)
        except StopIteration:
            if not (rest := self._printable.end()):  # half a character may be held back until the end
                raise
            return rest
        return self._printable.add(self._source.text_delta)

    @property
    def messages(self) -> Iterator[ServerSentEvent]:
        """The server-sent messages of the stream. Iterate them instead of the events. See `Stream.messages`.

        Raises:
            RuntimeError: While iterating: the stream has already been read in another way.
        """
        return SyncMessageIterator(self, self._source, self._claimed)

    @property
    def raw_bytes(self) -> Iterator[bytes]:
        """The bytes of the body as they arrive. Iterate them instead of the events. See `Stream.raw_bytes`.

        Raises:
            RuntimeError: While iterating: the stream has already been read in another way.
        """
        return SyncBodyIterator(self._source, self._claimed, self._next_step, self._carry_out)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.verdict}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> EventT:
        """Return the next event.

        Raises:
            StopIteration: The stream is complete.
            APIError: The stream failed or was truncated. The error's `partial` has the result so far.
            trio.ClosedResourceError: The stream was closed, before this call or while it waited.
            trio.BusyResourceError: Another thread is reading the stream, and goes on.
            trio.Cancelled: This thread is a worker of `trio.to_thread.run_sync` whose task was cancelled.
        """
        self._begin_reading()
        try:
            return self._step()
        finally:
            self._reading_lock.release()

    def _step(self) -> EventT:
        # Events that have arrived need no call into the loop, so nothing else would notice the cancellation.
        self._portal.check_cancelled()
        while isinstance(step := self._next_step(), Decision):
            self._carry_out(step)
        return step

    @contextlib.contextmanager
    def _claimed(self) -> Generator[None]:
        """Claim the stream for the thread in this block.

        Raises:
            trio.BusyResourceError: Another thread is reading the stream.
            trio.Cancelled: This thread is a worker whose task was cancelled.
        """
        self._begin_reading()
        try:
            self._portal.check_cancelled()
            yield
        finally:
            self._reading_lock.release()

    def until_done(self) -> None:
        """Read the stream to its end.

        Raises:
            APIError: The stream failed or was truncated. The error's `partial` has the result so far.
            trio.ClosedResourceError: The stream was closed before its end.
            trio.BusyResourceError: Another thread is reading the stream.
        """
        for _ in self:
            pass

    def settle(self, seconds: float) -> None:
        """Read the rest without handing it over, then close the stream.

        Use it if you stop early but still want the usage, which comes at the end. A failure while reading the rest is
        not raised: `verdict` says whether the end was reached. An interrupt closes the stream.

        Args:
            seconds: The longest time to read on.

        Raises:
            trio.BusyResourceError: Another thread is reading the stream. Nothing has changed.
        """
        self._begin_reading()
        try:
            with self._result_lock:  # here the loop itself drives the lifecycle, so nobody may look at it meanwhile
                self._portal.run(lambda: self._stream.settle(seconds), undo=self._stream.aclose)
        finally:
            self._reading_lock.release()

    def _begin_reading(self) -> None:
        if not self._reading_lock.acquire(blocking=False):
            raise trio.BusyResourceError("another thread is reading this stream")

    def _next_step(self) -> EventT | Decision:
        with self._result_lock:
            step = self._source.lifecycle.next()
            # Otherwise the loop would add the event up before it reads, and the loop does not hold the lock.
            self._source.lifecycle.decoder.add_up()
        if self._source.is_unheard and not isinstance(step, Decision):
            self._portal.run(self._source.tell_arrival_soon, undo=self._stream.aclose)
        return step

    def _carry_out(self, step: Decision) -> None:
        """Carry a decision out: in the loop, or here if it is to finish.

        Raises:
            StopIteration: The stream is complete.
            APIError: The stream failed.
            trio.ClosedResourceError: The stream was closed.
        """
        if step is Decision.END:
            raise StopIteration  # `finish` would return the async kind
        if step in (Decision.FAIL, Decision.CLOSED):
            raise self._source.finish(step)
        self._portal.run(self._source.carry_out, step, undo=self._stream.aclose)


class SyncByteStream(Held[ByteStream]):
    """The bytes of a response body as they arrive. Iterate them, `read()` all of them, or write them to a file."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """Return the next bytes.

        Raises:
            StopIteration: The body is complete.
            APIError: The body was truncated, or nothing came for too long. The connection is closed.
            trio.ClosedResourceError: The stream was closed.
            trio.BusyResourceError: Another thread is reading the stream.
        """
        if piece := self._portal.run(self._next, undo=self._stream.aclose):
            return piece
        raise StopIteration

    async def _next(self) -> bytes:
        return await anext(self._stream, b"")

    def read(self) -> bytes:
        """Return all bytes that are still to come. Raises the same errors as iterating."""
        return b"".join(self)

    def write_to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the bytes to a file as they arrive. After a failure, the file has the bytes that arrived before it.

        Raises:
            OSError: The file cannot be written.
            APIError, trio.ClosedResourceError, trio.BusyResourceError: See `__next__`.
        """
        with Path(path).open("wb") as file:
            file.writelines(self)
