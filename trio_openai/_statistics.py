"""The classes that `statistics()` of a client, a transport and a subscription returns. Imported on first use."""

from __future__ import annotations

import attrs


@attrs.frozen
class ClientStatistics:
    """The streams and connections of a client.

    Attributes:
        open_streams: the number of streams that have neither ended nor been closed.
        transport: the client's own transport, or None if the client was given an `http_client`.
    """

    open_streams: int
    transport: TransportStatistics | None


@attrs.frozen
class TransportStatistics:
    """The connections of a transport.

    Attributes:
        active: requests in progress, each with a slot.
        waiting: requests that wait for a slot.
        idle: connections kept for later requests.
        opened: connections opened so far.
        reused: requests so far that were sent over a connection of an earlier request.
    """

    active: int
    waiting: int
    idle: int
    opened: int
    reused: int


@attrs.frozen
class SubscriptionStatistics:
    """The events of a stream from the point of view of one subscriber.

    Attributes:
        received: events that the subscriber has received.
        buffered: events waiting in its buffer, not counting those of a replay.
        buffer: the capacity of the buffer.
        dropped: events that were dropped because the buffer was full.
        merged: events that were merged into another one.
        waits: how often the stream had to wait for the subscriber.
    """

    received: int
    buffered: int
    buffer: int
    dropped: int
    merged: int
    waits: int
