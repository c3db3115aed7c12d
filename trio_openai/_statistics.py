"""What `statistics()` of a client, its connections and a subscription gives. Imported when it is asked for."""

from __future__ import annotations

import attrs


@attrs.frozen
class ClientStatistics:
    """What a client holds.

    Attributes:
        open_streams: streams that are neither at their end nor closed.
        transport: of the client's own connections; None with an `http_client`.
    """

    open_streams: int
    transport: TransportStatistics | None


@attrs.frozen
class TransportStatistics:
    """What a transport holds.

    Attributes:
        active: exchanges under way, each with a slot.
        waiting: requests that wait for a slot.
        idle: connections kept for later requests.
        opened: connections opened since the beginning.
        reused: requests that went out on a connection of an earlier one.
    """

    active: int
    waiting: int
    idle: int
    opened: int
    reused: int


@attrs.frozen
class SubscriptionStatistics:
    """What became of a stream's events for one subscriber.

    Attributes:
        received: events that it was given.
        buffered: events that wait for it, after those of a replay.
        buffer: how many there is room for.
        dropped: events that it will never get, since there was no room.
        merged: events that were merged into another.
        waits: how often the stream stood still for it.
    """

    received: int
    buffered: int
    buffer: int
    dropped: int
    merged: int
    waits: int
