"""The stream that a program holds, whichever of the three doors it came through.

The task that iterates it reads an `EventSource` (`source.py`) directly. Behind `start_stream`, a `Pump`
(`background.py`) reads the source in a task of the caller's nursery.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, cast

import attrs
import httpx
import trio

from trio_openai._wire.reader import Verdict
from trio_openai._wire.text import Printable

from .background import Pump
from .fanout import Overflow, Subscription
from .mistakes import EntersAsync, IteratedAsync
from .source import EventSource
from .timings import Timings

if TYPE_CHECKING:  # they are made when they are first asked for: see `types/__init__.py`
    from trio_openai import types  # noqa: F401 - for the bases below
    from trio_openai._wire.sse import ServerSentEvent
    from trio_openai.types import (
        ChatCompletion,
        Completion,
        Delta,
        ImagesResponse,
        Response,
        Speech,
        ToolCallDone,
        Transcription,
    )

    from .deltas import Follower

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")
PartT = TypeVar("PartT")
StreamT = TypeVar("StreamT", bound="Stream[Any, Any]")


class Openable(Protocol):
    """What a block opens and closes."""

    async def open(self) -> None:
        """Send the request and wait for the head of the response."""
        ...

    async def aclose(self) -> None:
        """Close the connection, before anything is waited for."""
        ...


OpenableT = TypeVar("OpenableT", bound=Openable)


class Stream(Generic[EventT, WholeT]):
    """A stream of typed events, and what they add up to. Made by an endpoint's `stream`, `start_stream` or `create`.

    Iterate it for the events, exactly as the wire sent them, or iterate `text_deltas`. One task at a time may; others
    `subscribe`.

    Every `async for` step is a checkpoint. A step that is cancelled loses nothing: the next one continues.
    """

    def __init__(self, source: EventSource[EventT, WholeT]) -> None:
        self._source = source
        self.is_in_block = False  # of `stream(...)`, whose manager holds it
        self._pump: Pump[EventT] | None = None
        self._next: Callable[[], Awaitable[EventT]] = source.next_event
        self._printable = Printable()

    if not TYPE_CHECKING:

        def __iter__(self):
            raise TypeError("write `async for event in stream:`; a program without trio uses SyncOpenAI")

    async def open(self) -> None:
        """Send the request and wait for the head of the response. The endpoints do this."""
        await self._source.open()

    async def read_ahead(self) -> bool:
        """Read until there is content, and hand those events out later. Returns whether there was any. Internal."""
        self._next = self._source.next_ahead
        return await self._source.read_ahead()

    def pump_in(self, nursery: trio.Nursery, buffer: int) -> None:
        """Have a task in a nursery read it. `start_stream` does this."""
        self._pump = Pump(self._source, buffer)
        self._next = self._pump.receive
        nursery.start_soon(self._pump.run, name=repr(self))

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
        """What the events that were read add up to. Readable at any time, also after an error or a cancellation."""
        return self._source.protocol.snapshot()

    @property
    def verdict(self) -> Verdict:
        """How the stream ended, or that it is open."""
        return self._source.reader.verdict

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
        return View(self._source, self._next_text)

    @property
    def messages(self) -> AsyncIterator[ServerSentEvent]:
        """The server-sent messages that the events are made of, to be iterated in place of them from the beginning on.

        Each is one that the HTML standard dispatches, also `[DONE]` and one that reports an error: then comes the
        error. A stream that a task of a nursery reads has none.

        Raises, beside what iterating the stream raises:
            RuntimeError: on iterating: something else has been read from the stream before.
        """
        from .raw import Messages

        return Messages(self)

    @property
    def raw_bytes(self) -> AsyncIterator[bytes]:
        """The body's bytes as they come, up to the stream's end, to be iterated in place of the events.

        They are judged all the same: if what came is not whole, or is an error, that is raised after the piece that has
        the end. After the first piece nothing is retried or resumed.

        Raises: as `messages`.
        """
        from .raw import RawBytes

        return RawBytes(self)

    @property
    def text(self) -> str:
        """What the event that was handed over last adds to the main text. Internal."""
        return (self._pump or self._source).text

    async def _next_text(self) -> str:
        try:
            await self._next()
        except StopAsyncIteration:
            if not (rest := self._printable.end()):
                raise
            return rest  # noqa: ASYNC910 - the read was a checkpoint
        return self._printable.add(self.text)

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
        if self._pump is not None:
            await self._pump.until_done()
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
        if self._pump is not None:
            self._pump.on_subscribe()
        elif self.is_in_block:
            subscription.expect_reader(self, self._source)
        return subscription

    @property
    def source(self) -> EventSource[EventT, WholeT]:
        """Where the events come from. Internal."""
        return self._source

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
        if self._pump is not None:
            self._pump.close()
        await self._source.aclose()

    async def settle(self, seconds: float) -> None:
        """Stop delivering, read on for up to so many seconds, for the usage that comes at the end, and close.

        Nobody gets another event; `snapshot` takes them in, and `verdict` tells whether the end was reached. What goes
        wrong meanwhile is no error. Cancelling it closes the stream.

        Raises:
            trio.BusyResourceError: another task is iterating the stream, which stays as it is.
        """
        try:
            if self._pump is not None:
                await self._pump.stop()
        except BaseException:
            await self.aclose()
            raise
        await self._source.settle(seconds)


class View(IteratedAsync, Generic[PartT]):
    """What is made of a stream's events: its text, its deltas. `step` reads an event; what is empty is passed over."""

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


