"""Doors from threads into trio loops.

A `Portal` belongs to one trio loop and to what lives there for the threads that come: its resident, an object with
`aclose()`. The loop is either one that runs anyway, whose `trio.to_thread` workers come back into it, or one that a
thread of ours runs for all the others. `Portals` finds the portal of the thread that asks, and opens it at the first
need.

Rules:

* A resident is used in its own loop only, and closed there: when the portals are closed, when the loop ends, or when
  nobody holds the portals any more. A running loop does it in a system task, which trio cancels at its end.
* A call takes its thread as long as it lasts. If something else comes out of the waiting (Ctrl-C, or what another
  signal's handler raises), the call is cancelled in the loop, undone there, and only then does the exception go on.
  Callbacks of one loop run in the order in which they were submitted: that is how the undoing knows whether the call
  had begun.
* A worker's call runs in its own task (`trio.from_thread.run`), so what cancels that task cancels the call. Trio
  decides what an abandoned worker's does: it goes on until it is done, or until the loop ends.
* Our own thread is a daemon, since others are waited for at the end of a program before anybody can tell them to end.
  `atexit` ends it, so that the interpreter does not stop it in the middle of something.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import os
import queue
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import trio

_T = TypeVar("_T")

_CLOSE_SECONDS = 5.0  # how long a resident may take to close

Undo = Callable[[], Awaitable[object]]


class Resident(Protocol):
    """What lives in a loop."""

    async def aclose(self) -> None:
        """Close it. No error of the network comes out."""
        ...


ResidentT = TypeVar("ResidentT", bound=Resident)


def refuse_in_event_loop() -> None:
    """Raise `RuntimeError` if this thread is running an event loop, which a blocking call would stop."""
    if trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "this is a blocking call, which would stop the trio loop of this thread: use TrioOpenAI, or make it in "
            "trio.to_thread.run_sync"
        )
    if _runs_asyncio():
        raise RuntimeError(
            "this is a blocking call, which would stop the asyncio loop of this thread: make it in asyncio.to_thread"
        )


def _runs_asyncio() -> bool:
    asyncio: Any = sys.modules.get("asyncio")  # what has not been imported does not run
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def is_worker() -> bool:
    """Whether this thread was started by `trio.to_thread.run_sync`."""
    try:
        trio.from_thread.check_cancelled()
    except RuntimeError:
        return False
    except trio.Cancelled:  # noqa: ASYNC103 - this only asks
        return True  # noqa: ASYNC104
    return True


class _Kept:
    """A context manager that keeps an exception for another thread."""

    error: Exception | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(exc, Exception):
            return False
        self.error = exc
        return True


class _ThreadCall(_Kept):
    """One call: made in a thread, run in the loop as a system task. `answered` gets an item when it is over."""

    def __init__(self, portal: Portal[Any], function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        self.error = _ended()  # what it stays if the loop ends
        self.value: Any = None
        self.scope = trio.CancelScope()
        self.begun = False
        self.ended = trio.Event()
        self.answered: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._portal, self._function, self._args = portal, function, args
        self._context = contextvars.copy_context()

    def begin(self) -> None:
        """Begin; called in the loop."""
        self.begun = True
        try:
            trio.lowlevel.spawn_system_task(self._run, name=self._function, context=self._context)
        except RuntimeError:  # the loop takes no more tasks: it is about to end
            self._end()

    async def _run(self) -> None:  # noqa: ASYNC910 - nobody waits for a system task
        try:
            with self:
                self.value = await self._portal.perform(self.scope, self._function, *self._args)
                self.error = None
        finally:
            self._end()

    def _end(self) -> None:
        self.ended.set()
        if self.error is None or not self._portal.is_exiting:
            self.answered.put(None)


class Portal(Generic[ResidentT]):
    """The way into one loop.

    Attributes:
        resident: what lives there; only to be used in the loop.
        token: the loop's; None until it runs.
        ended: set when the resident has been closed.
        failure: what came out of closing it, or of starting the loop.
        is_exiting: whether the program is ending. Whoever waits then is a daemon thread, which the interpreter stops
            where it is: it is not told of an error, which it would only print.
    """

    def __init__(self, resident: ResidentT, *, for_workers: bool) -> None:
        self.resident = resident
        self.token: trio.lowlevel.TrioToken | None = None
        self.ended = threading.Event()
        self.failure = _Kept()
        self.is_exiting = False
        self._for_workers = for_workers
        self._ready = threading.Event()
        self._stop_wanted = False
        self._stop = trio.Event()
        self._closed = False
        self._scopes: set[trio.CancelScope] = set()
        self._process = os.getpid()
        self._thread: threading.Thread | None = None

    # In the loop.

    async def live(self) -> None:
        """Keep the resident until `stop`, or until this is cancelled, then close it. Raises nothing but that."""
        self.token = trio.lowlevel.current_trio_token()
        self._ready.set()
        try:
            if not self._stop_wanted:
                await self._stop.wait()
        finally:
            self._closed = True
            for scope in self._scopes:
                scope.cancel()
            with self.failure, trio.move_on_after(_CLOSE_SECONDS, shield=True):
                await self.resident.aclose()
            self.ended.set()

    async def perform(self, scope: trio.CancelScope, function: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        """Run a function, until the scope is cancelled or the portal closed.

        Raises:
            trio.ClosedResourceError: the portal is closed, before or while this waits.
        """
        if not self._closed:
            self._scopes.add(scope)
            try:
                with scope:
                    return await function(*args)
            finally:
                self._scopes.discard(scope)
        raise trio.ClosedResourceError("this client has been closed")

    async def _perform_for_worker(self, function: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        if trio.lowlevel.current_trio_token() is not self.token:
            raise RuntimeError("this belongs to another trio loop than this thread")
        return await self.perform(trio.CancelScope(), function, *args)

    async def _withdraw(self, call: _ThreadCall, undo: Undo | None) -> None:
        """Cancel a call, wait until it is over, and undo what it did."""
        call.scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()
        if call.begun:
            await call.ended.wait()
        if undo is not None:
            await undo()

    # In a thread.

    def start_thread(self) -> None:
        """Run the loop in a thread of its own.

        Raises:
            OSError, RuntimeError: it cannot be started.
        """
        self._thread = threading.Thread(target=self._run_loop, name="trio_openai.sync", daemon=True)
        self._thread.start()

    def _run_loop(self) -> None:
        _with_threads.add(self)
        with self.failure:
            trio.run(self.live)
        self.ended.set()
        self._ready.set()
        _with_threads.discard(self)

    def wait_ready(self) -> None:
        """Return when the loop runs.

        Raises:
            Exception: why it could not be started.
        """
        self._ready.wait()
        if self.token is None and self.failure.error is not None:
            raise self.failure.error

    def run(self, function: Callable[..., Awaitable[_T]], *args: Any, undo: Undo | None = None) -> _T:
        """Run an async function in the loop and wait for it.

        Args:
            function: what to run.
            args: its arguments.
            undo: an async function that is run in the loop if the waiting is interrupted.

        Raises:
            trio.ClosedResourceError: the portal is closed or its loop has ended, before or while this waits.
            trio.Cancelled: this is a worker thread, and its task was cancelled.
            RuntimeError: this thread runs an event loop; or the loop is another process's, or another worker's.
        """
        refuse_in_event_loop()
        self._check_process()
        if self._for_workers and is_worker():
            return in_host_task(lambda: self._perform_for_worker(function, *args))
        call = _ThreadCall(self, function, args)
        try:
            self._submit(call)
            call.answered.get()
            error: Exception | None = call.error
            value: _T = call.value
        except trio.RunFinishedError:
            raise _ended() from None
        except BaseException:  # Ctrl-C, or what another signal's handler raised
            self._take_back(call, undo)
            raise
        if error is not None:
            try:
                raise error
            finally:
                del error, call  # they would hold each other: error, traceback, this frame
        return value  # no call from here on: at its end Ctrl-C could take the value away

    def _take_back(self, call: _ThreadCall, undo: Undo | None) -> None:
        """Cancel and undo a call, and wait for that. A second interrupt ends the waiting, not the undoing."""
        withdrawal = _ThreadCall(self, self._withdraw, (call, undo))
        with contextlib.suppress(trio.RunFinishedError):
            self._submit(withdrawal)
            withdrawal.answered.get()

    def _submit(self, call: _ThreadCall) -> None:
        assert self.token is not None
        self.token.run_sync_soon(call.begin)

    def check_cancelled(self) -> None:
        """Raise `trio.Cancelled` if this is a worker thread whose task was cancelled."""
        if self._for_workers:
            try:
                trio.from_thread.check_cancelled()
            except RuntimeError:
                pass  # another thread

    def stop(self) -> None:
        """Have the resident closed soon. Waits for nothing; callable from anywhere, also from a finalizer."""
        self._stop_wanted = True
        if self.token is not None and self._process == os.getpid():
            with contextlib.suppress(trio.RunFinishedError):
                self.token.run_sync_soon(self._stop.set)

    def wait_ended(self, timeout: float | None = None) -> None:
        """Return when the resident has been closed, and the thread is gone if it was ours; or after some seconds."""
        if self._process != os.getpid():
            return
        if self._thread is not None:
            self._thread.join(timeout)
        else:
            self.ended.wait(timeout)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise RuntimeError("this client was used before the process was forked: make one in each process")


def in_host_task(function: Callable[[], Awaitable[_T]]) -> _T:
    """`trio.from_thread.run`, for which the end of the loop is the end of what lived in it."""
    try:
        return trio.from_thread.run(function)
    except trio.RunFinishedError:
        raise _ended() from None


def _ended() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("the event loop that this lived in has ended")


class Portals(Generic[ResidentT]):
    """The portals of all threads: one for each running loop that workers come from, one for all other threads.

    Args:
        make: makes a resident. Called in the thread of its loop, or before that loop is started.
    """

    def __init__(self, make: Callable[[], ResidentT]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._portals: list[Portal[ResidentT]] = []
        self._own: Portal[ResidentT] | None = None  # the one with a thread of ours
        self._closed = False
        self._when_forgotten = weakref.finalize(self, _stop_all, self._portals)
        self._when_forgotten.atexit = False

    def run(self, function: Callable[[Portal[ResidentT]], Awaitable[_T]], *, undo: Undo | None = None) -> _T:
        """Run an async function in this thread's loop, with its portal, and wait for it.

        Raises: as `Portal.run`; and what making the resident raises.
        """
        refuse_in_event_loop()
        if is_worker():

            async def here() -> _T:
                portal = self._portal_here()
                return await portal.perform(trio.CancelScope(), function, portal)

            return in_host_task(here)
        portal = self._own_portal()
        return portal.run(function, portal, undo=undo)

    def _portal_here(self) -> Portal[ResidentT]:
        token = trio.lowlevel.current_trio_token()
        with self._lock:
            for portal in self._alive():
                if portal.token is token:
                    return portal
            portal = Portal(self._make(), for_workers=True)
            portal.token = token
            trio.lowlevel.spawn_system_task(portal.live)
            self._portals.append(portal)
            return portal

    def _own_portal(self) -> Portal[ResidentT]:
        with self._lock:
            alive, portal = self._alive(), self._own
            if portal is None or portal not in alive:
                portal = self._start_thread()
        portal.wait_ready()
        return portal

    def _start_thread(self) -> Portal[ResidentT]:
        portal = Portal(self._make(), for_workers=False)
        try:
            portal.start_thread()
            self._portals.append(portal)
            self._own = portal
        except BaseException:  # it cannot be started; or Ctrl-C, and it may have been
            portal.stop()
            self._own = None
            raise
        return portal

    def _alive(self) -> list[Portal[ResidentT]]:
        """The portals whose loops have not ended; the others are forgotten.

        Raises:
            trio.ClosedResourceError: this is closed.
        """
        if self._closed:
            raise trio.ClosedResourceError("this client has been closed")
        self._portals[:] = [portal for portal in self._portals if not portal.ended.is_set()]
        return self._portals

    def residents(self) -> list[ResidentT]:
        """What lives in the loops, as of now. To be looked at only."""
        return [portal.resident for portal in list(self._portals) if not portal.ended.is_set()]

    def close(self) -> None:
        """Close every resident, and end our own thread. Idempotent.

        Returns when that is done; in a thread that runs an event loop it does not wait, since that loop may be one of
        them.

        Raises:
            Exception: what came out of closing a resident.
        """
        with self._lock:
            self._closed = True
            portals = list(self._portals)
        _stop_all(portals)
        if trio.lowlevel.in_trio_run() or _runs_asyncio():
            return
        for portal in portals:
            portal.wait_ended()
        self._when_forgotten.detach()
        for portal in portals:
            error, portal.failure.error = portal.failure.error, None
            if error is not None:
                raise error


def _stop_all(portals: list[Portal[Any]]) -> None:
    for portal in portals:
        portal.stop()


_with_threads: set[Portal[Any]] = set()


@atexit.register
def _end_threads() -> None:
    """At the end of the program: end the threads, so that the interpreter does not stop them in the middle."""
    portals = list(_with_threads)
    for portal in portals:
        portal.is_exiting = True
    _stop_all(portals)
    for portal in portals:
        portal.wait_ended(_CLOSE_SECONDS)
