"""Nurseries that callers do not notice: an exception leaves them as it is, not inside an exception group.

trio wraps whatever leaves a nursery in an `ExceptionGroup`. That is right for a nursery that the user opened. But when
the library opens one internally, a user's own `ValueError` must come out as a `ValueError` (promise 2). Only two
failures that are truly simultaneous form a group.

An exception is always caught inside the `async with` block or right outside it, stored, and raised after the nursery
has closed. Raised inside an `except` block it would get trio's group as its `__context__`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import trio


@asynccontextmanager
async def nursery_around_block() -> AsyncGenerator[trio.Nursery]:
    """Open a nursery that is cancelled when the block ends. An exception of the block is raised unwrapped."""
    errors: list[BaseException] = []
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, outside the nursery that would wrap it
                errors.append(error)
                nursery.cancel_scope.shield = True  # so that a cancellation from outside cannot replace the exception
            nursery.cancel_scope.cancel()
    except BaseException as error:  # noqa: ASYNC103, BLE001 - as above
        errors.append(bare(error))
    raise_all("the block failed, and so did a background task", errors)


@asynccontextmanager
async def bare_nursery() -> AsyncGenerator[trio.Nursery]:
    """Open a nursery for tasks that raise nothing. An exception of the block, including Ctrl-C, is raised unwrapped."""
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, where it does not get a group as its context
        failure = bare(error)
    if failure is not None:
        raise failure


def bare(error: BaseException) -> BaseException:
    """Return the only exception in a nursery's group, ignoring cancellations, or the group if there are several."""
    # A nursery inside a nursery makes a group inside a group. Groups with another message are the user's own.
    while isinstance(error, BaseExceptionGroup):  # pyright: ignore[reportUnknownVariableType]
        inner = list(cast("BaseExceptionGroup[BaseException]", error).exceptions)
        others = [one for one in inner if not isinstance(one, trio.Cancelled)] or inner[:1]
        if len(others) > 1 or error.message != "Exceptions from Trio nursery":
            break
        error = others[0]
    return error  # pyright: ignore[reportUnknownVariableType]


def split_cancelled(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Split an exception into its cancellations, which must be raised again, and the rest."""
    if isinstance(error, trio.Cancelled):
        return error, None
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(trio.Cancelled)
    return None, error


def raise_all(message: str, errors: Iterable[BaseException]) -> None:
    """Raise one error as it is, and several as an exception group. Drop cancellations if there is any other error."""
    distinct: Sequence[BaseException] = list({id(error): error for error in errors}.values())
    distinct = [error for error in distinct if not isinstance(error, trio.Cancelled)] or distinct[:1]
    if len(distinct) == 1:
        raise distinct[0]
    if distinct:
        raise BaseExceptionGroup(message, distinct)
