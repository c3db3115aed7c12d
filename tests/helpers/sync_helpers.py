"""Helpers for the tests of the blocking client: a server in another thread, and Ctrl-C at the right moment."""

from __future__ import annotations

import contextlib
import queue
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import trio
from disconnect_helpers import FROM_START

import trio_openai._sync.portal
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import RecordedRequest, Reply, Script, ScriptedServer

_T = TypeVar("_T")

_LOOKS = 200  # a thread seen this often at the same place is waiting there


class ThreadedServer:
    """A scripted server that can be used from any thread."""

    def __init__(self, server: ScriptedServer, token: trio.lowlevel.TrioToken) -> None:
        self.server = server
        self._token = token

    def client(self, **options: Any) -> SyncOpenAI:
        return SyncOpenAI(**{"api_key": "sk-scripted", "base_url": self.server.base_url, **options})

    def wait_disconnect(self, count: int = 1) -> None:
        """Wait for a number of disconnects in total, since this thread does not know when they happen."""
        self.call(partial(self.server.wait_disconnect, count, since=FROM_START))

    def wait_closed(self) -> None:
        self.call(self.server.wait_closed)

    def call(self, function: Callable[..., Awaitable[_T]], *args: Any) -> _T:
        return trio.from_thread.run(function, *args, trio_token=self._token)


@contextlib.contextmanager
def served(script: Script) -> Iterator[ThreadedServer]:
    """Run a server in a thread until the block ends."""
    running: queue.SimpleQueue[ThreadedServer] = queue.SimpleQueue()
    end = trio.Event()

    async def serve() -> None:
        server = ScriptedServer(script)
        async with trio.open_nursery() as nursery:
            await server.start(nursery)
            running.put(ThreadedServer(server, trio.lowlevel.current_trio_token()))
            await end.wait()
            nursery.cancel_scope.cancel()

    failures: list[BaseException] = []

    def run() -> None:
        try:
            trio.run(serve)
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the test
            failures.append(error)

    thread = threading.Thread(target=run, name="server")
    thread.start()
    server = running.get()
    try:
        yield server
    finally:
        with contextlib.suppress(trio.RunFinishedError):
            server._token.run_sync_soon(end.set)
        thread.join()
        for failure in failures:
            raise failure


def loop_threads() -> list[threading.Thread]:
    """Return the threads in which blocking clients run their event loops."""
    return [thread for thread in threading.enumerate() if thread.name == "trio_openai.sync"]


def in_thread(function: Callable[[], object]) -> tuple[threading.Thread, list[Any]]:
    """Start a thread. Return it, and a list that will hold what the function returned or raised."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(function())
        except Exception as error:  # noqa: BLE001 - the caller looks at it
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


@contextlib.contextmanager
def signal_when_waiting(number: signal.Signals = signal.SIGINT) -> Iterator[None]:
    """Send this thread, which is the main one, a signal as soon as it waits for an event loop."""
    thread = threading.Thread(target=_signal_when_waiting, args=(threading.get_ident(), number))
    thread.start()
    try:
        yield
    finally:
        thread.join()


def wait_until_waiting(thread: int) -> None:
    """Wait until a thread waits for an event loop."""
    looks, place = 0, -1
    while looks < _LOOKS:
        time.sleep(0)  # let it run
        frame = sys._current_frames()[thread]
        waits = frame.f_code is trio_openai._sync.portal.Portal.run.__code__
        looks = looks + 1 if waits and frame.f_lasti == place else 0
        place = frame.f_lasti


def _signal_when_waiting(thread: int, number: signal.Signals) -> None:
    wait_until_waiting(thread)
    signal.pthread_kill(thread, number)


def answer(request: RecordedRequest) -> Reply:
    """Return an answer of the requested endpoint, as a stream if the request asks for one."""
    stream = bool(request.json().get("stream"))
    make = Reply.response if request.path.endswith("/responses") else Reply.chat
    return make("Hello there, friend!", stream=stream)
