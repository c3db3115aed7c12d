"""Send one request through whichever HTTP client the program uses, and find the body of its response.

A client that is not ours gets a slot of ours first, and a bound for the time until its response's head.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import trio

from trio_openai._http.body import BODY, body_of
from trio_openai._http.codings import decoded
from trio_openai._http.foreign_body import CLOSE_SECONDS, ForeignBody
from trio_openai._http.transport import NATIVE

from .session import Session


class _Once:
    """An iterator over one piece; not an async generator, which a cancelled request would leave to the collector."""

    def __init__(self, content: bytes) -> None:
        self._left = [content] if content else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:  # noqa: ASYNC910 - httpx awaits it between its own checkpoints
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()  # noqa: ASYNC910


@functools.cache
def _plain_class(cls: type[Any]) -> type[Any]:
    def iterate(stream: Any) -> _Once:
        return _Once(b"".join(stream))

    return type(cls.__name__, (cls,), {"__aiter__": iterate})


def plain_stream(stream: Any, content: bytes) -> Any:
    """The body of a request, of the same httpx's class, as one that is iterated without an async generator."""
    return _plain_class(stream.__class__)(content)


def _bound(scope: trio.CancelScope, request: httpx.Request) -> None:
    """Have a request end in time for the deadline `headers` also if its transport knows of none, as those for tests.

    The stock transport does, for connecting and for the head apart. It says what it does to those who trace it: so at
    its first word this is lifted.
    """

    async def trace(*_: object) -> None:  # noqa: ASYNC124, ASYNC910 - httpcore has checkpoints of its own
        _unbound(scope)

    seconds = request.extensions.get("timeout", {}).get("read")
    if seconds is not None:
        scope.deadline = trio.current_time() + seconds
        request.extensions["trace"] = trace


async def _response(
    http: httpx.AsyncClient, request: httpx.Request, auth: Any, scope: trio.CancelScope
) -> httpx.Response:
    options: Any = {"auth": auth} if auth is not None else {}
    with scope:
        return await http.send(request, stream=True, follow_redirects=False, **options)
    raise httpx.ReadTimeout("there was no head of a response in time")


def _unbound(scope: trio.CancelScope) -> None:
    scope.deadline = math.inf


async def send(session: Session, request: httpx.Request, auth: Any) -> httpx.Response:
    """Send one request, without following redirects. `body_of` the response has to be read or closed.

    Raises:
        RuntimeError: the client answered in HTTP/2, whose streams its transport does not reset when they are left: the
            server would go on generating.
    """
    with contextlib.ExitStack() as undo:
        within = trio.CancelScope()
        if (slots := session.slots) is not None:
            slot = object()
            request.extensions["timeout"] = await slots.take(slot, request)
            undo.callback(slots.release, slot)
            _bound(within, request)
            undo.callback(_unbound, within)
            request.extensions[NATIVE] = undo.close  # if that pool is ours, it counts, and looks at the clock, itself
        response = await _response(session.http, request, auth, within)
        if response.http_version == "HTTP/2":
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
                await response.aclose()
            raise RuntimeError("this http_client answered in HTTP/2, which trio_openai cannot cancel; use http2=False")
        is_decoded = response.is_stream_consumed
        if BODY not in response.extensions:
            if response.next_request is None:  # else it is sent on with these
                # httpx's timeout for reading goes on to bound every gap in the body, where our own deadlines count.
                request.extensions["timeout"] = {**request.extensions.get("timeout", {}), "read": None}
            response.extensions[BODY] = ForeignBody(response, undo.pop_all(), session.errors)
    if "content-encoding" in response.headers and not is_decoded:
        header = response.headers["content-encoding"]
        response.extensions[BODY] = decoded(body_of(response), header, session.options.max_event_bytes)
    return response
