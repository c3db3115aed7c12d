"""The first events of a stream, made anew from the bytes of its body, for those who come late.

Like a reader, a replay is pulled, and each step does a bounded amount of work: 30,000 events in one step would keep the
program from doing anything else for a fifth of a second.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from .decoder import END, NEED_DATA, NEW_CONNECTION, Decoder, Signal
from .protocol import StreamProtocol

EventT = TypeVar("EventT")


class Replay(Generic[EventT]):
    """The first events of a stream.

    Args:
        decoder: has read the stream so far.
        protocol: a new one of the same kind.
        record: the pieces of the body. More may be added to the end later; they are not read.
        count: how many events to make.
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
        """Return the next event; `NEED_DATA` if this step has found none and another may; `END` after the last."""
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
        """Give the decoder the next piece of the body, or the end of it."""
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
