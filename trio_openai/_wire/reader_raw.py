"""Readers that also keep what the events of a stream are made of: the messages, or the bytes.

To everybody but whoever asked for that they are ordinary readers: the same events, errors and verdict. They are made
only when somebody has asked, so an ordinary stream pays nothing for them.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator
from typing import Any

from .reader import Reader, Signal
from .sse import ServerSentEvent, SSEParser

_MOST_MESSAGES = 1000  # a server can send any number without an event
_MANY_MESSAGES = 100  # after so many they are handed out before the next event


class NoEventYet(Exception):  # noqa: N818 - it is no error
    """Tells whoever iterates messages that there are many, though no event has come."""


class MessageReader(Reader[Any]):
    """Keeps the messages up to the event that was handed out last, for as long as no further event is asked for.

    Attributes:
        messages: those that the HTML standard dispatches: with data, also those that are no event of the API, such as
            `[DONE]`. A `retry` that came in a block of its own is that of the next message. If nobody takes them, the
            latest are kept.
        are_taken: whether somebody is waiting for them.
    """

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
        """Return whether there is something to do before more bytes are needed."""
        return self.is_full or super().has_more

    @property
    def is_full(self) -> bool:  # type: ignore[override]
        """Return whether messages have to be taken first."""
        return self.are_taken and len(self.messages) >= _MANY_MESSAGES

    @contextlib.contextmanager
    def taken(self) -> Generator[None]:
        """A block in which somebody waits for messages. It ends early, without an event, when there are many."""
        self.are_taken = True
        try:
            yield
        except NoEventYet:
            pass
        finally:
            self.are_taken = False

    def next_event(self) -> Any:
        """As every reader's."""
        if self._has_handed_out:
            self.messages.clear()  # those that nobody took: they do not pile up
        event = super().next_event()
        self._has_handed_out = not isinstance(event, Signal)
        return event

    def _decode_ahead(self) -> bool:
        return False  # it makes no messages

    def _interpret(self, message: ServerSentEvent) -> Any:
        if message.retry is None:
            message.retry = self._retry
        if message.data is None:
            self._retry = message.retry
        else:
            self._retry = None
            self.messages.append(message)
        return super()._interpret(message)

    def _is_next(self, number: object, data: bytes) -> bool:
        is_next = super()._is_next(number, data)
        if not is_next:
            self.messages.pop()  # it came before, by another connection
        return is_next


class PieceReader(Reader[Any]):
    """Keeps what was received last.

    Attributes:
        piece: those bytes; whoever takes them leaves `b""`.
    """

    piece = b""

    def receive_data(self, data: bytes) -> None:
        """As every reader's."""
        self.piece = data
        super().receive_data(data)
