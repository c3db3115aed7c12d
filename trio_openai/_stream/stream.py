"""The stream that a program holds, however it was opened, and the ways to open one.

Each of the three doors gives the same `Stream`. It is thin: everything it does is done by its `EventSource`
(`source.py`). For `stream(...)` and `create(stream=True)`, the task that iterates the stream calls the source directly.
For `start_stream(nursery)`, a `BackgroundReader` (`background.py`) calls it in a task of that nursery, and the
iterating task takes the events from a buffer.

The other files of this folder are ways to look at a stream: subscribers (`fanout.py`), deltas and tool calls
(`deltas.py`), structured answers (`parsed.py`), messages and bytes (`raw.py`).
"""

# pyright: reportPrivateUsage=false
# The doors at the end of this file open streams, with methods that programs must not call.

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, cast

import attrs
import trio

from trio_openai._httpx import httpx
from trio_openai._mistakes import EntersAsync, IteratedAsync
from trio_openai._wire.lifecycle import Verdict
from trio_openai._wire.text import Printable
from trio_openai._wire.timings import Timings

from .background import BackgroundReader
from .fanout import Overflow, Subscription, check_buffer
from .source import EventSource

if TYPE_CHECKING:
    from trio_openai._wire.sse_block import ServerSentEvent

    from .results import GivesBoth, Item, Items, ItemsManager, NoCalls, Result

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")
PartT = TypeVar("PartT")
StreamT = TypeVar("StreamT", bound="Stream[Any, Any]")


class Openable(Protocol):
    """A stream of events or of bytes, as far as opening and closing goes."""

    async def _open(self) -> None:
        """Send the request and wait for the head of the response."""
        ...

    async def aclose(self) -> None:
        """Close the connection, before anything is waited for."""
        ...


OpenableT = TypeVar("OpenableT", bound=Openable)
OpenableT_co = TypeVar("OpenableT_co", bound=Openable, covariant=True)
WholeT_co = TypeVar("WholeT_co", covariant=True)
StreamT_co = TypeVar("StreamT_co", covariant=True)


