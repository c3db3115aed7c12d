"""Readers that also keep what the events of a stream are made of: the messages, or the bytes.

To everybody but whoever asked for that they are ordinary readers: the same events, errors and verdict. They are made
only when somebody has asked, so an ordinary stream pays nothing for them.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from .reader import Reader, Signal
from .sse import ServerSentEvent


class MessageReader(Reader[Any]):
    """Keeps the messages up to the event that was handed out last, for as long as no further event is asked for.

    Attributes:
        messages: those that the HTML standard dispatches: with data, also those that are no event of the API, such as
            `[DONE]`. A `retry` that came in a block of its own is that of the next message.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.messages: deque[ServerSentEvent] = deque()
        self._has_handed_out = False
        self._retry: int | None = None

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
