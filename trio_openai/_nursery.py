"""A nursery around the caller's block, which the caller does not notice."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def nursery_around_block() -> AsyncGenerator[trio.Nursery]:
    """A nursery that is cancelled when the block is left. What the block raises comes out bare."""
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, outside of the nursery, which would wrap it
            raised = error
            nursery.cancel_scope.shield = True  # a cancellation from outside does not take its place
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised
