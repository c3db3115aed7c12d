"""Read a stream in a task of the caller's nursery, into a bounded buffer: the door `start_stream`.

A failure has to reach somebody. If a task has begun to iterate the stream, or there are subscribers, they get the error
where they read. If there are none, the error leaves the background task and so cancels the nursery.

The buffer is for the task that iterates the stream. Subscribers are delivered to directly. If there are subscribers and
no task has begun to iterate when the buffer is full, the buffer is abandoned: the stream is the subscribers' alone, and
waiting for a reader who may never come would stall them.
"""

from __future__ import annotations

import contextlib
from typing import Any, Generic, TypeVar

import trio

from trio_openai.errors import APIError

from .source import EventSource

EventT = TypeVar("EventT")


class BackgroundReader(Generic[EventT]):
    """Reads a stream in a background task. `run` is that task; the other methods are for the task that iterates.

    Args:
        source: the stream's source.
        buffer: the number of events that may wait to be received.

    Attributes:
        text_delta: the text that the event received last adds.
        handed_over: the number of events that were received.
    """

    def __init__(self, source: EventSource[EventT, Any], buffer: int) -> None:
        self.text_delta = ""
        self.handed_over = 0
        self._source = source
        self._send, self._receive = trio.open_memory_channel[tuple[EventT, str]](buffer)
        self._scope = source.reading = trio.CancelScope()
        self._waiting: trio.CancelScope | None = None
        self._is_read = False  # whether a task has begun to iterate
        self._is_abandoned = False  # whether the buffer was, because no task had begun and it was full
        self._is_busy = False
        self._is_stopping = False
        self._stopped = trio.Event()
        self._put_events = 0
        self._failure: APIError | None = None

    @trio.lowlevel.enable_ki_protection  # Ctrl-C is for a task of the program
    async def run(self) -> None:  # noqa: ASYNC910 - a task, which nobody awaits
        """Read to the end, or until the stream is closed.

        Raises:
            APIError: the stream failed, and there is nobody else to raise it to.
        """
        try:
            with self._scope:
                await self._read()
        finally:
            self._send.close()
            self._stopped.set()
            if self._is_stopping:
                await trio.lowlevel.cancel_shielded_checkpoint()
            else:
                await self._source.aclose()  # noqa: ASYNC102 - the connection is closed before it waits

    async def _read(self) -> None:  # noqa: ASYNC910 - part of the task
        try:
            while True:
                event = await self._source.next_event()
                await self._put(event, self._source.text_delta)
        except (StopAsyncIteration, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()  # `receive` tells the task that iterates
        except APIError as error:
            self._failure = error
            if not (self._is_read or self._source.has_subscribers):
                raise

    async def _put(self, event: EventT, text: str) -> None:  # noqa: ASYNC910 - `next_event` is a checkpoint for every event
        """Put an event into the buffer. Wait for room if a task iterates, or may begin to."""
        try:
            self._send.send_nowait((event, text))
        except trio.BrokenResourceError:  # the buffer was abandoned, or the stream is being closed
            return  # noqa: ASYNC910
        except trio.WouldBlock:
            if not self._is_read and self._source.has_subscribers:
                self._abandon_buffer()
                return  # noqa: ASYNC910
            with trio.CancelScope() as self._waiting, contextlib.suppress(trio.BrokenResourceError):
                await self._send.send((event, text))
            if self._waiting.cancelled_caught:
                self._abandon_buffer()
                return  # noqa: ASYNC910
        self._put_events += 1

    def on_subscribe(self) -> None:
        """Stop waiting for room, now that there is a subscriber, if no task has begun to iterate."""
        if self._waiting is not None and not self._is_read:
            self._waiting.cancel()

    def _abandon_buffer(self) -> None:
        self._is_abandoned = True
        self._receive.close()

    async def receive(self) -> EventT:
        """Return the next event from the buffer.

        Raises:
            StopAsyncIteration: the stream is complete, and this was all of it.
            APIError: the stream failed or was truncated.
            trio.ClosedResourceError: the stream was closed.
            trio.BusyResourceError: another task is reading the stream.
            RuntimeError: the buffer was abandoned to the subscribers.
        """
        if self._is_busy:
            raise trio.BusyResourceError("another task is reading this stream")
        if self._is_abandoned:
            raise RuntimeError(
                "this stream was not iterated before its buffer was full, so only its subscribers get its events: "
                "begin to iterate it earlier, or call subscribe(replay=True)"
            )
        self._is_busy = self._is_read = True
        try:
            event, self.text_delta = await self._receive.receive()
        except trio.EndOfChannel:
            raise self._end() from None
        finally:
            self._is_busy = False
        self.handed_over += 1
        return event

    async def until_done(self) -> None:
        """Wait until the stream has ended, and take events out of the buffer meanwhile."""
        try:
            if self._is_abandoned:
                await self._stopped.wait()
                raise self._end()
            while True:
                await self.receive()
        except StopAsyncIteration:
            await trio.lowlevel.checkpoint()

    def _end(self) -> Exception:
        """Return the exception for the end of the stream. It is clean only if every event got into the buffer."""
        if self._failure is not None:
            return self._failure
        self._source.raise_if_closed()
        if self._put_events < self._source.lifecycle.decoder.events and not self._is_abandoned:
            return trio.ClosedResourceError("this stream was closed before its last event was handed over")
        return StopAsyncIteration()

    def close(self) -> None:
        """Hand over nothing more. A task that waits for an event gets `trio.ClosedResourceError`."""
        self._receive.close()

    async def stop(self) -> None:
        """End the background task and leave the stream open, for another task to go on."""
        self.close()
        self._is_stopping = True
        self._scope.cancel()
        await self._stopped.wait()
