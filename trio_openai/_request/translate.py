"""Translate the exceptions of an HTTP client into errors of this library.

This is the border to httpx. Its exceptions are told apart by the names of their classes and not by the classes, because
a program may bring `httpx2` or another library of the same form, with classes of its own.
"""

from __future__ import annotations

import re

from trio_openai._deadlines import Deadlines, Phase
from trio_openai.errors import APIConnectionError, APITimeoutError

_FINAL = frozenset({"LocalProtocolError", "UnsupportedProtocol", "InvalidURL"})
_CUT = re.compile("closed|disconnected|ended", re.IGNORECASE)

_TIMED_OUT: dict[Phase, str] = {
    "connect": "there was no connection within",
    "headers": "the server did not answer within",
    "first_event": "the stream had no event within",
    "first_content": "the stream had no content within",
    "idle": "the stream had no event for",
    "total": "the call was not finished within",
}


def translated(error: Exception, deadlines: Deadlines) -> APIConnectionError:
    """Return the library error for an exception of an HTTP client."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if "TimeoutException" in names:
        phase: Phase = "connect" if {"ConnectTimeout", "PoolTimeout"} & names else "headers"
        return timed_out(phase, getattr(deadlines, phase))
    words = str(error) or f"the connection failed ({type(error).__name__})"
    if "ProxyError" in names and "the proxy" not in words:
        words = f"the proxy refused: {words}"
    ours = APIConnectionError(words)
    ours.is_final = is_final(error)
    return ours


def is_final(error: Exception) -> bool:
    """Return whether another attempt would fail with the same exception of an HTTP client.

    A response that cannot be parsed is final: the server has done its work, and would send the same again. httpx uses
    `RemoteProtocolError` for that and also for a connection that was closed early, so the message has to decide.
    """
    known: bool | None = getattr(error, "is_final", None)
    if known is not None:
        return known
    names = {cls.__name__ for cls in type(error).__mro__}
    is_malformed = "RemoteProtocolError" in names and _CUT.search(str(error) or "ended") is None
    return is_malformed or not _FINAL.isdisjoint(names)


def timed_out(phase: Phase, seconds: float | None) -> APITimeoutError:
    """Return the error for a deadline that has passed."""
    limit = f"{seconds:g} s" if seconds is not None else "its time"
    error = APITimeoutError(f"{_TIMED_OUT[phase]} {limit} (the deadline `{phase}`)")
    error.phase = phase
    return error
