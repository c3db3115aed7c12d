"""Fan-out: deliver the events of one stream to many subscribers, in order and without a task.

The problem. A stream has one socket and one reader, but a program may want its events in several places: a log, a user
interface, a moderation check. Each may be slow or may stop. A background task with a queue for each would break
the scope of the stream, and unbounded queues would break backpressure.

The idea. The task that reads the stream also delivers, so there is nothing to start or to clean up. A subscription is a
trio memory channel with a policy for when it is full. Rules:

* Every subscriber is offered the event without waiting. Only then does the reader wait, for those that must get every
  event and have no room. So a slow subscriber never delays a fast one by more than the event itself.
* While the reader waits, it does not read. The socket fills up, and the server slows down.
* A delivery that is cancelled goes on with the same event. `Hub` remembers who has not got it yet.
* A subscription ends as its stream ended: cleanly only if the stream was complete and this subscriber got everything.
* A stream without subscribers has no hub, and pays one comparison for each event.

`source.py` calls `Hub.deliver`. `_wire/replay.py` makes the events for `replay=True`.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, get_args

import trio

from trio_openai._wire.decoder import END, NEED_DATA, Signal
from trio_openai._wire.protocol import StreamProtocol
from trio_openai._wire.replay import Replay
from trio_openai._wire.text import join_text
from trio_openai.errors import APIError

from .stuck import WORDS, is_unreachable, refer_to

if TYPE_CHECKING:
    from trio_openai._statistics import SubscriptionStatistics

EventT = TypeVar("EventT")

Overflow = Literal["wait", "drop_oldest", "drop_newest", "coalesce", "fail"]


class _Run(Generic[EventT]):
    """Adjacent deltas of one kind that wait for a slow subscriber. Their text is joined once, when it is received."""

    __slots__ = ("event", "kind", "pieces", "taken")

    def __init__(self, event: EventT, kind: Hashable, text: str) -> None:
        self.event = event
        self.kind = kind
        self.pieces = [text]
        self.taken = False

    def take(self, protocol: StreamProtocol[EventT, object]) -> EventT:
        self.taken = True
        return self.event if len(self.pieces) == 1 else protocol.with_delta(self.event, join_text(self.pieces))


class Subscription(trio.abc.ReceiveChannel[EventT]):
    """A subscriber's end of a stream, made by `Stream.subscribe`.

    It ends as the stream ended, after the events that came before: cleanly if the stream was complete, otherwise with
    `trio.BrokenResourceError`, whose `__cause__` is the stream's error. Closing it unsubscribes.
    """

    def __init__(self, hub: Hub[EventT], buffer: int, overflow: Overflow, replay: Replay[EventT] | None) -> None:
        self._hub = hub
        self._overflow = overflow
        self._buffer = buffer if overflow == "wait" else max(buffer, 1)
        self._replay = replay or None  # None after the last event of the replay
        self._send, self._receive = trio.open_memory_channel["EventT | _Run[EventT]"](self._buffer)
        self._run: _Run[EventT] | None = None  # the last one that was put into the channel
        self._broken_by: tuple[str, APIError | None] | None = None
        self._received = self._dropped = self._merged = self._waits = 0
        self._stream: weakref.ref[Any] | None = None  # the stream, if only its block holds it
        self._source: Any = None

    async def receive(self) -> EventT:
        """Return the next event.

        Raises:
            trio.EndOfChannel: the stream is complete, and this was all of it.
            trio.BrokenResourceError: the stream failed, or was truncated or closed. Or this subscriber fell behind,
                with `overflow="fail"`.
            trio.ClosedResourceError: this subscription was closed.
            RuntimeError: nobody could ever read the stream; see `Stream.subscribe`.
        """
        try:
            event = await self._next_replayed()
            if event is END:
                if self._stream is not None and not self._source.is_being_read:
                    self._refuse_to_hang(self._stream)
                event = self._taken(await self._receive.receive())
        except trio.EndOfChannel:
            if self._broken_by is None:
                raise
            message, error = self._broken_by
            raise trio.BrokenResourceError(message) from error
        self._received += 1
        return event

    async def _next_replayed(self) -> EventT | Literal[Signal.END]:  # noqa: ASYNC910 - `receive` has a checkpoint after the replay
        """Return the next event of the replay, `END` after the last. If this is cancelled, nothing is lost."""
        while replay := self._replay:
            await trio.lowlevel.checkpoint()
            event = replay.next_event() if self._replay is replay else END  # it may have been closed in the meantime
            if event is END:
                self._replay = None
            elif event is not NEED_DATA:
                return event
        return END  # noqa: ASYNC910

    def expect_reader(self, stream: object, source: Any) -> None:
        """Have `receive` raise if nobody could ever read the stream. Internal."""
        self._stream, self._source = refer_to(stream), source

    def _refuse_to_hang(self, stream: weakref.ref[Any]) -> None:
        waiting = self._receive.statistics()
        is_empty = not (waiting.current_buffer_used or waiting.tasks_waiting_send)
        is_open = waiting.open_send_channels and waiting.open_receive_channels
        if is_empty and is_open and is_unreachable(stream):
            raise RuntimeError(WORDS)

    def _taken(self, item: EventT | _Run[EventT]) -> EventT:
        return cast("_Run[EventT]", item).take(self._hub.protocol) if isinstance(item, _Run) else item

    async def aclose(self) -> None:
        """Unsubscribe. Idempotent."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Unsubscribe, without a checkpoint. A stream that waits for this subscriber goes on without it."""
        self._replay = None
        self._receive.close()
        self._hub.forget(self)

    def statistics(self) -> SubscriptionStatistics:
        """Return what happened to the events so far."""
        from trio_openai._statistics import SubscriptionStatistics

        return SubscriptionStatistics(
            received=self._received,
            buffered=self._send.statistics().current_buffer_used,
            buffer=self._buffer,
            dropped=self._dropped,
            merged=self._merged,
            waits=self._waits,
        )

    # For the hub.

    def offer(self, event: EventT) -> bool:
        """Offer an event without waiting. Return False if there is no room and the event must not be lost."""
        item: EventT | _Run[EventT] = event
        if self._overflow == "coalesce":
            if (delta := self._hub.protocol.delta_of(event)) is None:
                self._run = None
            elif self._merge(event, *delta):
                return True
            else:
                item = self._run = _Run(event, *delta)
        try:
            self._send.send_nowait(item)
        except trio.WouldBlock:
            return self._offer_to_full(item)
        except trio.BrokenResourceError:
            self._hub.forget(self)
        return True

    def _merge(self, event: EventT, kind: Hashable, text: str) -> bool:
        run = self._run
        if run is None or run.taken or run.kind != kind:
            return False
        run.event = event
        run.pieces.append(text)
        self._merged += 1
        return True

    def _offer_to_full(self, item: EventT | _Run[EventT]) -> bool:
        if self._overflow == "drop_oldest":
            self._receive.receive_nowait()
            self._send.send_nowait(item)
            self._dropped += 1
        elif self._overflow == "drop_newest":
            self._dropped += 1
        elif self._overflow == "fail":
            self._dropped += 1
            self._hub.forget(self)
            self.end(f"this subscriber fell behind: its buffer of {self._buffer} events was full", None)
        else:
            return False
        return True

    async def push(self, event: EventT) -> None:
        """Wait for room, and deliver an event that `offer` could not. If this is cancelled, nothing is delivered."""
        self._waits += 1
        item = self._run if self._overflow == "coalesce" and self._run is not None else event
        try:
            await self._send.send(item)
        except trio.BrokenResourceError:  # it was closed in the meantime
            await trio.lowlevel.checkpoint()

    def end(self, broken_by: str, error: APIError | None) -> None:
        """End the subscription after the events in its buffer."""
        self._broken_by = (broken_by, error) if broken_by else None
        self._send.close()


