"""A key that a plain function gives, which may block."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable

import trio

from ._request import KeyProvider


def in_thread(function: Callable[[], str | Awaitable[str]]) -> KeyProvider:
    """An async function that calls one which may block."""

    async def ask() -> str:
        # Not one of the program's threads: those may all be workers that wait for this.
        limiter = trio.CapacityLimiter(1)
        (answer,) = await trio.to_thread.run_sync(lambda: (function(),), abandon_on_cancel=True, limiter=limiter)
        return await answer if isawaitable(answer) else answer

    return ask
