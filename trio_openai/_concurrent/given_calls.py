"""Checks of the calls that a program gives to `run_many`, `stream_many` and `race`."""

from __future__ import annotations

import inspect
from typing import Any, cast

from trio_openai._stream.stream import Stream, StreamCall, StreamManager


def check_call(door: str, given: object) -> None:
    """Check that this is a call that has yet to be made.

    Raises:
        TypeError: it is something else, such as a coroutine of `create(...)`, a stream, or a dictionary.
    """
    if not isinstance(given, StreamCall):
        raise TypeError(f"{door} takes calls, each made by an endpoint's call(...): {_instead(given)}")


def check_calls(door: str, given: object) -> None:
    """Check that this can be iterated for calls.

    Raises:
        TypeError: it cannot.
    """
    is_one = isinstance(given, StreamCall)
    if is_one or isinstance(given, Stream | StreamManager) or inspect.iscoroutine(given):
        what = "give them in a list, as in [call, ...]" if is_one else _instead(cast("Any", given))
        raise TypeError(f"{door} takes several calls, each made by an endpoint's call(...): {what}")
    if not any(hasattr(given, name) for name in ("__iter__", "__aiter__", "__getitem__")) or isinstance(
        given, str | bytes
    ):
        raise TypeError(f"{door} takes an iterable of calls, each made by an endpoint's call(...), not {_kind(given)}")


def _instead(given: object) -> str:
    call = "client.chat.completions.call(...)"  # or that of another endpoint
    if inspect.iscoroutine(given):
        name = given.__qualname__
        given.close()  # or Python warns that nobody has awaited it
        return f"write {call}, not {name.rpartition('.')[2]}(...), which is a coroutine"
    if isinstance(given, StreamManager):
        return f"write {call} in place of stream(...)"
    if isinstance(given, Stream):
        return f"write {call}, which opens its stream itself, in place of an open stream"
    if isinstance(given, dict):
        return f"write {call} with the members of the dictionary as its parameters"
    return f"write {call}, not {_kind(given)}"


def _kind(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
