"""`run_tools` for threads: the run lives in a loop, the functions run in worker threads.

The problem: a run has a nursery, which must be opened and closed by one task. But each call of a thread is a task of
its own in the loop.

The idea: a `_Host` is a task that keeps the block of the run open until the thread leaves its own block. Each step of
the iteration is a call into the loop, as for a stream. The plan of the run is changed in one point: sync functions run
in worker threads, because a function that blocks the loop would stop every other call of the client.

Rules that hold it together:

* Nothing but a cancellation leaves the host's task, or the loop would end. An exception of a tool, such as
  `KeyboardInterrupt`, is a value until the thread raises it.
* Leaving the block waits until every tool has ended, also if the thread is a worker whose task was cancelled. Ctrl-C
  ends the waiting. A thread cannot be stopped, so its function is waited for, unless it has a timeout.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar

import attrs
import trio

from trio_openai._http.nursery import split_cancelled
from trio_openai._mistakes import EntersBlocking
from trio_openai._request.headers import hide_headers
from trio_openai.types import ChatCompletion, Response

from .calls import Counterpart, SyncEndpoint, SyncSession, blocking
from .portal import Portal, is_worker

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from trio_openai._client import TrioOpenAI
    from trio_openai._tools.events import RunEvent
    from trio_openai._tools.plan import ToolRunStatistics
    from trio_openai._tools.run import ToolRun, ToolRunManager

    from .stream import SyncStream

_P = ParamSpec("_P")
WholeT = TypeVar("WholeT")
ChatT = TypeVar("ChatT", bound=ChatCompletion)
ResponseT = TypeVar("ResponseT", bound=Response)
SyncRunT = TypeVar("SyncRunT", bound="SyncToolRun[Any]")


class _Host:
    """The task in the loop that keeps a run open.

    Args:
        manager: The context manager of the run.

    Attributes:
        run: The run; None until it is open.
        error: The exception that the end of the run's block raised. The thread raises it.
    """

    def __init__(self, manager: ToolRunManager[Any]) -> None:
        self.run: ToolRun[Any] | None = None
        self.error: BaseException | None = None
        self._manager = manager
        self._scope = trio.CancelScope()
        self._opened, self._closing, self._ended = trio.Event(), trio.Event(), trio.Event()

    async def open(self, portal: Portal[Any]) -> ToolRun[Any]:
        """Start the task and return the run. Nothing is sent yet.

        Raises:
            trio.ClosedResourceError: The client is closed.
        """
        trio.lowlevel.spawn_system_task(self._live, portal, context=contextvars.copy_context())
        with trio.CancelScope(shield=True):  # opening a run waits for nothing
            await self._opened.wait()
        if self.run is None:
            raise trio.ClosedResourceError("this client has been closed")
        return self.run

    async def close(self, *, shield: bool) -> None:
        """Close the run, and wait until its tools have ended.

        Args:
            shield: Whether the wait goes on if it is cancelled.
        """
        self._closing.set()
        with trio.CancelScope(shield=shield):
            await self._ended.wait()

    async def _live(self, portal: Portal[Any]) -> None:  # noqa: ASYNC910 - nobody awaits a system task
        try:
            await portal.perform(self._scope, self._hold)
        except trio.ClosedResourceError:
            pass  # the client was closed, and the next step of the run says so
        finally:
            self._opened.set()
            self._ended.set()

    async def _hold(self) -> None:  # noqa: ASYNC910 - as above
        try:
            async with self._manager as self.run:
                self._opened.set()
                await self._closing.wait()
        except BaseException as error:  # noqa: ASYNC103, BLE001 - a system task that raises would end the loop
            cancelled, self.error = split_cancelled(error)
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104


@attrs.frozen
class _Raised:
    """An exception on its way from the loop to the thread."""

    error: BaseException


class SyncToolRun(Generic[WholeT]):
    """A model working with its tools, as opened by `with client.E.run_tools(...)`.

    Iterate it to drive the run. It yields the same events as a `ToolRun`. Only one thread may iterate at a time.

    If an interrupt (Ctrl-C, or another signal whose handler raises) comes while this waits, the run is closed, and the
    exception is raised unchanged.
    """

    def __init__(self, run: ToolRun[WholeT], portal: Portal[Any], owner: object) -> None:
        self._run, self._portal, self._owner = run, portal, owner
        self._blocking: tuple[object, SyncStream[Any, WholeT]] | None = None  # the latest stream, and its blocking form

    @property
    def messages(self) -> list[Any]:
        """The conversation up to the last completed round, ready to be sent again. See `ToolRun.messages`."""
        return self._run.messages

    @property
    def stream(self) -> SyncStream[Any, WholeT] | None:
        """The stream of the latest round; None before the first. The run reads it."""
        stream = self._run.stream
        if stream is None:
            return None
        if self._blocking is None or self._blocking[0] is not stream:
            self._blocking = stream, blocking(stream, self._portal, self._owner)
        return self._blocking[1]

    def statistics(self) -> ToolRunStatistics:
        """Return the progress so far."""
        return self._run.statistics()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.statistics()}>"

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RunEvent[WholeT]:
        """Return the next event of the run.

        Raises:
            StopIteration: The model has answered without calling a tool.
            ToolRunError: The model still called tools in the last allowed round, or its answer was cut off inside a
                call. With `on_error="raise"`, also if the arguments of a call are invalid.
            APIError: A stream failed; the error's `partial` holds what arrived.
            Exception: A tool raised it, and `on_error="raise"` is set; or an `approve` or `on_error` function raised
                it.
            trio.BusyResourceError: Another thread is iterating this run.
            trio.ClosedResourceError: The run or the client was closed.
            trio.Cancelled: This thread is a worker of `trio.to_thread.run_sync` whose task was cancelled.
        """
        step: Any = self._portal.run(self._step, undo=self._run.aclose)
        if isinstance(step, _Raised):
            try:
                raise step.error
            finally:
                del step  # break the reference cycle: error, traceback, this frame
        if step is None:
            raise StopIteration
        event: RunEvent[WholeT] = step
        return event

    async def _step(self) -> RunEvent[WholeT] | _Raised | None:
        try:
            return await anext(self._run, None)
        except BaseException as error:  # noqa: ASYNC103 - in the loop, a KeyboardInterrupt would end the loop
            cancelled, rest = split_cancelled(error)
            if cancelled is not None:
                raise
            assert rest is not None
            return _Raised(rest)  # noqa: ASYNC104, ASYNC910 - the step of the run was a checkpoint

    def until_done(self) -> None:
        """Run until the model calls no more tools. Raises what iterating raises."""
        for _ in self:
            pass

    def close(self) -> None:
        """Cancel the tools and close the stream. Leaving the block does the same, and waits for the tools.

        Idempotent, and callable from any thread that runs no event loop.
        """
        with contextlib.suppress(trio.ClosedResourceError):  # the client was closed, and the run with it
            self._portal.run(self._run.aclose)

    def _final(self) -> WholeT:
        return self._run._final()  # pyright: ignore[reportPrivateUsage]


class SyncChatToolRun(SyncToolRun[ChatT]):
    """A blocking run over Chat Completions."""

    def get_final_completion(self) -> ChatT:
        """Run to the end and return the completion of the last round. Raises what iterating raises."""
        self.until_done()
        return self._final()


class SyncResponseToolRun(SyncToolRun[ResponseT]):
    """A blocking run over the Responses API."""

    def get_final_response(self) -> ResponseT:
        """Run to the end and return the response of the last round: completed, incomplete or failed.

        Raises what iterating raises.
        """
        self.until_done()
        return self._final()


class SyncToolRunManager(EntersBlocking, Generic[SyncRunT]):
    """The context manager that `run_tools(...)` returns. Leaving the block cancels the tools and closes the stream."""

    _what = "run_tools(...)"
    _names = ("run", "event")

    def __init__(
        self,
        session: SyncSession,
        find: Callable[[TrioOpenAI], Any],
        run_class: Callable[[ToolRun[Any], Portal[Any], object], SyncRunT],
    ) -> None:
        self._session, self._find, self._run_class = session, find, run_class
        self._host: _Host | None = None
        self._portal: Portal[Any] | None = None
        self._has_begun = False

    def __enter__(self) -> SyncRunT:
        if self._has_begun:
            raise RuntimeError("this run has been entered already; call run_tools(...) again for another one")
        self._has_begun = True
        try:
            return self._session.portals.run(self._open)
        except BaseException:  # an interrupt too: the block is not entered, so nobody else would close the run
            self._close()
            raise

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()
        error = self._host.error if self._host is not None else None
        # As in the async client, Ctrl-C inside a tool takes precedence over the block's own error.
        if error is not None and (exc is None or not isinstance(error, Exception)):
            raise error

    async def _open(self, portal: Portal[Any]) -> SyncRunT:
        manager = self._find(self._session.client(portal))
        manager.plan = attrs.evolve(manager.plan, in_threads=True)
        self._portal, self._host = portal, _Host(manager)
        return self._run_class(await self._host.open(portal), portal, self._session)

    def _close(self) -> None:
        if self._portal is not None and self._host is not None:
            host, shield = self._host, is_worker()
            with contextlib.suppress(trio.ClosedResourceError):  # the client was closed, and the run with it
                self._portal.run(lambda: host.close(shield=shield))


class ToolRuns(Counterpart, Generic[_P, SyncRunT]):
    """A method that returns the context manager of a run.

    Args:
        find: Returns the counterpart.
        run_class: The blocking class of the run.
    """

    def __init__(
        self,
        find: Callable[[TrioOpenAI], Callable[_P, AbstractAsyncContextManager[Any]]],
        run_class: Callable[[ToolRun[Any], Portal[Any], object], SyncRunT],
    ) -> None:
        super().__init__(find)
        self._run_class = run_class

    def __get__(self, endpoint: SyncEndpoint[Any], owner: object) -> Callable[_P, SyncToolRunManager[SyncRunT]]:
        def run_tools(*args: _P.args, **params: _P.kwargs) -> SyncToolRunManager[SyncRunT]:
            hide_headers(params)
            session = endpoint._session  # pyright: ignore[reportPrivateUsage]
            return SyncToolRunManager(session, lambda client: self._find(client)(*args, **params), self._run_class)

        return self._described(run_tools, endpoint)
