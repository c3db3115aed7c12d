"""What a stream says, part by part.

A `Parts` (`deltas_chat.py`, `deltas_response.py`) is fed with the events of one stream, and answers each with what it
says: deltas, and parts that are done. It adds them up by itself, since whoever reads the parts may be behind the
stream's own sum (a started stream, a race). `Following` is what a stream holds of it for its readers, with an event
loop or without.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # the classes are made when somebody reads the parts of a stream
    from trio_openai.types.deltas import Delta


class Parts(Protocol):
    """The parts of one stream."""

    def add(self, event: Any) -> list[Delta]:
        """Take an event. Returns what it says, in order."""
        ...

    def end(self) -> list[Delta]:
        """The stream is whole: the parts that were not known to be. A second time there are none."""
        ...


class HasParts(Protocol):
    """A dialect whose streams have parts."""

    def parts(self) -> Parts:
        """Those of a stream, as if it had been fed with all the events so far."""
        ...


class Following:
    """How far the readers of a stream's parts have got.

    Args:
        parts: the parts.
        seen: how many events of the stream they have taken.

    Attributes:
        waiting: what is to be handed out before the next event is read.
    """

    def __init__(self, parts: Parts, seen: int) -> None:
        self.waiting: deque[Delta] = deque()
        self._parts = parts
        self._seen = seen
        self._said: list[Delta] = []

    def add(self, event: Any) -> None:
        """Take an event."""
        self._seen += 1
        self._said = self._parts.add(event)

    def first_said(self) -> Delta | None:
        """The first thing that the last event said; the rest is waiting then."""
        said = self._said
        if len(said) > 1:
            self.waiting.extend(said[1:])
        return said[0] if said else None

    def first_at_end(self, events: int) -> Delta | None:
        """The same of the stream's end. If some of its so many events were not seen, it says nothing."""
        self._said = self._parts.end() if self._seen == events else []
        return self.first_said()
