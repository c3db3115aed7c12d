"""The stream that a program holds: it reads the socket when somebody iterates, and never else.

There is no task and no channel behind it. `__anext__` pulls an event out of the reader (`_sansio/reader.py`); when
that has none left, it waits for the next bytes of the body (`_transport.py`) and feeds them in. So a slow consumer
slows the socket, cancelling the consumer cancels the read, and leaving the scope closes the connection without waiting
for anything.

Three rules hold the loop together:

* An event is pulled after the checkpoint, not before it: a cancelled `__anext__` has not swallowed one.
* Everything that is only needed once a read (clocks, timings) is brought up to date once a read, in `_note_progress`.
* The stream ends once: `_let_go` gives the connection up, and the reader remembers how it ended.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import attrs
import httpx
import trio

from ._body import ReadableBody, body_of
from ._request import Exchange
from ._sansio.dialects import Dialect
from ._sansio.reader import END, NEED_DATA, Reader, Signal, State, Verdict
from .errors import APIError
from .types import ChatCompletion, ChatCompletionChunk, Response, ResponseStreamEvent

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")
StreamT = TypeVar("StreamT", bound="Stream[Any, Any]")

_BURST_SECONDS = 0.001  # a burst of events that have arrived already may hold the scheduler that long


@attrs.define
class Timings:
    """When things happened, in seconds from the beginning of the call on trio's clock; None if they have not.

    Attributes:
        headers: the response's head was there.
        first_event: the first event arrived.
        first_content: the first text, reasoning, refusal, tool call or audio arrived.
        last_event: the latest event arrived.
        longest_gap: the longest time between two arrivals of events, as this program saw them.
        retries: attempts that failed before this stream began.
    """

    headers: float | None = None
    first_event: float | None = None
    first_content: float | None = None
    last_event: float | None = None
    longest_gap: float | None = None
    retries: int = 0


class Stream(Generic[EventT, WholeT]):
    """A stream of typed events, and what they add up to. Made by an endpoint's `stream` or `create(stream=True)`.

    Iterate it for the events, exactly as the wire sent them, or iterate `text_deltas`. One task at a time may.

    Every `async for` step is a checkpoint. A step that is cancelled loses nothing: the next one continues.
    """

    def __init__(
        self,
        exchange: Exchange,
        make_dialect: Callable[[], Dialect[EventT, WholeT]],
        open_streams: set[Stream[Any, Any]],
    ) -> None:
        self._exchange = exchange
        self._make_dialect = make_dialect
        self._open_streams = open_streams  # the client's: what it closes when it is closed
        self._reader: Reader[EventT] = Reader(make_dialect())
        self._body: ReadableBody | None = None  # None while there is no connection
        self._busy = False
        self._failure: APIError | None = None  # what the stream failed with, for good
        self._restart_after: APIError | None = None  # why it has to begin anew before it can be read
        self._restarting = trio.CancelScope()
        self._last_pause = 0.0
        self._began = self._arrived = trio.current_time()
        self._events_seen = 0
        self._timings = Timings()

    async def open(self) -> None:
        """Send the request and wait for the head of the response. The endpoints do this."""
        self.response: httpx.Response = await self._exchange.open()
        self._body = body_of(self.response)
        self._open_streams.add(self)
        self._reader = Reader(self._make_dialect(), content_type=self.response.headers.get("content-type", ""))
        self._exchange.clocks.start("first_event", "first_content", "idle")
        self._arrived = trio.current_time()
        self._timings.headers = self._arrived - self._began

    # What a program looks at.

    @property
    def request_id(self) -> str | None:
        """The server's `x-request-id`."""
        return cast("str | None", self.response.headers.get("x-request-id"))

    @property
    def snapshot(self) -> WholeT:
        """What the events handed over so far add up to. Readable at any time, also after an error or a cancellation."""
        return self.dialect.snapshot()

    @property
    def verdict(self) -> Verdict:
        """How the stream ended, or that it is open."""
        return self._reader.verdict

    @property
    def timings(self) -> Timings:
        """When things happened, as of now."""
        self._note_progress()
        return attrs.evolve(self._timings, retries=self._exchange.retries)

    @property
    def text_deltas(self) -> AsyncIterator[str]:
        """Only the text: of choice 0, or of a response's output; no empty pieces.

        Raises, beside what iterating the stream raises:
            APIError: the response failed (`response.failed`), of which the text itself would give no sign.
        """
        return _TextDeltas(self)

    @property
    def dialect(self) -> Dialect[EventT, WholeT]:
        """What this endpoint's events are, and what they have added up to. Internal."""
        return cast("Dialect[EventT, WholeT]", self._reader.dialect)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.verdict}>"

    # Reading.

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventT:
        """The next event.

        Raises:
            StopAsyncIteration: the stream is whole.
            APIError: it is not; see `trio_openai.errors`. What arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed, before or while this waited.
            trio.BusyResourceError: another task is reading it.
        """
        if self._busy:
            raise trio.BusyResourceError("another task is reading this stream")
        self._busy = True
        try:
            while True:  # noqa: ASYNC913 - the checkpoint is in one or the other branch
                try:
                    if self._reader.has_more:  # what has arrived already is handed out in bursts
                        if time.perf_counter() - self._last_pause < _BURST_SECONDS:
                            await trio.lowlevel.checkpoint_if_cancelled()
                        else:
                            await trio.lowlevel.checkpoint()
                            self._last_pause = time.perf_counter()
                    while (event := self._reader.next_event()) is NEED_DATA:
                        await self._fill()
                    break
                except APIError as error:
                    await self._fail_or_restart(error)
        finally:
            self._busy = False
        if event is END or self._reader.ended_by is not None:
            await self._end(park=True)
        if event is END:
            if self._reader.state is State.CLOSED:
                raise trio.ClosedResourceError("this stream has been closed")
            raise StopAsyncIteration
        return event  # noqa: ASYNC910

    async def until_done(self) -> None:
        """Read to the end, and raise what reading raises."""
        async for _ in self:
            pass

    # The same step in two halves, for `sync.py`: a thread takes what is there, the loop waits for more.

    def take(self) -> EventT | Signal:
        """The next event, if it has arrived; `NEED_DATA`: not before `advance`; `END`. Needs no loop. Internal."""
        try:
            return self._reader.next_event()
        except APIError:
            return NEED_DATA  # `advance` sees to it

    @property
    def is_over(self) -> bool:
        """Whether no event can follow; then `advance` gives up the connection. Internal."""
        return self._reader.state in (State.DONE, State.CLOSED)

    async def advance(self) -> None:  # noqa: ASYNC910 - as `_fill`
        """Do what stands between `take` and an event: read once, begin anew, or raise why not. Internal."""
        try:
            if self._reader.error is not None:
                raise self._reader.error
            if self.is_over:
                await self._end(park=True)
            else:
                await self._fill()
        except APIError as error:
            await self._fail_or_restart(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the stream and its connection. Idempotent, callable from any task.

        The connection is closed before anything is waited for, so it is closed even if this is cancelled. A task that
        is reading gets `trio.ClosedResourceError`.
        """
        self._reader.close()
        self._restart_after = None
        self._restarting.cancel()
        await self._end(park=False)

    async def _fill(self) -> None:  # noqa: ASYNC910 - a checkpoint unless bytes came along with the headers
        """Wait for bytes and feed them to the reader."""
        if self._body is None:
            self._body = await self._restart()
        self._note_progress()
        try:
            data = await self._exchange.limited(self._body.read)
        except self._exchange.errors as error:
            self._reader.receive_end(cut_by=str(error) or f"the connection broke ({type(error).__name__})")
        except APIError as error:
            raise self._reader.fail(error) from None
        else:
            if data:
                self._reader.receive_data(data)
            else:
                self._reader.receive_end()
        self._arrived = trio.current_time()
        self._last_pause = time.perf_counter()

    async def _fail_or_restart(self, error: APIError) -> None:
        """Raise the error, unless nothing has been handed over and the policy allows another attempt."""
        if self._failure is not None:
            raise self._failure
        await self._let_go(park=False)
        error.request_id = error.request_id or self.request_id
        if self._reader.events or not self._exchange.may_retry(self._exchange.cleaned(error)):
            self._open_streams.discard(self)
            self._failure = self._exchange.cleaned(self._reader.fail(error))
            raise self._failure
        self._restart_after = error
        self._reader = Reader(self._make_dialect())

    async def _restart(self) -> ReadableBody:
        """Wait as the policy says, and open the stream once more. If this is cancelled, the next step does it."""
        if self._restart_after is None:
            raise trio.ClosedResourceError("this stream has been closed")
        with trio.CancelScope() as self._restarting:
            await self._exchange.pause(self._restart_after)
            await self.open()
        if self._restarting.cancel_called or self._body is None:  # by `aclose`, which then came first
            self._reader.close()
            await self._end(park=False)
            raise trio.ClosedResourceError("this stream has been closed")
        self._restart_after = None
        return self._body

    async def _end(self, *, park: bool) -> None:
        """Be done with the stream. The client need not close it any more."""
        self._open_streams.discard(self)
        await self._let_go(park=park)

    async def _let_go(self, *, park: bool) -> None:
        """Give up the connection, to the pool if it is worth keeping. A checkpoint that cannot be cancelled."""
        self._note_progress()
        body, self._body = self._body, None
        if body is None:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await body.aclose(park=park)

    def _note_progress(self) -> None:
        """Bring clocks and timings up to date with the events that the last read brought."""
        reader, timings, clocks = self._reader, self._timings, self._exchange.clocks
        if reader.events == self._events_seen:
            return
        self._events_seen = reader.events
        now = self._arrived - self._began
        if timings.first_event is None:
            timings.first_event = now
            clocks.stop("first_event")
        if timings.last_event is not None:
            timings.longest_gap = max(timings.longest_gap or 0.0, now - timings.last_event)
        timings.last_event = now
        if timings.first_content is None and reader.dialect.has_content:
            timings.first_content = now
            clocks.stop("first_content")
        clocks.start("idle")


class _TextDeltas:
    """The text of a stream, piece by piece."""

    def __init__(self, stream: Stream[Any, Any]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        stream = self._stream
        try:
            while True:
                await anext(stream)
                if text := stream.dialect.text:
                    return text
        except StopAsyncIteration:
            if (failure := stream.dialect.failure()) is not None:
                failure.request_id = stream.request_id
                raise failure from None
            raise


class ChatCompletionStream(Stream[ChatCompletionChunk, ChatCompletion]):
    """A stream of Chat Completions."""

    async def get_final_completion(self) -> ChatCompletion:
        """Read to the end; the whole completion.

        Raises:
            APIError: it is not whole; what arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed before its end.
        """
        await self.until_done()
        return self.snapshot


class ResponseStream(Stream[ResponseStreamEvent, Response]):
    """A stream of Responses."""

    async def get_final_response(self) -> Response:
        """Read to the end; the response of the terminal event, whether it completed, is incomplete, or failed.

        Raises:
            APIError: there was no terminal event; what arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed before its end.
        """
        await self.until_done()
        return self.snapshot


class StreamManager(Generic[StreamT]):
    """The first door: `async with ... .stream(...) as stream`. However the block is left, the stream is closed."""

    def __init__(self, make: Callable[[], StreamT]) -> None:
        self._make = make
        self._stream: StreamT | None = None

    async def __aenter__(self) -> StreamT:
        if self._stream is not None:
            raise RuntimeError("this stream has been entered already; call stream(...) again for another one")
        self._stream = self._make()
        await self._stream.open()
        return self._stream

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._stream is not None
        await self._stream.aclose()
