"""The stream that a thread holds: a `Stream` in a loop, read half here, half there.

The loop waits for bytes (`advance`); the thread that iterates makes events of them (`take`). So a read costs a way to
the loop and back, whatever the number of events that it brings. Nothing is read ahead: what the thread has not asked
for stays in the socket. And a snapshot is exactly of what has been handed over.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import httpx
import trio

from trio_openai._protocols.deltas import Following, HasDeltas
from trio_openai._stream.bytes import ByteStream
from trio_openai._stream.parsed import ParsedChatCompletionStream, ParsedResponseStream
from trio_openai._stream.stream import Stream, source_of
from trio_openai._stream.timings import Timings
from trio_openai._wire.lifecycle import Decision, Verdict
from trio_openai._wire.sse import ServerSentEvent
from trio_openai._wire.text import Printable
from trio_openai.types import (
    ChatCompletion,
    ChatCompletionChunk,
    Completion,
    Delta,
    ImagesResponse,
    ImageStreamEvent,
    ParsedChatCompletion,
    ParsedResponse,
    Response,
    ResponseStreamEvent,
    Speech,
    SpeechStreamEvent,
    ToolCallDone,
    Transcription,
    TranscriptionStreamEvent,
    Unparsed,
)

from .portal import Portal
from .views import SyncBodyIterator, SyncDerivedIterator, SyncMessageIterator

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")
HeldT = TypeVar("HeldT", bound="Stream[Any, Any] | ByteStream")
T = TypeVar("T")


class Held(Generic[HeldT]):
    """What a thread holds of a stream in a loop, and closes."""

    def __init__(self, stream: HeldT, portal: Portal[Any], owner: object) -> None:
        self._stream = stream
        self._portal = portal
        self._owner = owner  # as long as there is a stream, the client is not collected

    @property
    def response(self) -> httpx.Response:
        """The HTTP response: its status and headers."""
        return self._stream.response

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream and its connection. Idempotent, callable from any thread that runs no event loop.

        A thread that is reading gets `trio.ClosedResourceError`.
        """
        try:
            self._portal.run(self._stream.aclose)
        except trio.ClosedResourceError:
            pass  # with the client, or with the loop


