"""Follow what the events of a stream say, for `stream.deltas` and `stream.tool_calls`.

A stream is followed from the moment somebody first asks for deltas. From then on every event passes through the
follower, also those that are read in another way, so that its sum stays correct. Only what is asked for is handed over.
If events were read before that moment, they are decoded again from the bytes that `record.py` has kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import trio

from trio_openai._protocols.deltas import DeltaMaker, Following, HasDeltas
from trio_openai._wire.decoder import END, NEED_DATA
from trio_openai._wire.replay import Replay
from trio_openai.types.deltas import ToolCallDone

from .source import EventSource

if TYPE_CHECKING:
    from trio_openai.types.deltas import Delta

EventT = TypeVar("EventT")


class Follower(Generic[EventT]):
    """Turns the events of one stream into deltas.

    Args:
        source: the stream's source.
        read: reads the next event.
        handed_over: the number of events that were read before.

    Raises:
        RuntimeError: the bytes of these events have not been kept.
    """

    def __init__(
        self, source: EventSource[EventT, Any], read: Callable[[], Awaitable[EventT]], handed_over: int
    ) -> None:
        self._source = source
        self._read = read
        self._early: Replay[EventT] | None = None  # the events read before, as far as they have not been followed yet
        self._parts = self._parts_after(handed_over)
        self._following = Following(self._parts, handed_over)

    def _parts_after(self, count: int) -> DeltaMaker:
        """Return the state of the follower after the first `count` events."""
        if count == self._source.lifecycle.decoder.events:
            return cast("HasDeltas", self._source.protocol).deltas()
        protocol, self._early = self._source.first_events(count)
        return cast("HasDeltas", protocol).deltas()

    async def _catch_up(self) -> None:  # noqa: ASYNC910 - every caller reads next
        """Follow the events that were read before. If this is cancelled, the next call goes on."""
        while early := self._early:
            await self._source.pause_after_a_burst()
            event = early.next_event() if self._early is early else END  # another task may have done the rest
            if event is END:
                self._early = None
            elif event is not NEED_DATA:
                self._parts.add(event)

    async def next_event(self) -> EventT:
        """Return the next event, and follow it on the way."""
        if self._early is not None:
            await self._catch_up()
        event = await self._read()
        self._following.add(event)
        return event

    async def next_delta(self) -> Delta | None:
        """Return the next delta, or None if the next event has none. One event may have several."""
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
        """Return the next delta if it is a complete tool call, else None."""
        delta = await self.next_delta()
        return delta if isinstance(delta, ToolCallDone) else None