class Stream(Generic[EventT, WholeT]):
    """A stream of typed events, and everything that they add up to.

    Iterate it for the events, exactly as the server sent them, or iterate `text_deltas` for the text only. One task at
    a time may iterate it. Other tasks use `subscribe`. An endpoint's `stream`, `start_stream` and `create` make one.

    Every `async for` step is a checkpoint. A step that is cancelled loses nothing: the next one continues.
    """

    _call: StreamCall[Self] | None = None

    def __init__(self, source: EventSource[EventT, WholeT]) -> None:
        self._source = source
        self._is_in_block = False  # opened by `stream(...)`, whose manager holds a reference
        self._background: BackgroundReader[EventT] | None = None
        self._next: Callable[[], Awaitable[EventT]] = source.next_event
        self._printable = Printable()

    if not TYPE_CHECKING:

        def __iter__(self):
            raise TypeError("write `async for event in stream:`; a program without trio uses SyncOpenAI")

    async def _open(self) -> None:
        await self._source.open()

    def _read_in_background(self, nursery: trio.Nursery, buffer: int) -> None:
        self._background = BackgroundReader(self._source, buffer)
        self._next = self._background.receive
        nursery.start_soon(self._background.run, name=repr(self))

    # What a program looks at.

    @property
    def response(self) -> httpx.Response:
        """The HTTP response: its status and headers."""
        return self._source.opened.response

    @property
    def call(self) -> StreamCall[Self] | None:
        """The call that this stream was made from, by `race`; None for a stream that was opened in another way."""
        return self._call

    @property
    def key(self) -> Any:
        """The key of the call that this stream was made from, by `race`; None for any other stream."""
        return self._call.key if self._call is not None else None

    @property
    def request_id(self) -> str | None:
        """The `x-request-id` header of the response, or None."""
        return self._source.opened.header("x-request-id")

    @property
    def snapshot(self) -> WholeT:
        """Everything that has arrived so far, added up. Readable at any time, also after an error or a cancellation."""
        return self._source.lifecycle.snapshot()

    @property
    def text(self) -> str:
        """The text that has arrived so far: of choice 0, of the transcript, or the output text of a response.

        Readable at any time, also after an error or a cancellation. Empty for streams of pictures and sound.
        """
        text: object = getattr(self.snapshot, "text", "")
        return text if isinstance(text, str) else ""

    @property
    def verdict(self) -> Verdict:
        """The way the stream ended, as data; `open` while it has not ended."""
        return self._source.lifecycle.verdict

    @property
    def timings(self) -> Timings:
        """The times at which things happened, as of now."""
        return self._source.timings

    @property
    def text_deltas(self) -> AsyncIterator[str]:
        """The text only: of choice 0, of a response's output, or of a transcript. Empty pieces are skipped.

        Every piece can be printed. Some servers cut a character in two (a JSON string with half a surrogate pair). The
        first half is held back until the second arrives. A half without the other becomes U+FFFD.

        Raises, besides what iterating the stream raises:
            APIError: the response failed (`response.failed`). The text alone would not show that.
        """
        return DerivedIterator(self._source, self._next_text)

    @property
    def messages(self) -> AsyncIterator[ServerSentEvent]:
        """The server-sent events that the typed events are made from. Iterate them instead of the stream.

        These are all events that the HTML standard dispatches, `[DONE]` among them. One that reports an error comes
        before the error is raised. A stream of `start_stream` has none, because its task reads typed events.

        Raises, besides what iterating the stream raises:
            RuntimeError: something has been read from the stream before.
        """
        from .raw import MessageIterator

        return MessageIterator(self, self._source)

    @property
    def raw_bytes(self) -> AsyncIterator[bytes]:
        """The bytes of the body as they arrive, up to the end of the stream. Iterate them instead of the stream.

        A truncated or failed stream raises the same errors as always, after the bytes that show it. Once the first
        bytes have been handed over, nothing is retried or resumed.

        Raises: as `messages`.
        """
        from .raw import BodyIterator

        return BodyIterator(self, self._source)

    async def _next_text(self) -> str:
        try:
            await self._next()
        except StopAsyncIteration:
            if not (rest := self._printable.end()):
                raise
            return rest  # noqa: ASYNC910 - the read was a checkpoint
        return self._printable.add((self._background or self._source).text_delta)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.verdict}>"

    # Reading.

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[EventT]:
        """Return the next event.

        Raises:
            StopAsyncIteration: the stream is complete.
            APIError: the stream failed or was truncated; see `trio_openai.errors`. The error's `partial` has what
                arrived, and every further call raises the same error.
            trio.ClosedResourceError: the stream was closed, before this call or while it waited.
            trio.BusyResourceError: another task is reading the stream.
        """
        return self._next()

    async def until_done(self) -> None:
        """Read to the end, and raise what reading raises."""
        if self._background is not None:
            await self._background.until_done()
            return
        async for _ in self:
            pass

    def subscribe(self, buffer: int = 0, overflow: Overflow = "wait", *, replay: bool = False) -> Subscription[EventT]:
        """Deliver the events to one more reader as well.

        The task that reads this stream also delivers its events, so a subscriber gets events only while some task
        reads the stream.

        Args:
            buffer: the number of events that may wait for the subscriber. At least 1, unless `overflow` is "wait".
            overflow: what to do with an event when the buffer is full. "wait": wait for the subscriber, which slows
                down the stream and the server. "drop_oldest", "drop_newest": drop an event and count it. "coalesce":
                merge adjacent deltas of one kind, so that no character is lost and the order stays; wait where events
                cannot be merged. "fail": end the subscription with `trio.BrokenResourceError`.
            replay: begin with the first event of the stream, even if this is called later. The events are decoded again
                from the bytes of the body while the subscriber receives them. Unless a replay is asked for earlier, the
                first 64 KiB of a body are kept for that.

        Returns:
            A `trio.abc.ReceiveChannel`. It ends as the stream ends: cleanly if the stream was complete and every event
            was delivered, otherwise with `trio.BrokenResourceError` caused by the stream's error.

        Raises:
            ValueError: `overflow` is not a policy, or `buffer` is negative.
            RuntimeError: the beginning of the body has not been kept. Receiving also raises it if no task could ever
                read the stream, because the task that waits for an event is the only one that could.
        """
        first = self._source.replay() if replay else None
        subscription = self._source.subscribe(buffer, overflow, first)
        if self._background is not None:
            self._background.on_subscribe()
        elif self._is_in_block:
            subscription.expect_reader(self, self._source)
        return subscription

    # Closing.

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the stream and its connection. Idempotent, callable from any task.

        The connection is closed before anything is waited for, so it is closed even if this is cancelled. A task that
        is reading gets `trio.ClosedResourceError`. Subscribers get `trio.BrokenResourceError`. `snapshot`, `text`,
        `verdict` and `timings` stay readable.
        """
        if self._background is not None:
            self._background.close()
        await self._source.aclose()

    async def settle(self, seconds: float) -> None:
        """Read on for up to `seconds` without handing over events, and close.

        Use it to stop early and still learn the usage, which comes at the end. `snapshot` takes in the events, and
        `verdict` tells whether the end was reached. A failure while reading on is not raised, and nothing is retried.
        If this is cancelled, the stream is closed.

        Args:
            seconds: the longest time to read on.

        Raises:
            trio.BusyResourceError: another task is iterating the stream. The stream stays as it is.
        """
        try:
            if self._background is not None:
                await self._background.stop()
        except BaseException:
            await self.aclose()
            raise
        await self._source.settle(seconds)


class DerivedIterator(IteratedAsync, Generic[PartT]):
    """Something that is derived from a stream's events: its text, its deltas.

    Args:
        source: the stream's source.
        step: reads one event and returns what is derived from it. Empty values are skipped.
    """

    def __init__(self, source: EventSource[Any, Any], step: Callable[[], Awaitable[PartT | None]]) -> None:
        self._source = source
        self._step = step

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PartT:
        try:
            while True:
                if part := await self._step():
                    return part
        except StopAsyncIteration:
            if (failure := self._source.failure()) is not None:
                raise failure from None
            raise


@attrs.frozen(eq=False)
class StreamCall(Generic[StreamT_co]):
    """A call that has not been made yet, for `stream_many`, `run_many` and `race`. It can be made more than once.

    Attributes:
        key: Identifies the call in its results.
        make: Makes a stream that has not been opened.
    """

    key: Any
    make: Callable[[], StreamT_co] = attrs.field(repr=False)

    if TYPE_CHECKING:  # the types of the results; see `results.py`

        @property
        def _results(self: StreamCall[GivesBoth[Any, WholeT]]) -> ItemsManager[Items[Result[WholeT]]] | NoCalls: ...
        @property
        def _items(
            self: StreamCall[GivesBoth[EventT, WholeT]],
        ) -> ItemsManager[Items[Item[EventT, WholeT]]] | NoCalls: ...


async def start(make: Callable[[], StreamT], nursery: trio.Nursery, buffer: int) -> StreamT:
    """Open a stream and start a task in the nursery that reads it: the door `start_stream`.

    Raises:
        ValueError: `buffer` is not a number of events.
        APIError: the request failed.
        RuntimeError: the nursery is closed. The stream is closed too.
    """
    check_buffer(buffer)
    stream = make()
    await stream._open()
    try:
        stream._read_in_background(nursery, buffer)
    except RuntimeError:
        await stream.aclose()
        raise
    return stream  # without a checkpoint, so that the caller can read it before its task can fail


class _HasSnapshot(Protocol[WholeT_co]):
    @property
    def snapshot(self) -> WholeT_co: ...


class _HasProgress(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def timings(self) -> Timings: ...


class StreamManager(EntersAsync, Generic[OpenableT_co]):
    """The door `stream(...)`: `async with client.E.stream(...) as stream`. Leaving the block closes the stream.

    It also tells how far the stream has come: before, inside and after the block, and if the block was never entered
    because opening the stream failed or was cancelled. So a program can put a deadline around the block and look
    afterwards:

        manager = client.chat.completions.stream(...)
        with trio.move_on_after(5):
            async with manager as stream:
                await stream.until_done()
        print(manager.verdict, manager.text)
    """

    def __init__(self, make: Callable[[], OpenableT_co]) -> None:
        self._make: Callable[[], OpenableT_co] | None = make  # until it is made, so that the parameters can go
        self._made: OpenableT_co | None = None
        self._is_entered = False

    async def __aenter__(self) -> OpenableT_co:
        if self._is_entered:
            raise RuntimeError("this stream has been entered already; call stream(...) again for another one")
        self._is_entered = True
        stream = self._stream()
        await stream._open()
        if isinstance(opened := cast("Any", stream), Stream):
            opened._is_in_block = True
        return stream

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stream().aclose()

    def _stream(self) -> OpenableT_co:
        if self._made is None:
            assert self._make is not None
            self._made = self._make()
            self._make = None
        return self._made

    @property
    def snapshot(self: StreamManager[_HasSnapshot[WholeT]]) -> WholeT:  # type: ignore[type-var]
        """Everything that has arrived so far, added up; see `Stream.snapshot`."""
        return self._stream().snapshot

    @property
    def text(self: StreamManager[_HasProgress]) -> str:  # type: ignore[type-var]
        """The text that has arrived so far; see `Stream.text`."""
        return self._stream().text

    @property
    def verdict(self: StreamManager[_HasProgress]) -> Verdict:  # type: ignore[type-var]
        """The way the stream ended; see `Stream.verdict`."""
        return self._stream().verdict

    @property
    def timings(self: StreamManager[_HasProgress]) -> Timings:  # type: ignore[type-var]
        """The times at which things happened; see `Stream.timings`."""
        return self._stream().timings


# For the other folders of the package. A program cannot see the inside of its stream.


async def open_stream(stream: Openable) -> None:
    """Send the request of a stream and wait for the head of the response.

    Raises:
        APIError: the request failed.
    """
    await stream._open()


def stream_of(call: StreamCall[StreamT]) -> StreamT:
    """Make the stream of a call. The stream knows its call."""
    stream = call.make()
    stream._call = call
    return stream


def source_of(stream: Stream[EventT, WholeT]) -> EventSource[EventT, WholeT]:
    """Return the source of a stream."""
    return stream._source
