"""Decoders that also keep what the events are made of: the messages, or the bytes.

They give the same events, errors and end as every decoder. A stream uses one only after the program has asked for its
messages or bytes, so other streams pay nothing for them.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator
from typing import Any

from .decoder import Decoder, Signal
from .sse import SSEParser
from .sse_block import ServerSentEvent

_MOST_MESSAGES = 1000  # a server can send any number without an event
_MANY_MESSAGES = 100  # after so many they are handed out before the next event


class NoEventYet(Exception):  # noqa: N818 - a signal, not an error
    """Interrupts a read for an event: many messages have come and no event, so the messages are handed over first."""


class MessageDecoder(Decoder[Any]):
    """Keep the messages up to the event that was pulled out last, until the next event is asked for.

    Attributes:
        messages: the messages that the HTML standard dispatches, which are those with data. `[DONE]` and others that
            are no event of the API are among them. A `retry` field in a block without data belongs to the next message.
            If nobody takes them, only the latest are kept.
        are_taken: whether somebody is waiting for messages.
    """

    _decoded_ahead = 1  # then `_look_at` sees each message in its turn

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.messages: deque[ServerSentEvent] = deque(maxlen=_MOST_MESSAGES)
        self.are_taken = False
        self._has_handed_out = False
        self._retry: int | None = None

    def _new_parser(self) -> SSEParser:
        return SSEParser(limit=self._limit, extras=True, words=True)

    @property
    def has_more(self) -> bool:
        """True if there is work to do before more bytes are needed."""
        return self.is_full or super().has_more

    @property
    def is_full(self) -> bool:  # type: ignore[override]
        """True if messages have to be taken before the next event."""
        return self.are_taken and len(self.messages) >= _MANY_MESSAGES

    @contextlib.contextmanager
    def taken(self) -> Generator[None]:
        """Wait for messages inside this block. It ends early, without an event, when there are many."""
        self.are_taken = True
        try:
            yield
        except NoEventYet:
            pass
        finally:
            self.are_taken = False

    def next_event(self) -> Any:
        """Return the next event, as every decoder does."""
        if self._has_handed_out:
            self.messages.clear()  # those that nobody took: they do not pile up
        event = super().next_event()
        self._has_handed_out = not isinstance(event, Signal)
        self.is_dry = False  # so that the messages are cleared
        return event

    def _look_at(self, message: ServerSentEvent) -> bool:
        if message.retry is None:
            message.retry = self._retry
        if message.data is None:
            self._retry = message.retry
        else:
            self._retry = None
            self.messages.append(message)
        return super()._look_at(message)

    def _is_next(self, number: object, data: bytes) -> bool:
        is_next = super()._is_next(number, data)
        if not is_next:
            self.messages.pop()  # it came before, by another connection
        return is_next


class BodyDecoder(Decoder[Any]):
    """Keep the bytes that were received last.

    Attributes:
        data: these bytes. Whoever takes them leaves `b""`.
    """

    data = b""

    def receive_data(self, data: bytes) -> None:
        """Take bytes of the body. Never raises."""
        self.data = data
        super().receive_data(data)
