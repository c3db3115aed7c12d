"""Clear the tracebacks of exceptions that an exchange created, and of no others.

A traceback keeps its frames alive, and each frame keeps its locals: the request with the API key, the response, the
connection. So an error leaves the library without the frames inside the library.

The difficulty is the chain of an error (`__cause__`, `__context__`). It also leads to exceptions that are not ours:
Python links the exception that the program was handling when it made the call. The library must not modify those
(promise 2). They can be recognised by their tracebacks, which contain a frame that is still running above the exchange:
the program's `except` block. The frames of an exception that was created and caught inside the exchange have all ended,
or belong to the exchange.
"""

from __future__ import annotations

import sys
from types import FrameType

# The folders whose frames belong to an exchange. Every frame above them on the stack belongs to its caller.
_EXCHANGE = tuple(f"trio_openai.{folder}." for folder in ("_http", "_limits", "_stream", "_request", "_client"))


def clear_tracebacks(error: BaseException) -> None:
    """Clear the traceback of an error of this library, and of the exceptions in its chain that led to it.

    An exception that existed before the exchange stays unchanged, with everything it leads to.
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
    """Return the running frames above the exchange."""
    frame: FrameType | None = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_EXCHANGE):
        frame = frame.f_back
    callers: set[FrameType] = set()
    while frame is not None:
        callers.add(frame)
        frame = frame.f_back
    return callers


def _went_through(error: BaseException, frames: set[FrameType]) -> bool:
    """Return whether an exception passed through one of these frames."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame in frames:
            return True
        traceback = traceback.tb_next
    return False
