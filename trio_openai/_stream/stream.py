"""The stream that a program holds, however it was opened, and the ways to open one.

Each of the three doors gives the same `Stream`. It is thin: everything it does is done by its `EventSource`
(`source.py`). For `stream(...)` and `create(stream=True)`, the task that iterates the stream calls the source directly.
For `start_stream(nursery)`, a `BackgroundReader` (`background.py`) calls it in a task of that nursery, and the
iterating task takes the events from a buffer.

The other files of this folder are ways to look at a stream: subscribers (`fanout.py`), deltas and tool calls
(`deltas.py`), structured answers (`parsed.py`), messages and bytes (`raw.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, cast

import attrs
import httpx
import trio

from trio_openai._mistakes import EntersAsync, IteratedAsync
from trio_openai._wire.lifecycle import Verdict
from trio_openai._wire.text import Printable

from .background import BackgroundReader
from .fanout import Overflow, Subscription
from .source import EventSource
from .timings import Timings

if TYPE_CHECKING:  # they are made when they are first asked for: see `types/__init__.py`
    from trio_openai import types  # noqa: F401 - for the bases below
    from trio_openai._wire.sse import ServerSentEvent


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


class Stream(Generic[EventT, WholeT]):
    """A stream of typed events, and what they add up to. Made by an endpoint's `stream`, `start_stream` or `create`.

    Iterate it for the events, exactly as the wire sent them, or iterate `text_deltas`. One task at a time may; others
    `subscribe`.

    Every `async for` step is a checkpoint. A step that is cancelled loses nothing: the next one continues.
    """

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
        """The response: status and headers."""
        return self._source.response

    @property
    def request_id(self) -> str | None:
        """The server's `x-request-id`."""
        return cast("str | None", self.response.headers.get("x-request-id"))

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
        """How the stream ended, or that it is open."""
        return self._source.lifecycle.verdict

    @property
    def timings(self) -> Timings:
        """When things happened, as of now."""
        return self._source.timings

    @property
    def text_deltas(self) -> AsyncIterator[str]:
        """Only the text: of choice 0, of a response's output, or of a recording; no empty pieces.

        Every piece can be printed: half a character, as servers that cut strings send it, is held back until the other
        half arrives. One whose other half never comes is the replacement character.

        Raises, beside what iterating the stream raises:
            APIError: the response failed (`response.failed`), of which the text itself would give no sign.
        """
        return DerivedIterator(self._source, self._next_text)

    @property
    def messages(self) -> AsyncIterator[ServerSentEvent]:
        """The server-sent messages that the events are made of, to be iterated in place of them from the beginning on.

        Each is one that the HTML standard dispatches, also `[DONE]` and one that reports an error: then comes the
        error. A stream that a task of a nursery reads has none.

        Raises, beside what iterating the stream raises:
            RuntimeError: on iterating: something else has been read from the stream before.
        """
        from .raw import MessageIterator

        return MessageIterator(self, self._source)

    @property
    def raw_bytes(self) -> AsyncIterator[bytes]:
        """The body's bytes as they come, up to the stream's end, to be iterated in place of the events.

        They are judged all the same: if what came is not whole, or is an error, that is raised after the piece that has
        the end. After the first piece nothing is retried or resumed.

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
        """The next event.

        Raises:
            StopAsyncIteration: the stream is whole.
            APIError: it is not; see `trio_openai.errors`. What arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed, before or while this waited.
            trio.BusyResourceError: another task is reading it.
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
        """Have the events delivered to one more reader. Whoever reads this stream delivers them, so somebody has to.

        Args:
            buffer: how many events may wait for the subscriber; at least 1 unless `overflow` is "wait".
            overflow: what happens when there are as many. "wait": the stream does, and so does the server.
                "drop_oldest", "drop_newest": an event is lost, and counted. "coalesce": adjacent deltas of one kind are
                merged while they wait, so that no character is lost and no order changed; what cannot be merged is
                waited for. "fail": the subscription ends with `trio.BrokenResourceError`.
            replay: begin with the first event of the stream, whenever this is called. The events are made anew from the
                bytes of the body while the subscriber receives them. Of a stream that nobody has asked to replay, the
                first 64 KiB are kept.

        Returns:
            A `trio.abc.ReceiveChannel`, which ends as the stream does: cleanly if it was whole, otherwise with
            `trio.BrokenResourceError` from the stream's error.

        Raises:
            ValueError: there is no such policy, or the buffer is negative.
            RuntimeError: it is too late for a replay. Also while receiving, if it is certain that nobody will ever read
                the stream: the task that waits is the only one that could.
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
        is reading gets `trio.ClosedResourceError`, subscribers get `trio.BrokenResourceError`.
        """
        if self._background is not None:
            self._background.close()
        await self._source.aclose()

    async def settle(self, seconds: float) -> None:
        """Stop delivering, read on for up to so many seconds, for the usage that comes at the end, and close.

        Nobody gets another event; `snapshot` takes them in, and `verdict` tells whether the end was reached. What goes
        wrong meanwhile is no error. Cancelling it closes the stream.

        Raises:
            trio.BusyResourceError: another task is iterating the stream, which stays as it is.
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
class StreamCall(Generic[StreamT]):
    """A call that has yet to be made: for `stream_many`, `run_many` and `race`. It can be made more than once.

    Attributes:
        key: what its results are told apart by.
    """

    key: Any
    make: Callable[[], StreamT] = attrs.field(repr=False)


async def start(make: Callable[[], StreamT], nursery: trio.Nursery, buffer: int) -> StreamT:
    """The second door: open a stream, and have a task in the nursery read it.

    Raises:
        APIError: it could not be opened.
        RuntimeError: the nursery has been left. The stream is closed.
    """
    if type(buffer) is not int or buffer < 0:
        raise ValueError("buffer takes a number of events, zero or more")
    stream = make()
    await stream._open()
    try:
        stream._read_in_background(nursery, buffer)
    except RuntimeError:
        await stream.aclose()
        raise
    return stream  # without a checkpoint: whoever gets it can read it before the task has failed


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
    """The first door: `async with client.E.stream(...) as stream`. However the block is left, the stream is closed.

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
        self._make = make
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
            self._made = self._make()
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
        """How the stream ended, or that it is open; see `Stream.verdict`."""
        return self._stream().verdict

    @property
    def timings(self: StreamManager[_HasProgress]) -> Timings:  # type: ignore[type-var]
        """When things happened; see `Stream.timings`."""
        return self._stream().timings


# For the other folders of the package. A program cannot see the inside of its stream.


async def open_stream(stream: Openable) -> None:
    """Send the request of a stream and wait for the head of the response.

    Raises:
        APIError: the request failed.
    """
    await stream._open()


def source_of(stream: Stream[EventT, WholeT]) -> EventSource[EventT, WholeT]:
    """Return the source of a stream."""
    return stream._source
