"""Tell the observers of a client how a stream goes, also one that nobody closes.

Without observers this does nothing: `is_unheard` is False, and the exchange has no `watch`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import trio

from trio_openai._http.lifetime import BodyOwner
from trio_openai._request.exchange import Exchange
from trio_openai._wire.lifecycle import Lifecycle, Verdict
from trio_openai._wire.protocol import StreamProtocol
from trio_openai._wire.timings import Timings
from trio_openai._wire.usage import used_tokens
from trio_openai.errors import APIError

from .fanout import Hub
from .timings import Stopwatch


class ToldSource(BodyOwner):
    """The part of an `EventSource` that tells the observers.

    Args:
        exchange: sends the request.

    Attributes:
        lifecycle: see `EventSource`.
        hub: see `EventSource`.
        is_unheard: whether there are observers who have not been told yet of the first content.
    """

    lifecycle: Lifecycle[Any, Any]
    hub: Hub[Any] | None
    _stopwatch: Stopwatch

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.is_unheard: bool = exchange.watch is not None
        self._exchange = exchange
        self._failure: APIError | None = None  # how the stream ended, without secrets and tracebacks

    @property
    def call_id(self) -> int:
        """The number by which observers know this call; 0 if there are none."""
        return self._exchange.watch.call_id if self._exchange.watch is not None else 0

    @property
    def timings(self) -> Timings:
        """The times at which things happened, as of now."""
        raise NotImplementedError

    def tell_arrival(self) -> None:
        """Tell the observers of the first event and the first content, if an event just pulled out is that."""
        assert self._exchange.watch is not None
        self._stopwatch.note(self.lifecycle.decoder)
        self._exchange.watch.note(self._stopwatch.timings)
        self.is_unheard = self._stopwatch.timings.first_content is None

    async def tell_arrival_soon(self) -> None:
        """Do `tell_arrival` in the loop, for a thread that reads."""
        await trio.lowlevel.cancel_shielded_checkpoint()
        self.tell_arrival()

    def _tell_end(self, error: BaseException | None = None) -> None:
        """Tell the observers how the stream ended, if it has. Only the first call is heard."""
        if self._exchange.watch is None or self.lifecycle.is_open:
            return
        lifecycle, protocol = self.lifecycle, self.lifecycle.protocol
        error = error or self._failure or lifecycle.error or protocol.failure()
        told = {"usage": protocol.usage, "error": error, "answer": lifecycle.snapshot}
        self._exchange.tell_end(lifecycle.verdict, self.timings, **told)

    # A stream that nobody closes.

    def _may_go_on(self) -> bool:
        return self.lifecycle.is_open

    def _outlived_run(self) -> None:
        self.lifecycle.close()
        self._tell_end()

    def _abandoned(self) -> Callable[[], None]:
        self._exchange.lifetime.streams.discard(self)
        return functools.partial(_give_up, self._exchange, self.hub, self.lifecycle.protocol, self.timings)


def _give_up(exchange: Exchange, hub: Hub[Any] | None, protocol: StreamProtocol[Any, Any], timings: Timings) -> None:
    """End the subscriptions of an abandoned stream, settle its attempt, and tell the observers."""
    usage = protocol.usage
    if hub is not None:
        hub.end(False, None)
    exchange.add_usage(usage)
    try:
        exchange.settle(used_tokens(usage))
    finally:
        exchange.tell_end(Verdict("closed"), timings, usage=usage, answer=protocol.snapshot)
