"""The parts of a stream, for whoever iterates `stream.deltas` or `stream.tool_calls`.

They are followed from when somebody first asks for one. From then on every event goes by here, so that parts stay whole
also where some events are read as they are; what those say is not handed out as deltas.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import trio

from trio_openai._protocols.deltas import Following, HasParts, Parts
from trio_openai._wire.decoder import END, NEED_DATA
from trio_openai._wire.replay import Replay
from trio_openai.types.deltas import ToolCallDone

from .source import EventSource

if TYPE_CHECKING:
    from trio_openai.types.deltas import Delta

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
        self._early: Replay[EventT] | None = None  # of what was handed out and has yet to be taken
        self._parts = self._parts_after(handed_out)
        self._following = Following(self._parts, handed_out)

    def _parts_after(self, count: int) -> Parts:
        """Return the parts of the stream after its first events. Of all of them, its own sum knows."""
        if count == self._source.lifecycle.decoder.events:
            return cast("HasParts", self._source.protocol).parts()
        protocol, self._early = self._source.first_events(count)
        return cast("HasParts", protocol).parts()

    async def _catch_up(self) -> None:  # noqa: ASYNC910 - whoever calls this reads next
        """Take what was handed out before anybody asked. If this is cancelled, the next call goes on with it."""
        while early := self._early:
            await self._source.pause_after_a_burst()
            event = early.next_event() if self._early is early else END  # another task may have been here
            if event is END:
                self._early = None
            elif event is not NEED_DATA:
                self._parts.add(event)

    async def next_event(self) -> EventT:
        """Return the next event, for somebody who does not want its parts."""
        if self._early is not None:
            await self._catch_up()
        event = await self._read()
        self._following.add(event)
        return event

    async def next_delta(self) -> Delta | None:
        """Return what the next event says, if anything; or what is left of what the last one said."""
        if self._early is not None:
            await self._catch_up()
        waiting = self._following.waiting
        if waiting:
            await trio.lowlevel.checkpoint()
            self._source.raise_if_closed()
            return waiting.popleft() if waiting else None
        try:
            event = await self._read()
        except StopAsyncIteration:
            if (last := self._following.first_at_end(self._source.lifecycle.decoder.events)) is None:
                raise
            return last  # noqa: ASYNC910 - the read was a checkpoint
        self._following.add(event)
        return self._following.first_said()

    async def next_tool_call(self) -> ToolCallDone | None:
        """The same, if it is a tool call that is complete."""
        delta = await self.next_delta()
        return delta if isinstance(delta, ToolCallDone) else None