class SyncStream(Held[Stream[EventT, WholeT]], Generic[EventT, WholeT]):
    """A stream of typed events, and what they add up to. Made by an endpoint's `stream` or `create(stream=True)`.

    Iterate it for the events, exactly as the wire sent them, or iterate `text_deltas`. One thread at a time may; the
    rest of it can be used from any thread.

    An interrupt (Ctrl-C, or another signal whose handler raises) while this waits for the server closes the stream, and
    comes out as it is.
    """

    def __init__(self, stream: Stream[EventT, WholeT], portal: Portal[Any], owner: object) -> None:
        # Set first, since attributes are dropped in order: the stream has to be closed, and to warn, before its client.
        self._source = source_of(stream)
        super().__init__(stream, portal, owner)
        self._reading = threading.RLock()  # whose thread iterates
        self._folding = threading.RLock()  # held while events are folded in, or what they add up to is looked at
        self._printable = Printable()

    @property
    def request_id(self) -> str | None:
        """The server's `x-request-id`."""
        return self._stream.request_id

    @property
    def snapshot(self) -> WholeT:
        """What the events handed over so far add up to. Readable at any time, also after an error or an interrupt."""
        with self._folding:
            return self._stream.snapshot

    @property
    def text(self) -> str:
        """The text that has arrived so far; see `Stream.text`."""
        with self._folding:
            return self._stream.text

    @property
    def verdict(self) -> Verdict:
        """How the stream ended, or that it is open."""
        with self._folding:
            return self._stream.verdict

    @property
    def timings(self) -> Timings:
        """When things happened, as of now."""
        with self._folding:
            return self._stream.timings

    @property
    def text_deltas(self) -> Iterator[str]:
        """Only the text: of choice 0, of a response's output, or of a recording; no empty pieces.

        Every piece can be printed: see `Stream.text_deltas`.

        Raises, beside what iterating the stream raises:
            APIError: the response failed (`response.failed`), of which the text itself would give no sign.
        """
        return SyncDerivedIterator(self._source, self._next_text)

    def _next_text(self) -> str:
        try:
            next(self)
        except StopIteration:
            if not (rest := self._printable.end()):
                raise
            return rest
        return self._printable.add(self._source.text_delta)

    @property
    def messages(self) -> Iterator[ServerSentEvent]:
        """The server-sent messages that the events are made of, to be iterated in place of them from the beginning on.

        See `Stream.messages`.
        """
        return SyncMessageIterator(self, self._source, self._claimed)

    @property
    def raw_bytes(self) -> Iterator[bytes]:
        """The body's bytes as they come, up to the stream's end, to be iterated in place of the events.

        See `Stream.raw_bytes`.
        """
        return SyncBodyIterator(self._source, self._claimed, self._next_step, self._carry_out)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.verdict}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> EventT:
        """The next event.

        Raises:
            StopIteration: the stream is whole.
            APIError: it is not; see `trio_openai.errors`. What arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed, before or while this waited.
            trio.BusyResourceError: another thread is reading it.
            trio.Cancelled: this is a worker of `trio.to_thread.run_sync`, and its task was cancelled.
        """
        self._begin_reading()
        try:
            return self._step()
        finally:
            self._reading.release()

    def _step(self) -> EventT:
        self._portal.check_cancelled()
        while isinstance(step := self._next_step(), Decision):
            self._carry_out(step)
        return step

    @contextlib.contextmanager
    def _claimed(self) -> Generator[None]:
        """A block in which one thread reads.

        Raises:
            trio.BusyResourceError: another one does.
            trio.Cancelled: the worker's task was cancelled.
        """
        self._begin_reading()
        try:
            self._portal.check_cancelled()
            yield
        finally:
            self._reading.release()

    def until_done(self) -> None:
        """Read to the end, and raise what reading raises."""
        for _ in self:
            pass

    def settle(self, seconds: float) -> None:
        """Stop delivering, read on for up to so many seconds, for the usage that comes at the end, and close.

        What goes wrong meanwhile is no error; `verdict` tells whether the end was reached. An interrupt closes the
        stream.

        Raises:
            trio.BusyResourceError: another thread is reading the stream, which stays as it is.
        """
        self._begin_reading()
        try:
            with self._folding:
                self._portal.run(lambda: self._stream.settle(seconds), undo=self._stream.aclose)
        finally:
            self._reading.release()

    def _begin_reading(self) -> None:
        if not self._reading.acquire(blocking=False):
            raise trio.BusyResourceError("another thread is reading this stream")

    def _next_step(self) -> EventT | Decision:
        with self._folding:
            step = self._source.lifecycle.next()
            self._source.lifecycle.decoder.add_up()  # here, where this thread holds the lock
        return step

    def _carry_out(self, step: Decision) -> None:
        """Have the loop do what the lifecycle decided.

        Raises:
            StopIteration: the stream is complete.
            APIError: the stream failed.
            trio.ClosedResourceError: the stream was closed.
        """
        if step is Decision.END:
            raise StopIteration
        if step in (Decision.FAIL, Decision.CLOSED):
            raise self._source.finish(step)
        self._portal.run(self._source.carry_out, step, undo=self._stream.aclose)


class SyncAnswerStream(SyncStream[EventT, WholeT]):
    """A stream of what a model answers, of either API."""

    _following: Following | None = None

    @property
    def deltas(self) -> Iterator[Delta]:
        """What the events say, part by part: of text, reasoning, refusals and tool calls, in every choice.

        As `deltas` of `trio_openai.ChatCompletionStream` and `ResponseStream`.
        """
        return SyncDerivedIterator(self._source, self._next_delta)

    @property
    def tool_calls(self) -> Iterator[ToolCallDone]:
        """The tool calls, each as soon as it is complete, in any interleaving: `deltas`, and of these nothing else."""
        return SyncDerivedIterator(self._source, self._next_tool_call)

    def _next_delta(self) -> Delta | None:
        self._begin_reading()
        try:
            following = self._following or self._follow()
            if following.waiting:
                self._portal.check_cancelled()
                self._source.raise_if_closed()
                return following.waiting.popleft()
            try:
                next(self)
            except StopIteration:
                if (last := following.first_at_end(self._source.lifecycle.decoder.events)) is None:
                    raise
                return last
            return following.first_said()
        finally:
            self._reading.release()

    def _next_tool_call(self) -> ToolCallDone | None:
        delta = self._next_delta()
        return delta if isinstance(delta, ToolCallDone) else None

    def _follow(self) -> Following:
        """From now on, have all events added up part by part, whoever asks for them."""
        with self._folding:
            events = self._source.lifecycle.decoder.events
            following = Following(cast("HasDeltas", self._source.protocol).deltas(), events)
        next_step = self._next_step

        def followed() -> EventT | Decision:
            if not isinstance(step := next_step(), Decision):
                following.add(step)
            return step

        self._next_step = followed  # type: ignore[method-assign]  # other streams do not pay for this
        self._following = following
        return following


class SyncChatCompletionStream(SyncAnswerStream[ChatCompletionChunk, ChatCompletion]):
    """A stream of Chat Completions."""

    def get_final_completion(self) -> ChatCompletion:
        """Read to the end; the whole completion.

        Raises:
            APIError: it is not whole; what arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed before its end.
        """
        self.until_done()
        return self.snapshot


