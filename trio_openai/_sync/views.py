"""Other ways for a thread to iterate its stream: text and deltas, messages, bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Generic, Self, TypeVar

from trio_openai._mistakes import IteratedBlocking
from trio_openai._stream.raw import keep_bytes, take_bytes
from trio_openai._stream.source import EventSource
from trio_openai._wire.decoder_raw import MessageDecoder
from trio_openai._wire.lifecycle import Decision
from trio_openai._wire.sse import ServerSentEvent
from trio_openai.errors import APIError

PartT = TypeVar("PartT")
Claimed = Callable[[], contextlib.AbstractContextManager[None]]
"""Gives a block in which one thread reads."""


class SyncDerivedIterator(IteratedBlocking, Generic[PartT]):
    """Something that is derived from a stream's events: its text, its deltas.

    Args:
        source: the stream's source.
        step: reads one event and returns what is derived from it. Empty values are skipped.
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
            if (failure := self._source.failure()) is not None:
                raise failure from None
            raise


class SyncMessageIterator(IteratedBlocking):
    """The messages of a stream."""

    def __init__(self, stream: Iterator[Any], source: EventSource[Any, Any], claimed: Claimed) -> None:
        self._stream = stream
        self._source = source
        self._claimed = claimed

    def __iter__(self) -> Iterator[ServerSentEvent]:
        return self

    def __next__(self) -> ServerSentEvent:
        """Return the next message.

        Raises: as iterating the stream.
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
            return messages.popleft()


class SyncBodyIterator(IteratedBlocking):
    """The bytes of a stream's body, as they arrive, up to the end of the stream.

    Args:
        source: the stream's source.
        claimed: gives a block in which one thread reads.
        next_step: asks the lifecycle for the next event or decision.
        carry_out: carries a decision out.
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

        Raises: as iterating the stream, after the bytes that show the reason.
        """
        keep_bytes(self._source)
        with self._claimed():
            while True:
                step = self._next_step()
                if not isinstance(step, Decision):
                    continue
                if data := take_bytes(self._source, step):
                    return data
                self._carry_out(step)
