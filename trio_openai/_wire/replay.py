"""Make the first events of a stream again from the bytes of its body, for subscribers that come late.

The bytes are kept and not the events, because they take less memory. Like a decoder, a replay is pulled, and each step
does a bounded amount of work: 30,000 events in one step would block the program for a fifth of a second.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from .decoder import END, NEED_DATA, NEW_CONNECTION, Decoder, Signal
from .protocol import StreamProtocol

EventT = TypeVar("EventT")


class Replay(Generic[EventT]):
    """The first events of a stream, made again.

    Args:
        decoder: the decoder of the stream.
        protocol: a new protocol of the same kind.
        record: the bytes of the body so far. Bytes that are added later are not read.
        count: the number of events to make.
    """

    def __init__(
        self, decoder: Decoder[EventT], protocol: StreamProtocol[EventT, Any], record: list[bytes], count: int
    ) -> None:
        self._decoder = decoder.anew(protocol)
        self._record = record
        self._pieces = len(record)
        self._fed = 0
        self._left = count

    def next_event(self) -> EventT | Signal:
        """Return the next event, `NEED_DATA` if another step is needed to find it, or `END` after the last one."""
        if not self._left:
            return END
        event = self._decoder.next_event()
        if not isinstance(event, Signal):
            self._left -= 1
            return event
        if event is END or not self._decoder.has_more:
            self._feed()
        return NEED_DATA

    def _feed(self) -> None:
        """Give the decoder the next bytes of the body, or its end."""
        decoder = self._decoder
        decoder.add_up()
        if self._fed > self._pieces:  # after the end
            self._left = 0
        elif self._fed == self._pieces:
            decoder.receive_end()
        elif (data := self._record[self._fed]) is NEW_CONNECTION:
            decoder.resume()
        else:
            decoder.receive_data(data)
        self._fed += 1
