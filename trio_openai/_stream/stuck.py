"""Detect a task that waits for a subscription which nobody can ever serve.

The task that reads a stream delivers its events to the subscribers. A task that iterates a subscription of its own
stream, which no other task reads, would wait for ever. This is certain if no other task, thread or object can reach the
stream, since then nobody can start to read it later either.

Reference counts prove it. The only references to the stream must be one local variable of the waiting task, and the
manager of the block it was opened in. In any other case (a closure shares the variable, a list holds the stream, it was
opened by `create`) nothing is raised. A missed detection costs nothing, a wrong one would break a good program.
"""

from __future__ import annotations

import sys
import weakref
from types import FrameType
from typing import Any

WORDS = (
    "no event would ever come: this task waits for its own subscription, and no other task can read the stream. "
    "Iterate the stream itself, or read it in another task (nursery.start_soon(stream.until_done)), or open it with "
    "start_stream(nursery, ...)"
)


def _references_of_a_local() -> int:
    own = object()
    count: int = _count(own)
    return count


_count: Any = getattr(sys, "getrefcount", None)  # only CPython has it
_OWN: int = _references_of_a_local() if _count is not None else 0


def refer_to(stream: object) -> weakref.ref[Any]:
    """Return a weak reference that the program cannot share, so that the program's own weak references are counted."""
    return weakref.ref(stream, lambda _: None)


def is_unreachable(reference: weakref.ref[Any]) -> bool:
    """Return whether the running task alone can reach a stream, through one local variable."""
    stream = reference()
    if _count is None or stream is None:
        return False
    if _count(stream) != _OWN + 2 or weakref.getweakrefcount(stream) != 1:  # the local variable and the manager
        return False
    return _is_local(stream, sys._getframe(1))  # pyright: ignore[reportPrivateUsage]


def _is_local(value: object, frame: FrameType | None) -> bool:
    """Return whether a variable of a frame or one of its callers, which no closure shares, has this value."""
    while frame is not None and not frame.f_globals.get("__name__", "").startswith(
        "trio._core"
    ):  # where the task begins
        code, local = frame.f_code, frame.f_locals
        if any(local.get(name) is value for name in code.co_varnames if name not in code.co_cellvars):
            return True
        frame = frame.f_back
    return False
