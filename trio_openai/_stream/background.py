"""Read a stream in a task of the caller's nursery, into a bounded buffer: the door `start_stream`.

A failure has to reach somebody. If there is an audience (a task that has begun to read the stream, or subscribers), it
gets the error where it reads; if there is none, the error comes out of the task, and so out of the nursery.

The buffer is for whoever iterates the stream. While nobody has begun to, and there are subscribers, nothing waits for
it: when it is full it is given up, and the stream is the subscribers' alone.
"""

from __future__ import annotations

import contextlib
from typing import Any, Generic, TypeVar

import trio

from trio_openai.errors import APIError

from .source import EventSource

EventT = TypeVar("EventT")


class BackgroundReader(Generic[EventT]):
    """Reads a stream in a task of its own. `run` is that task; the rest is for those who read from it.

    Attributes:
        text_delta: what the event that was received last adds to the main text.
        handed_over: how many events were received.
    """

    def __init__(self, source: EventSource[EventT, Any], buffer: int) -> None:
        self.text_delta = ""
        self.handed_over = 0
        self._source = source
        self._send, self._receive = trio.open_memory_channel[tuple[EventT, str]](buffer)
        self._scope = source.reading = trio.CancelScope()
        self._waiting: trio.CancelScope | None = None
        self._is_read = False  # somebody has begun to
        self._is_given_up = False  # nobody had, and the buffer ran over
        self._is_busy = False
        self._is_stopping = False
        self._stopped = trio.Event()
        self._put_events = 0
        self._failure: APIError | None = None

    @trio.lowlevel.enable_ki_protection  # Ctrl-C is for the user's own task
    async def run(self) -> None:  # noqa: ASYNC910 - it is a task, and nobody waits for it
        """Read to the end, or until the stream is closed.

        Raises:
            APIError: the stream failed, and nobody is there to be told.
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

    async def _read(self) -> None:  # noqa: ASYNC910 - nor for this
        try:
            while True:
                event = await self._source.next_event()
                await self._put(event, self._source.text_delta)
        except (StopAsyncIteration, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()  # those who read will be told
        except APIError as error:
            self._failure = error
            if not (self._is_read or self._source.has_subscribers):
                raise

    async def _put(self, event: EventT, text: str) -> None:  # noqa: ASYNC910 - the reader is at one for every event
        """Buffer an event, and wait for room if somebody is going to make it."""
        try:
            self._send.send_nowait((event, text))
        except trio.BrokenResourceError:  # it was given up, or the stream is being closed
            return  # noqa: ASYNC910
        except trio.WouldBlock:
            if not self._is_read and self._source.has_subscribers:
                self._give_up()
                return  # noqa: ASYNC910
            with trio.CancelScope() as self._waiting, contextlib.suppress(trio.BrokenResourceError):
                await self._send.send((event, text))
            if self._waiting.cancelled_caught:
                self._give_up()
                return  # noqa: ASYNC910
        self._put_events += 1

    def on_subscribe(self) -> None:
        """There is a subscriber now: do not keep the stream waiting for somebody who may never iterate it."""
        if self._waiting is not None and not self._is_read:
            self._waiting.cancel()

    def _give_up(self) -> None:
        self._is_given_up = True
        self._receive.close()

    async def receive(self) -> EventT:
        """The next event of the buffer.

        Raises:
            StopAsyncIteration: the stream was whole.
            APIError: it was not.
            trio.ClosedResourceError: it was closed.
            trio.BusyResourceError: another task is reading it.
            RuntimeError: it has been left to its subscribers.
        """
        if self._is_busy:
            raise trio.BusyResourceError("another task is reading this stream")
        if self._is_given_up:
            raise RuntimeError(
                "nobody iterated this stream while its buffer ran over, so it was left to its subscribers: "
                "iterate it from the beginning, or call subscribe(replay=True)"
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
        """Wait until the stream has ended, and take the events of the buffer meanwhile."""
        try:
            if self._is_given_up:
                await self._stopped.wait()
                raise self._end()
            while True:
                await self.receive()
        except StopAsyncIteration:
            await trio.lowlevel.checkpoint()

    def _end(self) -> Exception:
        """Return how the stream ended. It ended cleanly only if every event got into the buffer."""
        if self._failure is not None:
            return self._failure
        self._source.raise_if_closed()
        if self._put_events < self._source.lifecycle.decoder.events and not self._is_given_up:
            return trio.ClosedResourceError("this stream was closed before its last event was handed over")
        return StopAsyncIteration()

    def close(self) -> None:
        """Hand out nothing more: who waits for an event gets `trio.ClosedResourceError`."""
        self._receive.close()

    async def stop(self) -> None:
        """End the task and leave the stream as it is, for another task to go on."""
        self.close()
        self._is_stopping = True
        self._scope.cancel()
        await self._stopped.wait()
