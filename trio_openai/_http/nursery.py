"""Nurseries of ours that the caller does not notice: what comes out of one is never inside a group that we made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import trio


@asynccontextmanager
async def nursery_around_block() -> AsyncGenerator[trio.Nursery]:
    """A nursery that is cancelled when the block is left. What the block raises comes out bare."""
    errors: list[BaseException] = []
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, outside of the nursery, which would wrap it
                errors.append(error)
                nursery.cancel_scope.shield = True  # a cancellation from outside does not take its place
            nursery.cancel_scope.cancel()
    except BaseException as error:  # noqa: ASYNC103, BLE001 - as above
        errors.append(bare(error))
    raise_all("the block failed, and so did what ran beside it", errors)


@asynccontextmanager
async def bare_nursery() -> AsyncGenerator[trio.Nursery]:
    """A nursery whose tasks raise nothing. What its block raises, be it Ctrl-C, comes out bare."""
    failure: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, where it has no group as its context
        failure = bare(error)
    if failure is not None:
        raise failure


def bare(error: BaseException) -> BaseException:
    """Return the one exception in a group that a nursery made, cancellations aside; else the group."""
    while isinstance(error, BaseExceptionGroup):  # pyright: ignore[reportUnknownVariableType]
        inner = list(cast("BaseExceptionGroup[BaseException]", error).exceptions)
        others = [one for one in inner if not isinstance(one, trio.Cancelled)] or inner[:1]
        if len(others) > 1 or error.message != "Exceptions from Trio nursery":
            break
        error = others[0]
    return error  # pyright: ignore[reportUnknownVariableType]


def split_cancelled(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Return the cancellations in an exception, which have to go on, and the rest."""
    if isinstance(error, trio.Cancelled):
        return error, None
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(trio.Cancelled)
    return None, error


def raise_all(message: str, errors: Iterable[BaseException]) -> None:
    """Raise one error as it is, and several as an exception group. A cancellation gives way to anything else."""
    distinct: Sequence[BaseException] = list({id(error): error for error in errors}.values())
    distinct = [error for error in distinct if not isinstance(error, trio.Cancelled)] or distinct[:1]
    if len(distinct) == 1:
        raise distinct[0]
    if distinct:
        raise BaseExceptionGroup(message, distinct)
