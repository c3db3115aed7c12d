"""The parts of a stream, for whoever iterates `stream.deltas` or `stream.tool_calls`.

They are followed from when somebody first asks for one. From then on every event goes by here, so that parts stay whole
also where some events are read as they are; what those say is not handed out as deltas.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import trio

from ._sansio.deltas import Following, HasParts, Parts
from ._source import EventSource
from .types.deltas import ToolCallDone

if TYPE_CHECKING:
    from .types.deltas import Delta

EventT = TypeVar("EventT")


class Follower(Generic[EventT]):
    """Follows the parts of one stream.

    Args:
        source: where its events come from.
        read: how its next event is had.
        handed_out: how many events it has handed out already.

    Raises:
        RuntimeError: what these were is not known any more.
    """

    def __init__(
        self, source: EventSource[EventT, Any], read: Callable[[], Awaitable[EventT]], handed_out: int
    ) -> None:
        self._source = source
        self._read = read
        self._following = Following(_parts_so_far(source, handed_out), handed_out)

    async def next_event(self) -> EventT:
        """The next event, for somebody who does not want its parts."""
        event = await self._read()
        self._following.add(event)
        return event

    async def next_delta(self) -> Delta | None:
        """What the next event says, if anything; or what is left of what the last one said."""
        waiting = self._following.waiting
        if waiting:
            await trio.lowlevel.checkpoint()
            self._source.raise_if_closed()
            return waiting.popleft() if waiting else None
        try:
            event = await self._read()
        except StopAsyncIteration:
            if (last := self._following.first_at_end(self._source.reader.events)) is None:
                raise
            return last  # noqa: ASYNC910 - the read was a checkpoint
        self._following.add(event)
        return self._following.first_said()

    async def next_tool_call(self) -> ToolCallDone | None:
        """The same, if it is a tool call that is complete."""
        delta = await self.next_delta()
        return delta if isinstance(delta, ToolCallDone) else None


def _parts_so_far(source: EventSource[Any, Any], count: int) -> Parts:
    """The parts of a stream after its first events; of all of them, its own sum knows."""
    if count == source.reader.events:
        return cast("HasParts", source.dialect).parts()
    dialect, events = source.first_events(count)
    parts = cast("HasParts", dialect).parts()
    for event in events:
        parts.add(event)
    return parts
