"""What ends with a client, or with the last reference to a stream.

Closing a client wakes everybody who waits for it: each gets `trio.ClosedResourceError`, whatever the wait is for. Then
everything is closed at the same time, under one bound, so a transport that hangs delays nothing else.

A stream that nobody has closed, and that nobody can reach any more, is closed by `BodyOwner.__del__`. The client holds
its streams weakly, so it does not keep such a stream alive.
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
    """A call of a closed client. A closed client of httpx raises a `RuntimeError`, so this is one too."""


class Closable(Protocol):
    """A stream, as far as closing goes."""

    def mark_closed(self) -> None:
        """Wake everybody who waits for it. Needs no checkpoint."""
        ...

    async def aclose(self) -> None:
        """Close its connection, before anything is waited for."""
        ...


class Lifetime:
    """The calls and streams of a client, and whether the client has been closed.

    Attributes:
        streams: those that are open.
    """

    def __init__(self) -> None:
        self.is_closed = False
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self._calls: set[trio.CancelScope] = set()

    async def run(self, function: Callable[..., Awaitable[_T]], *args: object) -> _T:
        """Run a function that waits for a server, a limiter or anything else, until the client is closed.

        Raises:
            trio.ClosedResourceError: the client is closed, before or while this waits.
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
                "this client has been closed: make the call inside its `async with` block, or make a new client"
            )

    def no_slot(self, seconds: float | None) -> APITimeoutError:
        """Return the error for a call that found no free connection within the deadline `connect`."""
        count = len(self.streams)
        error = APITimeoutError(
            f"no connection was free within {seconds:g} s (the deadline `connect`): all of max_connections are in use, "
            f"and {count} {'stream is' if count == 1 else 'streams are'} open; close streams that you do not read to "
            "their end (`async with`, or aclose()), raise max_connections, or make fewer calls at a time"
        )
        error.phase, error.is_final = "connect", True  # another attempt would only go to the end of the line
        return error

    async def close(self, close_http: Callable[[], Awaitable[None]], ignored: tuple[type[Exception], ...]) -> None:
        """Wake all waiters, then close every stream and the HTTP client at the same time.

        It takes no longer than `closing_deadline` says, even if a transport hangs.

        Args:
            close_http: closes the HTTP client. It is called whatever goes wrong with a stream.
            ignored: what an HTTP client raises when a connection breaks, which does not matter any more.

        Raises:
            Exception: what a limiter or the transport raised. Two or more are raised as an exception group.
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


async def _collect(  # noqa: ASYNC910 - it is a task, and nobody waits for it
    close: Callable[[], Awaitable[None]], ignored: tuple[type[Exception], ...], errors: list[BaseException]
) -> None:
    try:
        await close()
    except trio.Cancelled:
        raise
    except BaseException as error:  # noqa: BLE001 - raised by `Lifetime.close`, when the rest has been closed
        if not isinstance(error, ignored):
            errors.append(error)


class BodyOwner:
    """Something that holds the connection of a response, and has to be closed.

    If the last reference to it goes away before, the connection is closed then, with a `ResourceWarning`: at once, or
    as soon as the trio run gets to it if this happens in another thread or in the middle of trio's own code. Only
    another HTTP client's connection takes a task for that, since it cannot be closed without waiting.
    """

    _body: ReadableBody | None = None  # None while there is no connection
    _token: trio.lowlevel.TrioToken | None = None

    def _own_body(self, body: ReadableBody) -> None:
        """Take over the connection."""
        self._body = body
        self._token = self._token or trio.lowlevel.current_trio_token()

    def _abandoned(self) -> Callable[[], None]:
        """Return what gives everything up but the connection, without a reference to this object."""
        raise NotImplementedError

    def __del__(self) -> None:
        if self._body is None or self._token is None or sys.is_finalizing():
            return
        body, self._body = self._body, None
        release = functools.partial(_release, body, self._abandoned())
        try:
            frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the code in which it was collected
            if _is_safe_here(self._token, frame.f_globals.get("__name__", "")):
                release()
            else:
                self._token.run_sync_soon(release)
        except trio.RunFinishedError:
            pass  # the socket has been closed, or is by the collector
        finally:
            warnings.warn(
                "a stream was never closed, so its connection is closed now: use `async with`, or call its aclose()",
                ResourceWarning,
                stacklevel=2,
            )


def _is_safe_here(token: trio.lowlevel.TrioToken, module: str) -> bool:
    """Return whether this is the run's own thread, and not in the middle of trio's own code."""
    is_here = trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is token
    return is_here and not module.startswith("trio.")


def _release(body: ReadableBody, give_up: Callable[[], None]) -> None:
    try:
        body.close_soon()
    finally:
        give_up()