class SyncResponseStream(SyncAnswerStream[ResponseStreamEvent, Response]):
    """A stream of Responses."""

    def get_final_response(self) -> Response:
        """Read to the end; the response of the terminal event, whether it completed, is incomplete, or failed.

        Raises:
            APIError: there was no terminal event; what arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed before its end.
        """
        self.until_done()
        return self.snapshot


class SyncParsedChatCompletionStream(SyncChatCompletionStream, Generic[T]):
    """A stream of Chat Completions that was asked for with `response_format=` a class."""

    _stream: ParsedChatCompletionStream[T]

    @property
    def snapshot(self) -> ParsedChatCompletion[T]:
        """What the events handed over so far add up to. Readable at any time, also after an error or an interrupt."""
        with self._folding:
            return self._stream.snapshot

    @property
    def parsed(self) -> T | Unparsed:
        """The answer as an object of the class, or an `Unparsed`. As `ParsedChatCompletionStream`'s."""
        with self._folding:
            return self._stream.parsed

    @property
    def parsed_partial(self) -> dict[str, Any]:
        """The answer as far as it has come. As `ParsedChatCompletionStream`'s."""
        with self._folding:
            return self._stream.parsed_partial

    def get_final_completion(self) -> ParsedChatCompletion[T]:
        """As `SyncChatCompletionStream`'s. Whether the answer fits the class is told by its `parsed`."""
        self.until_done()
        return self.snapshot


class SyncParsedResponseStream(SyncResponseStream, Generic[T]):
    """A stream of Responses that was asked for with `text_format=` a class."""

    _stream: ParsedResponseStream[T]

    @property
    def snapshot(self) -> ParsedResponse[T]:
        """What the events handed over so far add up to. Readable at any time, also after an error or an interrupt."""
        with self._folding:
            return self._stream.snapshot

    @property
    def parsed(self) -> T | Unparsed:
        """The answer as an object of the class, or an `Unparsed`. As `ParsedResponseStream`'s."""
        with self._folding:
            return self._stream.parsed

    @property
    def parsed_partial(self) -> dict[str, Any]:
        """The answer as far as it has come. As `ParsedChatCompletionStream`'s."""
        with self._folding:
            return self._stream.parsed_partial

    def get_final_response(self) -> ParsedResponse[T]:
        """As `SyncResponseStream`'s. Whether the answer fits the class is told by its `parsed`."""
        self.until_done()
        return self.snapshot


class SyncCompletionStream(SyncStream[Completion, Completion]):
    """A stream of Completions, the endpoint without a chat."""

    def get_final_completion(self) -> Completion:
        """Read to the end; the whole completion. Raises as `SyncChatCompletionStream`'s."""
        self.until_done()
        return self.snapshot


class SyncImageStream(SyncStream[ImageStreamEvent, ImagesResponse]):
    """A stream of pictures. In the snapshot, the latest sketch stands for a picture that is not whole."""

    def get_final_images(self) -> ImagesResponse:
        """Read to the end; the whole pictures. Raises as `SyncChatCompletionStream`'s."""
        self.until_done()
        return self.snapshot


class SyncTranscriptionStream(SyncStream[TranscriptionStreamEvent, Transcription]):
    """A stream of the text of a recording."""

    def get_final_transcription(self) -> Transcription:
        """Read to the end; the whole text. Raises as `SyncChatCompletionStream`'s."""
        self.until_done()
        return self.snapshot


class SyncSpeechStream(SyncStream[SpeechStreamEvent, Speech]):
    """A stream of sound."""

    def get_final_speech(self) -> Speech:
        """Read to the end; the whole sound. Raises as `SyncChatCompletionStream`'s."""
        self.until_done()
        return self.snapshot


class SyncByteStream(Held[ByteStream]):
    """The bytes of an answer, as they come. Iterate it, `read()` it whole, or have it written to a file."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """The next bytes.

        Raises:
            StopIteration: that was all.
            APIError: it was cut, or there was nothing for too long.
            trio.ClosedResourceError: this was closed.
            trio.BusyResourceError: another thread is reading it.
        """
        if piece := self._portal.run(self._next, undo=self._stream.aclose):
            return piece
        raise StopIteration

    async def _next(self) -> bytes:
        return await anext(self._stream, b"")

    def read(self) -> bytes:
        """All bytes that are still to come. Raises as iterating does."""
        return b"".join(self)

    def write_to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the bytes to a file as they come. If that fails, those that came are in the file.

        Raises:
            OSError: the file cannot be written.
            APIError: as iterating does.
        """
        with Path(path).open("wb") as file:
            file.writelines(self)
