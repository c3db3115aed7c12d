"""Clear the tracebacks of the exceptions that an exchange created, and of no others.

A traceback keeps its frames alive, and with them what their variables hold: the request, what the server sent, the
connection. So an error leaves the library without the frames below it. The chain of an error (`__cause__`,
`__context__`) also leads to exceptions that are none of ours: Python adds the one that the program was handling when it
called. Those can be told apart by their tracebacks, which go through a frame that is still running above the exchange.
The frames of an exception that was created and caught inside the exchange have all ended, or are the exchange's own.
"""

from __future__ import annotations

import sys
from types import FrameType

_EXCHANGE = tuple(f"trio_openai.{folder}." for folder in ("_http", "_limits", "_stream", "_request", "_client"))


def clear_tracebacks(error: BaseException) -> None:
    """Clear the traceback of an error of ours, and those of the exceptions in its chain that led to it.

    An exception that existed before the exchange, and everything it leads to, stays as it is.
    """
    callers = _callers()
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen or (one is not error and _went_through(one, callers)):
            continue
        seen.add(id(one))
        one.__traceback__ = None
        pending += [one.__cause__, one.__context__]


def _callers() -> set[FrameType]:
    """Return the running frames above those of the exchange."""
    frame: FrameType | None = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_EXCHANGE):
        frame = frame.f_back
    callers: set[FrameType] = set()
    while frame is not None:
        callers.add(frame)
        frame = frame.f_back
    return callers


def _went_through(error: BaseException, frames: set[FrameType]) -> bool:
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame in frames:
            return True
        traceback = traceback.tb_next
    return False
