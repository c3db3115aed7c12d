"""Run async functions in a trio loop for threads that have none.

The problem: the library is async, and a trio loop runs in one thread. A blocking client has many callers in many
threads. Some of them are workers of a trio program, started by `trio.to_thread.run_sync`; for the others no trio
loop is running at all. And a caller may be interrupted (Ctrl-C) at any moment while the loop goes on.

The idea: a `Portal` is the way into one loop. It owns the async client that lives there. `Portals` keeps one portal for
each loop and finds the right one for the calling thread. The loop is either:

* the loop of the worker. The portal is a system task in it, which trio cancels when the loop ends; or
* a loop in a thread that we start at the first call. All threads that are not workers share it.

Rules that hold it together:

* A client is used in its own loop only, and closed there: when the portals are closed, when the loop ends, or when the
  garbage collector finds the portals.
* A call blocks its thread until it has ended. A worker's call runs in the task that waits for the worker, so
  cancelling that task cancels the call. An abandoned worker's call goes on until it is complete or its loop ends; trio
  decides that.
* Our own thread is a daemon. Python waits for other threads at exit before it runs `atexit`, so we could never tell
  them to end. `_end_threads` ends ours in order before the interpreter would stop it halfway.

Interrupts: an exception can hit the waiting thread between any two lines, from Ctrl-C or from the handler of another
signal. The rule is that an interrupted call leaves nothing behind. So `run` submits a second call, which cancels the
first one, waits for its end and undoes what it did (closes the stream, for example). Only then the exception goes on.
The order is certain because a loop runs submitted callbacks in the order of submission: when the second call begins,
the first one has begun too, or never will.

Read next: `stream.py` for the streams, `calls.py` for the other calls, `tests/sync/test_portal.py` for the interrupts.
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
from typing import Any, Generic, Protocol, TypeVar

import trio

from .error_keeper import ErrorKeeper

_T = TypeVar("_T")

_CLOSE_SECONDS = 5.0  # the longest that closing a client may take

Undo = Callable[[], Awaitable[object]]


class HasAclose(Protocol):
    """The part of an async client that a portal needs."""

    async def aclose(self) -> None:
        """Close every connection. Network errors are ignored."""
        ...


ClientT = TypeVar("ClientT", bound=HasAclose)


def refuse_in_trio() -> None:
    """Raise `RuntimeError` if this thread runs a trio loop. A blocking call would stop it, and trio has `TrioOpenAI`.

    A thread that runs an asyncio loop may call, as the cells of a notebook do.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "a blocking call would stop the trio loop of this thread: use TrioOpenAI, or make the call in "
            "trio.to_thread.run_sync(...)"
        )


def _runs_asyncio() -> bool:
    # Importing asyncio takes time and memory. If nobody has imported it, it is not running.
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def is_worker() -> bool:
    """Return whether `trio.to_thread.run_sync` started this thread."""
    try:
        trio.from_thread.check_cancelled()
    except RuntimeError:
        return False
    except trio.Cancelled:  # noqa: ASYNC103 - a cancelled worker is a worker; its next call raises
        return True  # noqa: ASYNC104
    return True


