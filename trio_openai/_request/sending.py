"""Send one HTTP request through whichever client the program uses, and find the body of its response.

With our own `TrioTransport` there is little to do. For any other client this file adds what it lacks: a slot, so that
nothing queues in its pool (`_http/foreign_body.py` explains why), a limit for the time until the headers, and a body
that can be left early.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import AsyncIterator
from typing import Any

import trio

from trio_openai._http.body import BODY, body_of
from trio_openai._http.codings import decoded
from trio_openai._http.foreign_body import CLOSE_SECONDS, ForeignBody
from trio_openai._http.raw_request import RawRequest
from trio_openai._http.transport import NATIVE, TrioTransport, open_raw
from trio_openai._httpx import httpx

from .opened import Opened
from .redirects import with_next_request
from .session import Session


class _Once:
    """An async iterator over one piece of bytes.

    httpx would use an async generator. If a request is cancelled, the generator is left to the garbage
    collector, and trio warns.
    """

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
    """Return the body of a request in the class of the given one, but without its async generator.

    The class has to stay: httpx and httpx2 check that a body is an instance of their own.
    """
    return _plain_class(stream.__class__)(content)


def _limit_headers(scope: trio.CancelScope, request: httpx.Request) -> None:
    """Enforce the `headers` deadline for transports that ignore timeouts, such as mocks.

    httpx's stock transport respects timeouts, separately for connecting and for the headers. It reports its progress to
    a `trace` callback, so its first report shows that the limit here is not needed, and lifts it.
    """

    async def trace(*_: object) -> None:  # noqa: ASYNC124, ASYNC910 - httpcore has checkpoints of its own
        _lift(scope)

    seconds = request.extensions.get("timeout", {}).get("read")
    if seconds is not None:
        scope.deadline = trio.current_time() + seconds
        request.extensions["trace"] = trace


def _lift(scope: trio.CancelScope) -> None:
    scope.deadline = math.inf


async def _response(
    http: httpx.AsyncClient, request: httpx.Request, auth: Any, scope: trio.CancelScope
) -> httpx.Response:
    options: Any = {"auth": auth} if auth is not None else {}
    with scope:
        return await http.send(request, stream=True, follow_redirects=False, **options)
    raise httpx.ReadTimeout("the headers of the response did not arrive in time")


async def _own_response(transport: TrioTransport, request: httpx.Request, auth: Any) -> httpx.Response:
    """Send a request by the client's own transport, as httpx does, but without its log line, which shows the query."""
    if auth is not None:
        auth(request)
    try:
        response = await transport.handle_async_request(request)
    except httpx.RequestError as error:
        error.request = request
        raise
    return with_next_request(response, request)


async def send(session: Session, request: httpx.Request, auth: Any) -> httpx.Response:
    """Send a request without following redirects. The caller reads or closes `body_of` the response.

    Raises:
        RuntimeError: The client used HTTP/2. Its transport does not reset a stream that is left early, so the server
            would go on generating.
        Exception: The client raised it: one of `session.errors`.
    """
    with contextlib.ExitStack() as undo:
        within = trio.CancelScope()
        if (slots := session.slots) is not None:
            slot = object()
            request.extensions["timeout"] = dict(await slots.take(slot, request))
            undo.callback(slots.release, slot)
            _limit_headers(within, request)
            undo.callback(_lift, within)
            # If the client has a `TrioTransport`, that counts slots and enforces the deadlines itself. It calls this.
            request.extensions[NATIVE] = undo.close
        if (own := session.transport) is not None:
            response = await _own_response(own, request, auth)
        else:
            response = await _response(session.http, request, auth, within)
        if response.http_version == "HTTP/2":
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
                await response.aclose()
            raise RuntimeError("this http_client answered in HTTP/2, which trio_openai cannot cancel; use http2=False")
        is_decoded = response.is_stream_consumed  # mocks decode the body at once
        if BODY not in response.extensions:
            if response.next_request is None:  # the next request of a redirect inherits the timeouts
                # httpx would apply its read timeout to every gap in the body, where our own deadlines count. The
                # dictionary is changed and not replaced: through a proxy, httpx2 reads a copy of the extensions.
                request.extensions.setdefault("timeout", {})["read"] = None
            response.extensions[BODY] = ForeignBody(response, undo.pop_all(), session.errors)
    if "content-encoding" in response.headers and not is_decoded:
        header = response.headers["content-encoding"]
        response.extensions[BODY] = decoded(body_of(response), header, session.options.max_event_bytes)
    return response


async def send_raw(session: Session, request: RawRequest) -> Opened:
    """Send a request by our own transport, without the layers of httpx. The caller closes the body.

    Raises: what the transport raises.
    """
    assert session.transport is not None
    raw = await open_raw(session.transport, request)
    header = raw.header("content-encoding")
    body = raw.body if header is None else decoded(raw.body, header, session.options.max_event_bytes)
    return Opened.of_raw(raw, body, request.head, len(request.content))
