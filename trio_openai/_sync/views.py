"""Iterate a stream in a thread in other ways: its text and deltas, its messages, or its bytes.

These are the blocking counterparts of `DerivedIterator` (`_stream/stream.py`) and of `_stream/raw.py`, which explains
how messages and bytes are kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, Self, TypeVar

from trio_openai._mistakes import IteratedBlocking
from trio_openai._stream.raw import keep_bytes, take_bytes
from trio_openai._stream.source import EventSource
from trio_openai._wire.decoder_raw import MessageDecoder
from trio_openai._wire.lifecycle import Decision
from trio_openai._wire.sse_block import ServerSentEvent
from trio_openai.errors import APIError

PartT = TypeVar("PartT")
Claimed = Callable[[], contextlib.AbstractContextManager[None]]
"""A function that returns a context manager. In its block, only this thread can read the stream."""


class SyncDerivedIterator(IteratedBlocking, Generic[PartT]):
    """An iterator of values that are derived from a stream's events, such as its text or its deltas.

    Args:
        source: The source of the stream.
        step: Reads one event and returns the value derived from it. Empty values are skipped.
    """

    def __init__(self, source: EventSource[Any, Any], step: Callable[[], PartT | None]) -> None:
        self._source = source
        self._step = step

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> PartT:
        try:
            while True:
                if part := self._step():
                    return part
        except StopIteration:
            # A `response.failed` event completes the stream. Its text alone would look like a complete answer.
            if (failure := self._source.failure()) is not None:
                raise failure from None
            raise


class SyncMessageIterator(IteratedBlocking):
    """An iterator of the server-sent messages of a stream.

    Args:
        stream: Iterates the events.
        source: The source of the stream.
        claimed: Claims the stream for this thread.
    """

    def __init__(self, stream: Iterator[Any], source: EventSource[Any, Any], claimed: Claimed) -> None:
        self._stream = stream
        self._source = source
        self._claimed = claimed

    def __iter__(self) -> Iterator[ServerSentEvent]:
        return self

    def __next__(self) -> ServerSentEvent:
        """Return the next message.

        Raises:
            RuntimeError: The stream has already been read in another way.
            Exception: See `SyncStream.__next__`.
        """
        with self._claimed():
            end: Exception | None = None
            if self._source.keep(MessageDecoder).messages and not self._source.lifecycle.held:
                self._source.raise_if_closed()
            else:
                try:
                    with self._source.keep(MessageDecoder).taken():
                        next(self._stream)
                except (StopIteration, APIError) as error:
                    end = error
            messages = self._source.keep(MessageDecoder).messages
            if end is not None and not messages:
                raise end
            # The message that ends the stream, such as `[DONE]`, comes before the end itself.
            return messages.popleft()


class SyncBodyIterator(IteratedBlocking):
    """An iterator of the bytes of a stream's body, up to the end of the stream.

    Args:
        source: The source of the stream.
        claimed: Claims the stream for this thread.
        next_step: Asks the lifecycle for the next event or decision.
        carry_out: Carries a decision out.
    """

    def __init__(
        self,
        source: EventSource[Any, Any],
        claimed: Claimed,
        next_step: Callable[[], Any],
        carry_out: Callable[[Decision], None],
    ) -> None:
        self._source = source
        self._claimed = claimed
        self._next_step = next_step
        self._carry_out = carry_out

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next bytes of the body.

        An error is raised only after the bytes that caused it were returned.

        Raises:
            RuntimeError: The stream has already been read in another way.
            Exception: See `SyncStream.__next__`.
        """
        keep_bytes(self._source)
        with self._claimed():
            while True:
                step = self._next_step()
                if not isinstance(step, Decision):
                    continue  # an event; the decoder keeps its bytes until it needs more
                if data := take_bytes(self._source, step):
                    return data
                self._carry_out(step)
