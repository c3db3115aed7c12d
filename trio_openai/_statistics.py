"""The classes that `statistics()` of a client, a transport and a subscription returns. Imported on first use."""

from __future__ import annotations

import attrs


@attrs.frozen
class Usage:
    """Tokens, as far as the servers report them. Usages can be added with `+`.

    Attributes:
        input_tokens: The tokens of the prompts, including those in `cached_tokens`.
        output_tokens: The tokens of the answers, including those in `reasoning_tokens`.
        cached_tokens: The tokens of the prompts that the server had in its cache.
        reasoning_tokens: The tokens that the models used to reason.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """The input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(*map(sum, zip(attrs.astuple(self), attrs.astuple(other), strict=True)))


@attrs.frozen
class ClientStatistics:
    """The streams and connections of a client, and the tokens that it has used.

    Attributes:
        open_streams: the number of streams that have neither ended nor been closed.
        transport: the client's own transport, or None if the client was given an `http_client`.
        usage: the tokens of all answers so far, as far as the servers report them. A stream that ends before its usage
            has come is not counted.
    """

    open_streams: int
    transport: TransportStatistics | None
    usage: Usage = attrs.field(factory=Usage)


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


@attrs.frozen(kw_only=True)
class ServerStatus:
    """One server of a `Servers`.

    Attributes:
        name: the name of the server.
        state: `up`; `down` if nobody asks it for a while; `probing` while one attempt tries it again.
        retry_in: seconds until it may be asked again, because it is down or asked to wait; or 0.
        in_flight: attempts that have begun and have not ended.
        done: attempts that the server has answered, including those that it rejected for a reason of the request.
        failed: attempts that failed for a reason of the server.
        load: which part of the limiter's limit is in use, from 0 to 1. A guess for limiters of your own.
        last_error: the class and the message of the latest error for which another server was asked, or None.
        usage: the tokens of the answers so far, as in `ClientStatistics`.
    """

    name: str
    state: str
    retry_in: float
    in_flight: int
    done: int
    failed: int
    load: float
    last_error: str | None
    usage: Usage


@attrs.frozen
class ServersStatistics(ClientStatistics):
    """The state of a `Servers` at one moment: what a `ClientStatistics` has, for all servers together, and this.

    Attributes:
        waiting: attempts in the queue, which go to whichever server is free first.
        servers: the state of each server, in the order in which you listed them.
    """

    waiting: int = 0
    servers: tuple[ServerStatus, ...] = ()
