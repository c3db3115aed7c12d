"""Other ways to iterate the stream that a thread holds: its text or deltas, its messages, its bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, Self, TypeVar

from trio_openai._stream.mistakes import IteratedBlocking
from trio_openai._stream.raw import Pieces
from trio_openai._stream.source import EventSource
from trio_openai._stream.stream import Stream
from trio_openai._wire.reader import END, Signal
from trio_openai._wire.reader_raw import MessageReader
from trio_openai._wire.sse import ServerSentEvent
from trio_openai.errors import APIError

PartT = TypeVar("PartT")
Claimed = Callable[[], contextlib.AbstractContextManager[None]]
"""Gives a block in which one thread reads."""


class View(IteratedBlocking, Generic[PartT]):
    """What is made of a stream's events: its text, its deltas. `step` reads an event; what is empty is passed over."""

    def __init__(self, stream: Stream[Any, Any], step: Callable[[], PartT | None]) -> None:
        self._stream = stream
        self._step = step

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> PartT:
        try:
            while True:
                if part := self._step():
                    return part
        except StopIteration:
            if (failure := self._stream.source.failure()) is not None:
                raise failure from None
            raise


class Messages(IteratedBlocking):
    """The messages of a stream."""

    def __init__(self, stream: Iterator[Any], source: EventSource[Any, Any], claimed: Claimed) -> None:
        self._stream = stream
        self._source = source
        self._claimed = claimed

    def __iter__(self) -> Iterator[ServerSentEvent]:
        return self

    def __next__(self) -> ServerSentEvent:
        """The next message.

        Raises: as iterating the stream.
        """
        with self._claimed():
            end: Exception | None = None
            if self._source.keep(MessageReader).messages and self._source.held is None:
                self._source.raise_if_closed()
            else:
                try:
                    with self._source.keep(MessageReader).taken():
                        next(self._stream)
                except (StopIteration, APIError) as error:
                    end = error
            messages = self._source.keep(MessageReader).messages
            if end is not None and not messages:
                raise end
            return messages.popleft()


class RawBytes(IteratedBlocking):
    """The bytes of a stream's body, as they come, up to the end of the stream."""

    def __init__(
        self, source: EventSource[Any, Any], claimed: Claimed, take: Callable[[], Any], advance: Callable[[], None]
    ) -> None:
        self._source = source
        self._claimed = claimed
        self._take = take
        self._advance = advance
        self._pieces = Pieces(source)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next piece of the body.

        Raises: as iterating the stream, after the piece that has the reason.
        """
        with self._claimed():
            return self._next()

    def _next(self) -> bytes:
        source, pieces = self._source, self._pieces
        if source.held is not None:
            return pieces.take_held()
        while True:
            pieces.prepare()
            while not isinstance(signal := self._take(), Signal) or source.reader.has_more:
                pass
            piece, is_good = pieces.take()
            if not is_good:
                if signal is END:
                    source.raise_if_closed()
                    raise StopIteration
                try:
                    self._advance()
                except APIError:
                    if not piece:
                        raise
                else:
                    continue
            pieces.hand_over()
            if source.is_over:
                source.held = piece  # until the connection has been given up
                self._advance()
                source.held = None
            return piece