def check_buffer(buffer: object) -> None:
    """Raise `ValueError` unless this is a number of events that may wait."""
    if type(buffer) is not int or buffer < 0:
        raise ValueError(f"buffer takes a number of events, zero or more, not {buffer!r}")


class Hub(Generic[EventT]):
    """The subscribers of one stream."""

    def __init__(self, protocol: StreamProtocol[EventT, object]) -> None:
        self.protocol = protocol
        self.subscriptions: list[Subscription[EventT]] = []
        self._full: list[Subscription[EventT]] = []  # those that have yet to get the event that is being delivered
        self._was_heard = False

    def subscribe(self, buffer: int, overflow: Overflow, replay: Replay[EventT] | None) -> Subscription[EventT]:
        """Add a subscriber.

        Raises:
            ValueError: `overflow` is not a policy, or `buffer` is negative.
        """
        if overflow not in get_args(Overflow):
            raise ValueError(f"overflow is one of {', '.join(map(repr, get_args(Overflow)))}, not {overflow!r}")
        check_buffer(buffer)
        subscription = Subscription(self, buffer, overflow, replay)
        self.subscriptions.append(subscription)
        return subscription

    def forget(self, subscription: Subscription[EventT]) -> None:
        """Stop delivering to a subscriber."""
        if subscription in self.subscriptions:
            self.subscriptions.remove(subscription)

    @property
    def is_heard(self) -> bool:
        """True if there are subscribers, or were when the stream ended."""
        return bool(self.subscriptions) or self._was_heard

    @property
    def is_delivering(self) -> bool:
        """True while an event has not reached everybody, also after its delivery was cancelled."""
        return bool(self._full)

    async def deliver(self, event: EventT) -> None:  # noqa: ASYNC910 - the reader is at a checkpoint for every event
        """Offer an event to every subscriber, then wait for those that have no room.

        If this is cancelled, calling it again with the same event goes on where it stopped.
        """
        if not self._full:
            self._full = [one for one in self.subscriptions[:] if not one.offer(event)]
        while self._full:  # noqa: ASYNC913 - a subscriber without room makes it wait
            await self._full[0].push(event)
            self._full.pop(0)

    def end(self, is_complete: bool, error: APIError | None) -> None:
        """End all subscriptions as the stream ended, and cleanly only for those who have got its last event."""
        cut = "the stream was closed before its end"
        how = "" if is_complete else f"the stream failed: {error}" if error else cut
        for subscription in self.subscriptions:
            subscription.end(how or (cut if subscription in self._full else ""), error)
        self._was_heard = self.is_heard
        self.subscriptions = []
