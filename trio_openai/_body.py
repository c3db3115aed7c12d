"""The body of a response, read piece by piece, whoever's transport it came through.

A response of `TrioTransport` brings its `Body`, which is read directly. Any other client (one that the user brought,
over httpx's own transport, say) is read by `aiter_raw`. Three cures keep the promises there:

* httpx's stock pool loses a slot for good if a request is cancelled while it waits in the pool's queue. So nothing may
  queue there: a request takes a slot of ours first, of which there are no more than the pool has connections.
* A body that is left early unwinds its nested generators only when it is pulled. So it is pulled once more, under a
  scope that is cancelled already, and shielded: it ends at its first checkpoint, from the inside, and closes its
  connection.
* A read that was cancelled cannot be taken up again. So a task of its own makes each read, and cancelling the wait for
  it leaves the read alone (`ForeignBody`).
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import math
import zlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol, cast

import httpx
import trio

from ._reading import Reading
from ._transport import BODY, NATIVE
from .errors import APIResponseValidationError

if TYPE_CHECKING:
    from ._request import Session

_CLOSE_SECONDS = 5.0  # how long another transport may take to close
_LATE_CLOSE_SECONDS = 1.0  # the same for a caller whose own time is up
_PIECES_HELD = 1000  # pieces of a body that another transport may have at hand


class ReadableBody(Protocol):
    """A body: `read` until `b""`, and `aclose` at any time."""

    async def read(self) -> bytes:
        """The next bytes, `b""` at the end."""
        ...

    async def aclose(self, *, park: bool = False) -> None:
        """Give up the connection, before any checkpoint if that is possible. `park`: the rest is of no interest."""
        ...

    def close_soon(self) -> None:
        """Give up the connection without waiting: at once if that is possible, else by a task. Raises nothing."""
        ...


def closing_deadline() -> float:
    """When to stop waiting for another transport to close: after five seconds, sooner if the caller's time is up.

    A caller that is cancelled already, or has a deadline soon, still gives it one second.
    """
    now = trio.current_time()
    return min(now + _CLOSE_SECONDS, max(now + _LATE_CLOSE_SECONDS, trio.current_effective_deadline()))


class ForeignBody:
    """A body that another transport reads.

    Cancelling `read` never cancels the transport's own read, since no other client could take that up again. A task of
    its own makes the read, and the next `read` returns what it brought. So anybody may cancel a wait for a body at any
    time and for any reason (a deadline, a tool that has to report, `settle`), and go on reading later, exactly as with
    the body of `TrioTransport`. No caller has to know which of the two it reads. `aclose` ends the task and waits for
    it.
    """

    def __init__(
        self, response: httpx.Response, undo: contextlib.ExitStack, errors: tuple[type[Exception], ...]
    ) -> None:
        self._response = response
        # What has been read already, such as the answer of a mock, is there without its coding only.
        self._pieces: Any = response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()
        self._undo = undo
        self._errors = errors
        self._reading: Reading | None = None  # the read that nobody has taken yet
        self._ended = False
        self._unwound = False  # a read was begun and not finished: its generators are gone
        self._closed = False

    async def read(self) -> bytes:
        """Return the next bytes, `b""` at the end. If this is cancelled, nothing is lost.

        Raises:
            trio.ClosedResourceError: the body was closed before, or is while this waits.
        """
        self._check_open()
        if self._reading is None:
            self._reading = Reading(self._next_piece)
        reading = self._reading
        await reading.done.wait()
        self._reading = None
        self._check_open()
        return reading.result()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this response has been closed")

    async def _next_piece(self) -> bytes:
        self._unwound = True
        piece = b""
        while not piece and not self._ended:
            try:
                piece = await anext(self._pieces)
            except StopAsyncIteration:
                self._ended = True
            if not piece:
                await trio.lowlevel.checkpoint()  # another transport may have any number of empty ones
        self._unwound = False
        return piece  # noqa: ASYNC910 - not after the end

    async def aclose(self, *, park: bool = False) -> None:  # noqa: ARG002 - another transport does not park
        """Unwind the body if it was left early, close the response, give back the slot. Idempotent.

        A task that is reading gets `trio.ClosedResourceError`.
        """
        if self._closed:
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            self._closed = True
            await self._close()

    def close_soon(self) -> None:
        """Close it in a task, for a stream that nobody can close any more."""
        if not self._closed:
            trio.lowlevel.spawn_system_task(self._close_alone)

    async def _close_alone(self) -> None:  # noqa: ASYNC910 - it is a task, and nobody waits for it
        with contextlib.suppress(Exception):  # nobody is there to hear of it, and here it would end the run
            await self.aclose()

    async def _close(self) -> None:  # noqa: ASYNC910 - a checkpoint unless the transport has none to offer
        # Errors of closing say nothing about what was read, and there is nothing to be done about them.
        with (
            self._undo,
            trio.CancelScope(shield=True, deadline=closing_deadline()),
            contextlib.suppress(*self._errors),
        ):
            if self._reading is not None:
                await self._reading.cancel()
            if not (self._ended or self._unwound):
                await self._unwind()
            await self._response.aclose()

    async def _unwind(self) -> None:
        with trio.CancelScope() as at_once, contextlib.suppress(StopAsyncIteration):  # noqa: ASYNC912
            at_once.cancel()
            for _ in range(_PIECES_HELD):  # what it has got already comes without a checkpoint
                await anext(self._pieces)
        await self._pieces.aclose()


ACCEPTED_CODINGS = "gzip, deflate"
_MOST_CODINGS = 3  # each can stand for a thousand times as many bytes

_BY_HEADER = zlib.MAX_WBITS | 32  # gzip or zlib, by their first bytes
_FED_AT_ONCE = 16 * 1024  # bytes: they can hold 800 empty members, each of which costs some microseconds
_INFLATED_AT_ONCE = 64 * 1024  # bytes: less than a millisecond, also for whoever gets them
_USUAL_RATIO = 20  # JSON and events that say something seldom compress better


class InflatedBody:
    """A compressed body, decompressed as it is read: gzip, of one member or several, or deflate, also without zlib.

    A few compressed bytes can stand for a thousand times as many. So each step inflates a bounded number of bytes and
    has a checkpoint, and the whole may become `most` bytes, or twenty times what was received if that is more.
    """

    def __init__(self, body: ReadableBody, most: int) -> None:
        self._body = body
        self._most = most
        self._inflater = zlib.decompressobj(_BY_HEADER)
        self._is_new = True  # whether this inflater has not seen a byte yet
        self._held = b""  # given back by the inflater
        self._waiting = memoryview(b"")  # received, and not yet fed
        self._is_full = False  # the inflater may have more, without being fed
        self._received = self._inflated = 0

    async def read(self) -> bytes:
        """Return the next bytes, `b""` at the end. If this is cancelled, nothing is lost.

        Raises:
            APIResponseValidationError: it is not compressed as its header says, or inflates to too much.
            httpx.ReadError: it ended in the middle.
        """
        while True:
            has_ended = await self._feed()
            data = self._inflate(self._held)
            self._inflated += len(data)
            self._is_full = len(data) == _INFLATED_AT_ONCE
            if self._inflated > self._most:
                self._check_ratio()
            if data:
                return data
            if has_ended:
                break
        if not (self._inflater.eof or self._is_new):
            raise httpx.ReadError("the connection ended in the middle of the compressed body")
        return b""

    async def _feed(self) -> bool:
        """Have a bounded number of bytes ready for the inflater. Return whether the body has ended."""
        if self._held or self._waiting or self._is_full:
            await trio.lowlevel.checkpoint()
        else:
            data = await self._body.read()
            self._received += len(data)
            self._waiting = memoryview(data)
            if not data:
                return True
        if not self._held:
            self._held, self._waiting = bytes(self._waiting[:_FED_AT_ONCE]), self._waiting[_FED_AT_ONCE:]
        return False

    @property
    def received(self) -> int:
        """How many bytes came, before any decompression."""
        return self._body.received if isinstance(self._body, InflatedBody) else self._received

    def _check_ratio(self) -> None:
        if self._inflated > _USUAL_RATIO * self.received:
            raise APIResponseValidationError(
                f"the response is compressed, and its first {self.received} bytes inflate to more than {self._most}; "
                "if they may, make the client with a larger max_event_bytes=..."
            )

    def _inflate(self, compressed: bytes) -> bytes:
        if self._inflater.eof and compressed:  # another member
            self._inflater, self._is_new = zlib.decompressobj(_BY_HEADER), True
        try:
            data = self._inflater.decompress(compressed, _INFLATED_AT_ONCE)
        except zlib.error as error:
            if self._is_new and (compressed[0] & 0x0F) != 8:
                self._inflater, self._is_new = zlib.decompressobj(-zlib.MAX_WBITS), False
                return self._inflate(compressed)
            raise APIResponseValidationError(f"the answer is not compressed as its header says: {error}") from error
        self._is_new = self._is_new and not compressed
        self._held = self._inflater.unconsumed_tail or self._inflater.unused_data
        return data

    async def aclose(self, *, park: bool = False) -> None:
        """Give up the connection."""
        await self._body.aclose(park=park)

    def close_soon(self) -> None:
        """Give up the connection without waiting."""
        self._body.close_soon()


class UndecodableBody:
    """A body in a coding that is not supported. Reading it raises an error, unless it is empty."""

    def __init__(self, body: ReadableBody, how: str) -> None:
        self._body = body
        self._how = how

    async def read(self) -> bytes:  # noqa: ASYNC910 - as the body below
        """Raise `APIResponseValidationError`, which names the coding."""
        if await self._body.read():
            raise APIResponseValidationError(
                f"the response is encoded {self._how} (content-encoding), which is not supported; trio_openai asks for "
                f"{ACCEPTED_CODINGS} or none, so a proxy or the server ignores accept-encoding"
            )
        return b""  # noqa: ASYNC910

    async def aclose(self, *, park: bool = False) -> None:
        """Give up the connection."""
        await self._body.aclose(park=park)

    def close_soon(self) -> None:
        """Give up the connection without waiting."""
        self._body.close_soon()


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
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_SECONDS):
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
        response.extensions[BODY] = decoded(body_of(response), header, session.max_event_bytes)
    return response


def decoded(body: ReadableBody, header: str, most: int) -> ReadableBody:
    """Return a body without the codings of its `content-encoding` header, the last of which was applied last.

    Args:
        body: the body as it is received.
        header: the header's value.
        most: bytes that it may inflate to.
    """
    codings = [coding for item in header.split(",") if not _is_no_coding(coding := item.strip().lower())]
    if len(codings) > _MOST_CODINGS:
        return UndecodableBody(body, f"{len(codings)} times ({header[:50]}...)")
    for coding in reversed(codings):
        if coding not in ("gzip", "x-gzip", "deflate"):
            return UndecodableBody(body, f"as {coding!r}")
        body = InflatedBody(body, most)
    return body


def _is_no_coding(coding: str) -> bool:
    """Return whether this is no coding at all, or a charset that a server has put into the wrong header."""
    if coding in ("", "identity", "none", "binary", "7bit", "8bit"):
        return True
    try:
        return codecs.lookup(coding)._is_text_encoding  # pyright: ignore[reportPrivateUsage]
    except (LookupError, ValueError):
        return False


def body_of(response: httpx.Response) -> ReadableBody:
    """The body of a response that came from `send`."""
    return cast("ReadableBody", response.extensions[BODY])
