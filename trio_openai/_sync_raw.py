"""What the events of a stream are made of, for a thread; see `_raw_stream.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ._raw_stream import Pieces
from ._sansio.reader import END, Signal
from ._sansio.reader_raw import MessageReader
from ._sansio.sse import ServerSentEvent
from ._source import EventSource
from ._sync_stream import SyncStream
from .errors import APIError


class SyncMessages:
    """The messages of a stream."""

    def __init__(self, stream: SyncStream[Any, Any], source: EventSource[Any, Any]) -> None:
        self._stream = stream
        self._source = source

    def __iter__(self) -> Iterator[ServerSentEvent]:
        return self

    def __next__(self) -> ServerSentEvent:
        """The next message.

        Raises: as iterating the stream.
        """
        with self._stream.claimed():
            end: Exception | None = None
            if self._source.keep(MessageReader).messages:
                self._source.raise_if_closed()
            else:
                try:
                    next(self._stream)
                except (StopIteration, APIError) as error:
                    end = error
            messages = self._source.keep(MessageReader).messages
            if end is not None and not messages:
                raise end
            return messages.popleft()


class SyncRawBytes:
    """The bytes of a stream's body, as they come, up to the end of the stream."""

    def __init__(self, stream: SyncStream[Any, Any], source: EventSource[Any, Any]) -> None:
        self._stream = stream
        self._source = source
        self._pieces = Pieces(source)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next piece of the body.

        Raises: as iterating the stream, after the piece that has the reason.
        """
        with self._stream.claimed():
            return self._next()

    def _next(self) -> bytes:
        stream, source, pieces = self._stream, self._source, self._pieces
        while True:
            pieces.prepare()
            while not isinstance(signal := stream.take(), Signal):
                pass
            piece, is_good = pieces.take()
            if not is_good:
                if signal is END:
                    source.raise_if_closed()
                    raise StopIteration
                try:
                    stream.advance()
                except APIError:
                    if not piece:
                        raise
                else:
                    continue
            pieces.hand_over()
            if source.is_over:
                stream.advance()
            return piece
