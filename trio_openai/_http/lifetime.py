"""Objects that end together: a client with its calls and streams, and a stream with its connection.

`Lifetime` closes a client. It wakes every task that waits for the client, whatever it waits for, and each gets
`trio.ClosedResourceError`. Then it closes all streams and the HTTP client at the same time and under one time limit, so
that a transport that hangs delays nothing else.

`BodyOwner` is the base class of streams. A stream that nobody closed and nobody can reach any more is closed by
`__del__`. This is the last resort, with a `ResourceWarning`, and no promise depends on it. It works because the client
refers to its streams weakly, and so does not keep such a stream alive.
"""

from __future__ import annotations

import functools
import sys
import warnings
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import trio

from trio_openai.errors import APITimeoutError

from .body import ReadableBody
from .foreign_body import closing_deadline
from .nursery import bare_nursery, raise_all

_T = TypeVar("_T")


class ClosedClientError(trio.ClosedResourceError, RuntimeError):
    """A method of a closed client was called. A closed httpx client raises `RuntimeError`, so this class is one too."""


class Closable(Protocol):
    """A stream, as far as closing is concerned."""

    def mark_closed(self) -> None:
        """Wake every task that waits for the stream. This has no checkpoint."""
        ...

    async def aclose(self) -> None:
        """Close the stream's connection, before the first checkpoint."""
        ...


class Lifetime:
    """The calls and open streams of a client.

    Attributes:
        is_closed: True once the client has been closed.
        streams: the open streams.
    """

    def __init__(self) -> None:
        self.is_closed: bool = False
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self._calls: set[trio.CancelScope] = set()

    async def run(self, function: Callable[..., Awaitable[_T]], *args: object) -> _T:
        """Run an async function until it returns or the client is closed.

        Raises:
            trio.ClosedResourceError: the client was closed, before this call or while it waited.
        """
        self.check_open()
        with trio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                return await function(*args)
            finally:
                self._calls.discard(scope)
        raise trio.ClosedResourceError("this client has been closed")

    def check_open(self) -> None:
        """Raise `trio.ClosedResourceError` if the client has been closed."""
        if self.is_closed:
            raise ClosedClientError(
                "this client has been closed: make the call inside its `async with` block, or create a new client"
            )

    def no_slot(self, seconds: float | None) -> APITimeoutError:
        """Return the error for a call that got no connection within the `connect` deadline."""
        count = len(self.streams)
        error = APITimeoutError(
            f"no connection was free within {seconds:g} s (the `connect` deadline): max_connections are in use, and "
            f"{count} {'stream is' if count == 1 else 'streams are'} open; close streams that you do not read to "
            "their end (`async with`, or aclose()), raise max_connections, or make fewer calls at a time"
        )
        error.phase, error.is_final = "connect", True  # another attempt would start again at the end of the queue
        return error

    async def close(self, close_http: Callable[[], Awaitable[None]], ignored: tuple[type[Exception], ...]) -> None:
        """Wake all waiting tasks, then close every stream and the HTTP client at the same time.

        This takes no longer than `closing_deadline` allows, even if a transport hangs.

        Args:
            close_http: closes the HTTP client. It is called even if closing a stream fails.
            ignored: exceptions that mean that a connection broke, which no longer matters.

        Raises:
            Exception: what a limiter or the transport raised; several are raised as an exception group.
        """
        self.is_closed = True
        for scope in list(self._calls):
            scope.cancel()
        streams: list[Closable] = list(self.streams)
        for stream in streams:
            stream.mark_closed()
        errors: list[BaseException] = []
        with trio.CancelScope(shield=True, deadline=closing_deadline()):
            async with bare_nursery() as nursery:
                for close in (*(stream.aclose for stream in streams), close_http):
                    nursery.start_soon(_collect, close, ignored, errors)
        raise_all("errors while the client was closed", errors)


async def _collect(  # noqa: ASYNC910 - the main function of a task
    close: Callable[[], Awaitable[None]], ignored: tuple[type[Exception], ...], errors: list[BaseException]
) -> None:
    """Call `close` and append its exception, if it raises one, to `errors`."""
    try:
        await close()
    except trio.Cancelled:
        raise
    except BaseException as error:  # noqa: BLE001 - `Lifetime.close` raises it once everything has been closed
        if not isinstance(error, ignored):
            errors.append(error)


class BodyOwner:
    """Base class of an object that holds the body, and so the connection, of a response, and must be closed.

    If the last reference to it disappears first, the connection is closed then, with a `ResourceWarning`. This happens
    at once, or shortly afterwards if the object is collected in another thread or inside trio's own code. Only the
    connection of another HTTP client needs a task, because it cannot be closed without waiting.

    An object that holds no connection may still have an end to come, as a stream between two attempts.
    """

    def __init__(self) -> None:
        # Give a stream all of its attributes at once. Python lets the objects of a class share the names of their
        # attributes only if the first objects have them early. Otherwise each gets a dictionary of 800 bytes.
        self._body: ReadableBody | None = None  # None while it holds no connection
        self._token: trio.lowlevel.TrioToken | None = None

    def _own_body(self, body: ReadableBody) -> None:
        """Take over a response's body."""
        self._body = body
        self._token = self._token or trio.lowlevel.current_trio_token()

    def _abandoned(self) -> Callable[[], None]:
        """Return a function that releases everything except the connection. It must not refer to this object."""
        raise NotImplementedError

    def _may_go_on(self) -> bool:
        """Return whether this has not ended although it holds no connection."""
        return False

    def _outlived_run(self) -> None:
        """End this after its run has ended. Nothing has to be released any more."""

    def __del__(self) -> None:
        if self._token is None or sys.is_finalizing() or (self._body is None and not self._may_go_on()):
            return
        body, self._body = self._body, None
        release = functools.partial(_release, body, self._abandoned())
        try:
            frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the code that was interrupted by __del__
            if _is_safe_here(self._token, frame.f_globals.get("__name__", "")):
                release()
            else:
                self._token.run_sync_soon(release)
        except trio.RunFinishedError:
            self._outlived_run()  # the socket closes itself when it is collected
        finally:
            if body is not None:
                warnings.warn(
                    "a stream was never closed, so its connection is closed now: use `async with`, or call its "
                    "aclose()",
                    ResourceWarning,
                    stacklevel=2,
                )


def _is_safe_here(token: trio.lowlevel.TrioToken, module: str) -> bool:
    """Return whether `__del__` runs in the run's thread and has not interrupted trio's own code."""
    is_here = trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is token
    return is_here and not module.startswith("trio.")


def _release(body: ReadableBody | None, give_up: Callable[[], None]) -> None:
    """Close the body, then release the rest of the stream."""
    try:
        if body is not None:
            body.close_soon()
    finally:
        give_up()
