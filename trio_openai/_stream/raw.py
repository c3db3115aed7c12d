"""What the events of a stream are made of: its messages, or its bytes, read in place of the typed events.

Whichever is read, the stream is the same: its scope, its deadlines, its errors and its verdict, its snapshot and its
subscribers, who get the typed events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

import trio

from trio_openai._wire.reader import END, Signal
from trio_openai._wire.reader_raw import MessageReader, PieceReader
from trio_openai.errors import APIError

from .mistakes import IteratedAsync

if TYPE_CHECKING:
    from trio_openai._wire.sse import ServerSentEvent

    from .source import EventSource
    from .stream import Stream


class Messages(IteratedAsync):
    """The messages of a stream, each after the event before it and not later than the event that it holds."""

    def __init__(self, stream: Stream[Any, Any]) -> None:
        self._stream = stream
        self._source = stream.source

    def __aiter__(self) -> AsyncIterator[ServerSentEvent]:
        return self

    async def __anext__(self) -> ServerSentEvent:
        """The next message.

        Raises: as iterating the stream.
        """
        end: Exception | None = None
        if self._source.keep(MessageReader).messages and not self._source.has_undelivered:
            with self._source.claimed():
                await trio.lowlevel.checkpoint()
                self._source.raise_if_closed()
        else:
            try:
                with self._source.keep(MessageReader).taken():
                    await anext(self._stream)
            except (StopAsyncIteration, APIError) as error:
                end = error
        messages = self._source.keep(MessageReader).messages
        if end is not None and not messages:
            raise end
        # Also what has come since the last event: `[DONE]`, or what reports the error.
        return messages.popleft()  # noqa: ASYNC910 - either way there was one


class Pieces:
    """The pieces of a stream's body, and when they are handed over.

    A piece waits until the events in it have been taken. If they show that the stream has failed, and nothing has been
    handed over before, the stream may begin anew; otherwise the piece is handed over, and then comes the error.
    """

    def __init__(self, source: EventSource[Any, Any]) -> None:
        self._source = source
        self._has_begun = False

    def prepare(self) -> None:
        """Have the pieces kept.

        Raises: as `EventSource.keep`.
        """
        self._source.keep(PieceReader)

    def take(self) -> tuple[bytes, bool]:
        """The piece, and whether it is to be handed over before anything else."""
        reader = self._source.keep(PieceReader)
        piece, reader.piece = reader.piece, b""
        return piece, piece != b"" and (reader.error is None or self._has_begun)

    def take_held(self) -> bytes:
        """The last piece, which the step before could not hand over."""
        self._source.raise_if_closed()
        piece, self._source.held = self._source.held, None
        return cast("bytes", piece)

    def hand_over(self) -> None:
        """A piece is handed over: the stream can no more begin anew."""
        self._has_begun = True
        self._source.begin_no_more()


class RawBytes(IteratedAsync):
    """The bytes of a stream's body, as they come, up to the end of the stream."""

    def __init__(self, stream: Stream[Any, Any]) -> None:
        self._stream = stream  # as long as somebody may iterate this, the stream can be read
        self._source = source = stream.source
        self._pieces = Pieces(source)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next piece of the body.

        Raises: as iterating the stream, after the piece that has the reason.
        """
        self._pieces.prepare()
        with self._source.claimed():
            await trio.lowlevel.checkpoint()
            return await self._next()

    async def _next(self) -> bytes:  # noqa: ASYNC910 - `__anext__` is at a checkpoint
        source, pieces = self._source, self._pieces
        if source.held is not None:
            return pieces.take_held()  # noqa: ASYNC910 - as above
        while True:  # noqa: ASYNC913 - as above
            signal = await self._deliver()
            piece, is_good = pieces.take()
            if not is_good:
                if signal is END:
                    raise await source.end()
                try:
                    await source.advance()
                except APIError:
                    if not piece:
                        raise
                else:
                    continue  # there is more, or it begins anew
            pieces.hand_over()
            if source.is_over:
                source.held = piece  # until the connection has been given up
                await source.advance()
                source.held = None
            return piece  # noqa: ASYNC910

    async def _deliver(self) -> Signal:  # noqa: ASYNC910 - as above
        """Take the events that have come, for the snapshot and for the subscribers."""
        source = self._source
        if source.hub is not None and source.is_delivering:
            await source.hub.go_on()
        while True:  # noqa: ASYNC913
            event = source.take()
            if isinstance(event, Signal) and not source.reader.has_more:
                return event  # noqa: ASYNC910
            if not isinstance(event, Signal) and source.hub is not None:
                await source.hub.deliver(event)
            await source.pause_after_a_burst()
