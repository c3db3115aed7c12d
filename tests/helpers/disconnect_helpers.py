"""Disconnects in tests: count them from the start, and cause one when the server has a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from trio_openai import TrioOpenAI
from trio_openai.testing import ScriptedServer, ServerStatistics

FROM_START = ServerStatistics(connections=0, accepted=0, requests=0, disconnects=0)


async def cancel_once_requested(
    server: ScriptedServer, ask: Callable[[TrioOpenAI], Awaitable[Any]], client: TrioOpenAI
) -> None:
    """Make a call, and cancel it when the server has its request.

    A time limit would not do: on a busy machine it may pass before the request is sent.
    """
    requests = len(server.requests)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, client)
        await server.wait_requests(requests + 1)
        nursery.cancel_scope.cancel()
