"""Deltas: the events of a stream, translated into one vocabulary for every API.

`stream.deltas`, `stream.tool_calls` and `run_tools` do not read API events. They read the classes of
`types/deltas.py`: a stream consists of parts (a stretch of text, of reasoning or of a refusal, or a tool call), each
part arrives in deltas, and each ends with a `...Done` object that holds all of it.

A `DeltaMaker` translates: `ChatDeltas` in `chat/deltas.py` and `ResponseDeltas` in `responses/deltas.py`. It gets each
event and returns the deltas that the event means. It keeps its own state instead of using the snapshot of the stream,
because its reader may be behind the stream, as in `start_stream` and `race`.

`Following` connects a maker to its readers. It is used with an event loop and without one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs

from trio_openai._wire.text import Printable

if TYPE_CHECKING:  # importing these classes takes time, and most programs never read deltas
    from trio_openai.types.deltas import Delta


class DeltaMaker(Protocol):
    """Translates the events of one stream into deltas."""

    def add(self, event: Any) -> list[Delta]:
        """Take an event and return its deltas, in order."""
        ...

    def end(self) -> list[Delta]:
        """End all parts that are still open, because the stream is complete. A second call returns nothing."""
        ...


class HasDeltas(Protocol):
    """A protocol whose streams can be read as deltas."""

    def deltas(self) -> DeltaMaker:
        """Make a translator that has already seen all events so far."""
        ...


class Following:
    """The position of the readers of a stream's deltas.

    Args:
        maker: translates the events.
        seen: the number of events that the maker has seen.

    Attributes:
        waiting: deltas to hand out before the next event is read.
    """

    def __init__(self, maker: DeltaMaker, seen: int) -> None:
        self.waiting: deque[Delta] = deque()
        self._maker = maker
        self._seen = seen
        self._said: list[Delta] = []
        self._printable = PrintableDeltas()

    def add(self, event: Any) -> None:
        """Take the next event of the stream."""
        self._seen += 1
        self._said = self._printable.add(self._maker.add(event))

    def first_said(self) -> Delta | None:
        """Return the first delta of the last event, and put the others into `waiting`."""
        said = self._said
        if len(said) > 1:
            self.waiting.extend(said[1:])
        return said[0] if said else None

    def first_at_end(self, events: int) -> Delta | None:
        """Return the first delta of the end of the stream, and put the others into `waiting`.

        If the stream had more `events` than were seen here, its open parts are incomplete, and None is returned.
        """
        self._said = self._printable.add(self._maker.end()) if self._seen == events else []
        return self.first_said()


class PrintableDeltas:
    """Holds back a lone surrogate half at the end of a delta until its other half arrives or the part is done."""

    def __init__(self) -> None:
        self._halves: dict[int, tuple[Delta, Printable]] = {}  # by part: the last delta, which ended with a half

    def add(self, said: list[Delta]) -> list[Delta]:
        """Take the deltas of an event and return those that can be handed out now."""
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
