"""Argument checks shared by `run_many`, `stream_many` and `race`.

The usual mistake is to pass something that has started already, such as a coroutine or an open stream. Each error names
the mistake and shows what to write.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

from trio_openai._stream.stream import Stream, StreamCall, StreamManager


def check_call(function: str, given: object) -> None:
    """Check that `given` was made by an endpoint's `call(...)`.

    Args:
        function: the public function that was called, for the message.
        given: one item of its `calls`.

    Raises:
        TypeError: `given` is something else, such as a coroutine of `create(...)`, a stream, or a dictionary.
    """
    if not isinstance(given, StreamCall):
        raise TypeError(f"{function} takes calls, each made by an endpoint's call(...): {_advice(given)}")


def check_calls(function: str, given: object) -> None:
    """Check that `given` is an iterable that can hold calls.

    Raises:
        TypeError: it is not iterable, or it is a single call or stream.
    """
    is_one = isinstance(given, StreamCall)
    if is_one or isinstance(given, Stream | StreamManager) or inspect.iscoroutine(given):
        what = "pass them in a list, as in [call, ...]" if is_one else _advice(cast("Any", given))
        raise TypeError(f"{function} takes several calls, each made by an endpoint's call(...): {what}")
    # `iter` also accepts objects that only have `__getitem__`.
    if not any(hasattr(given, name) for name in ("__iter__", "__aiter__", "__getitem__")) or isinstance(
        given, str | bytes
    ):
        raise TypeError(
            f"{function} takes an iterable of calls, each made by an endpoint's call(...), not {_kind(given)}"
        )


def check_total(given: object) -> int:
    """Return `total=` if it is a number of calls.

    Raises:
        ValueError: it is something else.
    """
    if type(given) is not int or given < 0:
        raise ValueError(f"total takes the number of calls, zero or more, not {given!r}")
    return given


def _advice(given: object) -> str:
    call = "client.chat.completions.call(...)"  # stands for the call(...) of any endpoint
    if inspect.iscoroutine(given):
        name = given.__qualname__
        given.close()  # otherwise Python also warns that the coroutine was never awaited
        return f"write {call}, not {name.rpartition('.')[2]}(...), which is a coroutine"
    if isinstance(given, StreamManager):
        return f"write {call} instead of stream(...)"
    if isinstance(given, Stream):
        return f"write {call}, which opens its own stream, instead of passing an open stream"
    if isinstance(given, dict):
        return f"write {call} with the dictionary's items as parameters"
    return f"write {call}, not {_kind(given)}"


def _kind(given: object) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
