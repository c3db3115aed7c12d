"""Read what the events of a stream are made of: its messages, or its bytes.

Both replace iterating the typed events, and nothing else changes: the stream keeps its scope, deadlines, errors,
verdict and snapshot, and its subscribers still get typed events. The events are pulled out as always. A decoder that
keeps more (`_wire/decoder_raw.py`) collects the messages or bytes on the way.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Self

import trio

from trio_openai._mistakes import IteratedAsync
from trio_openai._wire.decoder_raw import BodyDecoder, MessageDecoder
from trio_openai._wire.lifecycle import Decision
from trio_openai._wire.sse_block import ServerSentEvent
from trio_openai.errors import APIError

from .source import EventSource


class MessageIterator(IteratedAsync):
    """The messages of a stream. Each comes after the event before it, and not later than the event it contains.

    Args:
        stream: iterates the events.
        source: the stream's source.
    """

    def __init__(self, stream: AsyncIterator[Any], source: EventSource[Any, Any]) -> None:
        self._stream = stream
        self._source = source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        """Return the next message.

        Raises: as iterating the stream.
        """
        source = self._source
        end: Exception | None = None
        if source.keep(MessageDecoder).messages and not source.lifecycle.held:
            with source.claimed():
                await trio.lowlevel.checkpoint()
                source.raise_if_closed()
        else:
            try:
                with source.keep(MessageDecoder).taken():
                    await anext(self._stream)
            except (StopAsyncIteration, APIError) as error:
                end = error
        messages = source.keep(MessageDecoder).messages
        if end is not None and not messages:
            raise end
        # Messages can follow the last event: `[DONE]`, or the one that reports the error. They come before the end.
        return messages.popleft()  # noqa: ASYNC910 - both branches above have a checkpoint


class BodyIterator(IteratedAsync):
    """The bytes of a stream's body, as they arrive, up to the end of the stream.

    Args:
        stream: kept alive, since whoever may iterate this can read the stream.
        source: the stream's source.
    """

    def __init__(self, stream: object, source: EventSource[Any, Any]) -> None:
        self._stream = stream
        self._source = source

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes of the body.

        Raises: as iterating the stream, after the bytes that show the reason.
        """
        source = self._source
        keep_bytes(source)
        with source.claimed():
            await trio.lowlevel.checkpoint()
            while True:  # noqa: ASYNC913 - pauses after a burst, so that a burst is cheap
                step = source.lifecycle.next()
                if source.is_unheard and not isinstance(step, Decision):
                    source.tell_arrival()
                if step is Decision.DELIVER:
                    await source.deliver()
                elif not isinstance(step, Decision):
                    await source.pause_after_a_burst()
                elif data := take_bytes(source, step):
                    return data
                else:
                    await source.carry_out(step)


def keep_bytes(source: EventSource[Any, Any]) -> None:
    """Have the bytes of the body kept.

    Raises: as `EventSource.keep`.
    """
    source.keep(BodyDecoder)
    # Bytes that were handed over cannot be taken back, so a resumed body would not fit to them.
    source.lifecycle.forbid_restart(resume_only=True)


def take_bytes(source: EventSource[Any, Any], step: Decision) -> bytes:
    """Return the bytes to hand over before this step is carried out, or `b""` if there are none.

    Bytes wait until all events in them have been pulled out. If these show that the stream has failed, and no bytes
    have been handed over before, the stream may begin anew, and the bytes of the failed attempt are dropped with it.
    """
    if step not in (Decision.READ, Decision.END, Decision.FAIL):
        return b""
    decoder = source.keep(BodyDecoder)
    data, decoder.data = decoder.data, b""
    if data:
        source.lifecycle.forbid_restart()
    return data