class AnswerStream(Stream[EventT, WholeT]):
    """A stream of what a model answers, of either API."""

    _follower: Follower[EventT] | None = None

    @property
    def deltas(self) -> AsyncIterator[Delta]:
        """What the events say, part by part: of text, reasoning, refusals and tool calls, in every choice.

        Each step is a `ContentDelta`, `ReasoningDelta`, `RefusalDelta` or `ToolCallArgumentsDelta`; or a `ContentDone`,
        `ReasoningDone`, `RefusalDone` or `ToolCallDone` with the whole part, as soon as that is known to be whole. The
        last ones of a chat may come after its last event. They are of one shape for both APIs.

        What events say that are read in another way (by iterating the stream, or `text_deltas`) is in the parts and
        their snapshots, but is not handed out here. Iterators of `deltas` and `tool_calls` of one stream share what
        they read.

        Raises, beside what iterating the stream raises:
            APIError: the response failed (`response.failed`). Parts that were cut are never reported as done.
            RuntimeError: of a stream that is read ahead (`start_stream`, `race`), events have been read in another way
                before, and what they said has not been kept.
        """
        return View(self._source, lambda: self._follow().next_delta())

    @property
    def tool_calls(self) -> AsyncIterator[ToolCallDone]:
        """The tool calls, each as soon as it is complete, in any interleaving: `deltas`, and of these nothing else."""
        return View(self._source, lambda: self._follow().next_tool_call())

    def _follow(self) -> Follower[EventT]:
        if self._follower is None:
            from .deltas import Follower

            self._follower = Follower(self._source, self._next, (self._pump or self._source).handed_out)
            self._next = self._follower.next_event
        return self._follower


class ChatCompletionStream(AnswerStream["types.ChatCompletionChunk", "types.ChatCompletion"]):
    """A stream of Chat Completions."""

    async def get_final_completion(self) -> ChatCompletion:
        """Read to the end; the whole completion.

        Raises:
            APIError: it is not whole; what arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed before its end.
        """
        await self.until_done()
        return self.snapshot


class ResponseStream(AnswerStream["types.ResponseStreamEvent", "types.Response"]):
    """A stream of Responses."""

    async def get_final_response(self) -> Response:
        """Read to the end; the response of the terminal event, whether it completed, is incomplete, or failed.

        Raises:
            APIError: there was no terminal event; what arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed before its end.
        """
        await self.until_done()
        return self.snapshot


class CompletionStream(Stream["types.Completion", "types.Completion"]):
    """A stream of Completions, the endpoint without a chat."""

    async def get_final_completion(self) -> Completion:
        """Read to the end; the whole completion. Raises as `ChatCompletionStream`'s."""
        await self.until_done()
        return self.snapshot


class ImageStream(Stream["types.ImageStreamEvent", "types.ImagesResponse"]):
    """A stream of pictures. In the snapshot, the latest sketch stands for a picture that is not whole."""

    async def get_final_images(self) -> ImagesResponse:
        """Read to the end; the whole pictures. Raises as `ChatCompletionStream`'s."""
        await self.until_done()
        return self.snapshot


class TranscriptionStream(Stream["types.TranscriptionStreamEvent", "types.Transcription"]):
    """A stream of the text of a recording."""

    async def get_final_transcription(self) -> Transcription:
        """Read to the end; the whole text. Raises as `ChatCompletionStream`'s."""
        await self.until_done()
        return self.snapshot


class SpeechStream(Stream["types.SpeechStreamEvent", "types.Speech"]):
    """A stream of sound."""

    async def get_final_speech(self) -> Speech:
        """Read to the end; the whole sound. Raises as `ChatCompletionStream`'s."""
        await self.until_done()
        return self.snapshot


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
    await stream.open()
    try:
        stream.pump_in(nursery, buffer)
    except RuntimeError:
        await stream.aclose()
        raise
    return stream  # without a checkpoint: whoever gets it can read it before the task has failed


class StreamManager(EntersAsync, Generic[OpenableT]):
    """The first door: `async with ... .stream(...) as stream`. However the block is left, the stream is closed."""

    def __init__(self, make: Callable[[], OpenableT]) -> None:
        self._make = make
        self._stream: OpenableT | None = None

    async def __aenter__(self) -> OpenableT:
        if self._stream is not None:
            raise RuntimeError("this stream has been entered already; call stream(...) again for another one")
        self._stream = stream = self._make()
        await stream.open()
        if isinstance(opened := cast("Any", stream), Stream):
            opened.is_in_block = True
        return stream

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._stream is not None
        await self._stream.aclose()