class _ThreadCall(ErrorKeeper):
    """A call that a thread submits and the loop runs as a system task.

    Attributes:
        error: The exception that the function raised, or None.
        value: The result of the function.
        scope: The cancel scope around the function.
        begun: True once the loop has taken the call.
        ended: Set when the call has ended; for tasks in the loop.
        answered: Gets an item when the call has ended; for the waiting thread.
    """

    def __init__(self, portal: Portal[Any], function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        self.error = _ended()  # stays if the loop ends before the function does
        self.value: Any = None
        self.scope = trio.CancelScope()
        self.begun = False
        self.ended = trio.Event()
        self.answered: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._portal, self._function, self._args = portal, function, args
        self._context = contextvars.copy_context()

    def begin(self) -> None:
        """Start the task. Must be called in the loop."""
        self.begun = True
        try:
            trio.lowlevel.spawn_system_task(self._run, name=self._function, context=self._context)
        except RuntimeError:  # the loop is about to end, and takes no more tasks
            self._end()

    async def _run(self) -> None:  # noqa: ASYNC910 - no task awaits a system task
        try:
            with self:
                self.value = await self._portal.perform(self.scope, self._function, *self._args)
                self.error = None
        finally:
            self._end()

    def _end(self) -> None:
        self.ended.set()
        # At exit, the waiting thread is a daemon. An error would only make it print a traceback, so it stays blocked.
        if self.error is None or not self._portal.is_exiting:
            self.answered.put(None)


class Portal(Generic[ClientT]):
    """The way into one loop, and the client that lives there.

    Args:
        client: The client, which is used and closed in the loop only.
        for_workers: True if the loop is one that workers come from, False if it runs in a thread of ours.

    Attributes:
        client: The client.
        token: The loop's token; None until the loop runs.
        ended: Set when the client has been closed.
        failure: Keeps the exception that starting the loop or closing the client raised.
        is_exiting: True once the program is about to end.
    """

    def __init__(self, client: ClientT, *, for_workers: bool) -> None:
        self.client = client
        self.token: trio.lowlevel.TrioToken | None = None
        self.ended: threading.Event = threading.Event()
        self.failure: ErrorKeeper = ErrorKeeper()
        self.is_exiting = False
        self.for_workers = for_workers
        self._ready = threading.Event()
        self._stop_wanted = False  # `stop` may come before the loop runs
        self._stop = trio.Event()
        self._closed = False
        self._scopes: set[trio.CancelScope] = set()
        self._process = os.getpid()
        self._thread: threading.Thread | None = None

    # Called in the loop.

    async def live(self) -> None:
        """Wait until `stop` is called or this task is cancelled, then close the client.

        Errors of closing go to `failure`. They must not crash a loop that belongs to the program.
        """
        self.token = trio.lowlevel.current_trio_token()
        self._ready.set()
        try:
            if not self._stop_wanted:
                await self._stop.wait()
        finally:
            self._closed = True
            for scope in self._scopes:
                scope.cancel()
            # The loop may be ending, so every checkpoint here would raise `Cancelled` without the shield.
            with self.failure, trio.move_on_after(_CLOSE_SECONDS, shield=True):
                await self.client.aclose()
            self.ended.set()

    async def perform(self, scope: trio.CancelScope, function: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        """Run a function until it returns, the scope is cancelled or the portal is closed.

        Raises:
            trio.ClosedResourceError: The portal was closed, before this call or while it waited.
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
            raise RuntimeError("this stream belongs to another trio loop: use it in the worker threads of that loop")
        return await self.perform(trio.CancelScope(), function, *args)

    async def _withdraw(self, call: _ThreadCall, undo: Undo | None) -> None:
        """Cancel a call, wait until it has ended, and undo it."""
        call.scope.cancel()
        # If the call was interrupted before it was submitted, it never begins and there is nothing to wait for.
        await trio.lowlevel.cancel_shielded_checkpoint()
        if call.begun:
            await call.ended.wait()
        if undo is not None:
            await undo()

    # Called in a thread.

    def start_thread(self) -> None:
        """Start a thread and run the loop in it.

        Raises:
            OSError, RuntimeError: The thread cannot be started.
        """
        self._thread = threading.Thread(target=self._run_loop, name="trio_openai.sync", daemon=True)
        self._thread.start()

    def _run_loop(self) -> None:
        _with_threads.add(self)
        with self.failure:
            trio.run(self.live)
        self.ended.set()
        self._ready.set()  # also if the loop could not start: `wait_ready` then raises the reason
        _with_threads.discard(self)

    def wait_ready(self) -> None:
        """Wait until the loop runs.

        Raises:
            Exception: The loop could not be started.
        """
        self._ready.wait()
        if self.token is None and self.failure.error is not None:
            raise self.failure.error

    def run(self, function: Callable[..., Awaitable[_T]], *args: Any, undo: Undo | None = None) -> _T:
        """Run an async function in the loop and wait for its result.

        Args:
            function: The function.
            args: Its arguments.
            undo: An async function that is run in the loop if an interrupt ends the waiting.

        Raises:
            trio.ClosedResourceError: The portal was closed or its loop ended, before this call or while it waited.
            trio.Cancelled: This thread is a worker whose task was cancelled.
            RuntimeError: This thread runs a trio loop, the process was forked, or this worker belongs to another
                loop. Nothing was run.
        """
        refuse_in_trio()
        self._check_process()
        if self.for_workers and is_worker():
            return in_host_task(lambda: self._perform_for_worker(function, *args))
        call = _ThreadCall(self, function, args)
        try:
            self._submit(call)
            call.answered.get()
            error: BaseException | None = call.error
            value: _T = call.value
        except trio.RunFinishedError:
            raise _ended() from None
        except BaseException:  # Ctrl-C, or an exception that the handler of another signal raised
            self._take_back(call, undo)
            raise
        if error is not None:
            try:
                raise error
            finally:
                del error, call  # break the reference cycle: error, traceback, this frame
        return value  # no function call since `get`: an interrupt at its end could lose the value

    def _take_back(self, call: _ThreadCall, undo: Undo | None) -> None:
        """Cancel a call, undo it, and wait until that is done. A second interrupt ends the waiting, not the undoing."""
        withdrawal = _ThreadCall(self, self._withdraw, (call, undo))
        with contextlib.suppress(trio.RunFinishedError):
            self._submit(withdrawal)
            withdrawal.answered.get()

    def _submit(self, call: _ThreadCall) -> None:
        assert self.token is not None
        self.token.run_sync_soon(call.begin)

    def check_cancelled(self) -> None:
        """Raise `trio.Cancelled` if this thread is a worker whose task was cancelled."""
        if self.for_workers:
            try:
                trio.from_thread.check_cancelled()
            except RuntimeError:
                pass  # this thread is not a worker

    def stop(self) -> None:
        """Tell the loop to close the client soon, and return at once. Can be called anywhere, even in a finalizer."""
        self._stop_wanted = True
        if self.token is not None and self._process == os.getpid():
            with contextlib.suppress(trio.RunFinishedError):
                self.token.run_sync_soon(self._stop.set)

    def wait_ended(self, timeout: float | None = None) -> None:
        """Wait until the client is closed and the thread that we started, if any, has ended.

        Args:
            timeout: The longest time to wait, in seconds. None waits as long as it takes.
        """
        if self._process != os.getpid():
            return  # a fork copies no threads, so nothing would ever end the wait
        if self._thread is not None:
            self._thread.join(timeout)
        else:
            self.ended.wait(timeout)

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise RuntimeError("this client was used before the process was forked: create one in each process")


def in_host_task(function: Callable[[], Awaitable[_T]]) -> _T:
    """Run an async function in the task that waits for this worker.

    Raises:
        trio.ClosedResourceError: The loop has ended. `trio.from_thread.run` itself would raise `RunFinishedError`.
    """
    try:
        return trio.from_thread.run(function)
    except trio.RunFinishedError:
        raise _ended() from None


def _ended() -> trio.ClosedResourceError:
    return trio.ClosedResourceError("the event loop of this client has ended")


class Portals(Generic[ClientT]):
    """The portals of one blocking client: one for each loop that workers come from, and one for all other threads.

    Args:
        make: Creates an async client. It is called in the thread of the client's loop, or before the loop starts.
    """

    def __init__(self, make: Callable[[], ClientT]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._portals: list[Portal[ClientT]] = []
        self._own: Portal[ClientT] | None = None  # the portal whose thread we started
        self.is_closed: bool = False
        self._when_forgotten = weakref.finalize(self, _stop_all, self._portals)
        self._when_forgotten.atexit = False  # at exit, `_end_threads` does more: it also waits

    def run(self, function: Callable[[Portal[ClientT]], Awaitable[_T]], *, undo: Undo | None = None) -> _T:
        """Run an async function in the loop for this thread, and wait for its result.

        Args:
            function: Gets the portal of the loop.
            undo: An async function that is run in the loop if an interrupt ends the waiting.

        Raises:
            Exception: The client could not be created, or its loop could not be started. The next call tries again.
            trio.ClosedResourceError, trio.Cancelled, RuntimeError: See `Portal.run`.
        """
        refuse_in_trio()
        if is_worker():  # look up the portal inside the task, because only the task knows its loop

            async def here() -> _T:
                portal = self._portal_here()
                return await portal.perform(trio.CancelScope(), function, portal)

            return in_host_task(here)
        portal = self._own_portal()
        return portal.run(function, portal, undo=undo)

    def _portal_here(self) -> Portal[ClientT]:
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

    def _own_portal(self) -> Portal[ClientT]:
        with self._lock:
            alive, portal = self._alive(), self._own
            if portal is None or portal not in alive:
                portal = self._start_thread()
        portal.wait_ready()  # without the lock, so that other threads and `close` are not held up
        return portal

    def _start_thread(self) -> Portal[ClientT]:
        portal = Portal(self._make(), for_workers=False)
        try:
            portal.start_thread()
            self._portals.append(portal)
            self._own = portal
        except BaseException:  # the thread cannot start, or Ctrl-C came while it started: then it ends at once
            portal.stop()
            self._own = None
            raise
        return portal

    def _alive(self) -> list[Portal[ClientT]]:
        """Forget the portals whose loops have ended, and return the others.

        Raises:
            trio.ClosedResourceError: The client is closed.
        """
        if self.is_closed:
            raise trio.ClosedResourceError("this client has been closed")
        self._portals[:] = [portal for portal in self._portals if not portal.ended.is_set()]
        return self._portals

    def clients(self) -> list[ClientT]:
        """Return the clients of all loops. Only read from them, because this thread is not theirs."""
        return [portal.client for portal in list(self._portals) if not portal.ended.is_set()]

    def close(self) -> None:
        """Close every client, and end the thread that we started. Idempotent.

        This waits until everything is closed. In a thread that runs a trio loop it returns at once, because that loop
        may be the one that has to close a client. In a thread that runs an asyncio loop it waits only for the thread
        that we started, because a trio loop may be a guest of this asyncio loop.

        Raises:
            Exception: Closing a client failed. Everything is closed all the same.
        """
        with self._lock:
            self.is_closed = True
            portals = list(self._portals)
        _stop_all(portals)
        if trio.lowlevel.in_trio_run():
            return
        for portal in portals:
            if not (portal.for_workers and _runs_asyncio()):
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
    """End the threads at the end of the program, before the interpreter would stop them halfway."""
    portals = list(_with_threads)
    for portal in portals:
        portal.is_exiting = True
    _stop_all(portals)
    for portal in portals:
        portal.wait_ended(_CLOSE_SECONDS)
