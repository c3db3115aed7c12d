"""What a stream says, part by part.

A `Parts` (`deltas_chat.py`, `deltas_response.py`) is fed with the events of one stream, and answers each with what it
says: deltas, and parts that are done. It adds them up by itself, since whoever reads the parts may be behind the
stream's own sum (a started stream, a race). `Following` is what a stream holds of it for its readers, with an event
loop or without.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs

from trio_openai._wire.text import Printable

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
    """A protocol whose streams have parts."""

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
        self._printable = PrintableDeltas()

    def add(self, event: Any) -> None:
        """Take an event."""
        self._seen += 1
        self._said = self._printable.add(self._parts.add(event))

    def first_said(self) -> Delta | None:
        """The first thing that the last event said; the rest is waiting then."""
        said = self._said
        if len(said) > 1:
            self.waiting.extend(said[1:])
        return said[0] if said else None

    def first_at_end(self, events: int) -> Delta | None:
        """The same of the stream's end. If some of its so many events were not seen, it says nothing."""
        self._said = self._printable.add(self._parts.end()) if self._seen == events else []
        return self.first_said()


class PrintableDeltas:
    """Holds half a character back from the deltas of each part until the other half arrives, or the part is done."""

    def __init__(self) -> None:
        self._halves: dict[int, tuple[Delta, Printable]] = {}  # of parts whose last delta ended with a half

    def add(self, said: list[Delta]) -> list[Delta]:
        """Take what an event said. Returns what can be handed out now."""
        for delta in said:
            if self._halves or not _text(delta).isascii():
                return [ready for delta in said for ready in self._ready(delta)]
        return said

    def _ready(self, delta: Delta) -> list[Delta]:
        last, printable = self._halves.pop(delta.part, (delta, Printable()))
        if not (text := _text(delta)):  # the part is done
            return [*_with_text(last, printable.end()), delta]
        ready = _with_text(delta, printable.add(text))
        if printable.holds:
            self._halves[delta.part] = delta, printable
        return ready


def _text(delta: Delta) -> str:
    return getattr(delta, "delta", "")


def _with_text(delta: Delta, text: str) -> list[Delta]:
    if not text:
        return []
    return [delta if text == _text(delta) else cast("Delta", attrs.evolve(cast("Any", delta), delta=text))]
