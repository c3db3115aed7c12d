"""Take the lines of any source, one at a time, and read them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from typing import Any, cast

import trio

from .rows import BatchRow, BatchRowError, Defaults, parse_line, parse_object
from .sources import Line, Source


class Taker:
    """The lines of a sync or async source, taken one at a time."""

    def __init__(self, source: Source) -> None:
        lines = source.lines()
        self._async: AsyncIterator[Line] | None = None
        self._sync: Iterator[Line] | None = None
        if isinstance(lines, AsyncIterable):
            self._async = aiter(lines)
        else:
            self._sync = iter(lines)

    async def take(self) -> Line | None:  # noqa: ASYNC910 - the dispatcher has its own checkpoints
        """Return the next line, or None after the last one."""
        if self._async is None:
            assert self._sync is not None
            return next(self._sync, None)  # noqa: ASYNC910
        try:
            return await anext(self._async)
        except StopAsyncIteration:
            return None  # noqa: ASYNC910

    async def aclose(self) -> None:
        """Close the source's iterator if it can be closed, so that its `finally` blocks run now."""
        await trio.lowlevel.checkpoint()
        if (close := getattr(self._async, "aclose", None)) is not None:
            await close()
        elif (close := getattr(self._sync, "close", None)) is not None:
            close()


def read_row(line: Line, number: int, defaults: Defaults) -> BatchRow | BatchRowError | None:
    """Return the request of a line, what is wrong with it, or None if the line is blank."""
    if isinstance(line, bytes):
        return parse_line(line, number, defaults)
    if isinstance(line, BatchRow):
        return line
    return _read_other(line, number, defaults)


def _read_other(line: object, number: int, defaults: Defaults) -> BatchRow | BatchRowError | None:
    if isinstance(line, str):
        return parse_line(line.encode(errors="surrogatepass"), number, defaults)
    if not isinstance(line, Mapping):
        raise TypeError(f"a source yields bytes or dictionaries, not {type(line).__name__}")
    return parse_object(dict(cast("Mapping[str, Any]", line)), number, defaults)
