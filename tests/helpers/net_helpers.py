"""Helpers for tests that talk to a server: servers, TLS, counters, and cancellation at a chosen step."""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import trio
import trio.testing

from trio_openai import TrioOpenAI, TrioTransport
from trio_openai.testing import Script, ScriptedServer
from trio_openai.testing._memory import MemoryStream

MESSAGES = [{"role": "user", "content": "Say hello."}]
CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES}


async def serve(nursery: trio.Nursery, script: Script, *, memory: bool = True) -> ScriptedServer:
    """Start a server, and a watchdog that fails the test if it hangs."""
    server = ScriptedServer(script)
    await server.start(nursery, memory=memory)
    nursery.start_soon(watch)
    return server


async def watch() -> None:
    clock = trio.lowlevel.current_clock()
    await trio.sleep(1e6 if isinstance(clock, trio.testing.MockClock) else 60)
    raise TimeoutError("the test hangs")


def client_over(server: ScriptedServer, **options: Any) -> tuple[TrioOpenAI, TrioTransport]:
    """Return a client of a server, and its transport, so that a test can look into the pool."""
    names = ("max_connections", "keepalive_expiry", "open_stream", "max_header_bytes")
    pool = {name: options.pop(name) for name in names if name in options}
    transport = TrioTransport(**{"open_stream": server.open_stream, **pool})
    return server.client(http_client=httpx.AsyncClient(transport=transport, trust_env=False), **options), transport


def http_client(transport: TrioTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport, trust_env=False, timeout=None)


def open_sockets() -> int:
    """Return the number of open sockets of this process."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - pathlib takes three times as long, and this is called often
        try:
            count += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")  # noqa: PTH115
        except FileNotFoundError:  # the descriptor of this listing is closed again
            pass
    return count


async def outcome(function: Callable[..., Awaitable[object]], *args: Any, **kwargs: Any) -> Any:
    """Return the result of a call, or the exception that it raises. A cancellation is not caught."""
    try:
        return await function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - the caller looks at it
        return error


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when a task has run, or is about to run, its k-th step from now."""

    def __init__(self, scope: trio.CancelScope, step: int, *, before: bool) -> None:
        self.fired = False
        self._task = trio.lowlevel.current_task()
        self._scope = scope
        self._left = step
        self._before = before

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._before:
            self._count(task)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if not self._before:
            self._count(task)

    def _count(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left < 0 and not self.fired:
                self.fired = True
                self._scope.cancel()


async def cancel_everywhere(
    scenario: Callable[[], Awaitable[object]], check: Callable[[], Awaitable[object]], *, before: bool
) -> int:
    """Run a scenario repeatedly, cancelled at its first step, its second, and so on, with a check after each run.

    Returns the number of steps.
    """
    for step in range(10_000):
        with trio.CancelScope() as scope:
            canceller = CancelAtStep(scope, step, before=before)
            trio.lowlevel.add_instrument(canceller)
            try:
                await scenario()
            finally:
                trio.lowlevel.remove_instrument(canceller)
        await check()
        if not canceller.fired:
            return step
    raise AssertionError("the scenario never ends")


class TLSFront:
    """TLS in front of a scripted server: `open_stream` for memory, `listen` for a real port.

    When the server closes the connection, TLS ends with `close_notify`, or without if `says_goodbye` is False.
    """

    def __init__(
        self, server: ScriptedServer, context: ssl.SSLContext, nursery: trio.Nursery, *, says_goodbye: bool = True
    ) -> None:
        self._says_goodbye = says_goodbye
        self._server = server
        self._context = context
        self._nursery = nursery

    async def open_stream(self, host: str, port: int) -> MemoryStream:
        await trio.lowlevel.checkpoint()  # first, so that a cancellation here leaves nothing to close
        near, far = MemoryStream.pair()
        self._nursery.start_soon(self._serve, far)
        return near

    async def listen(self) -> int:
        listeners: list[trio.SocketListener] = await self._nursery.start(trio.serve_tcp, self._serve, 0)
        return int(listeners[0].socket.getsockname()[1])

    async def _serve(self, stream: trio.abc.HalfCloseableStream) -> None:
        tls = trio.SSLStream(stream, self._context, server_side=True, https_compatible=not self._says_goodbye)
        inner = await self._server.open_stream()
        try:
            async with trio.open_nursery() as both:
                both.start_soon(copy, tls, inner, both.cancel_scope)
                both.start_soon(self._answer, inner, tls, both.cancel_scope)
        finally:
            with trio.CancelScope() as at_once:
                at_once.cancel()
                await inner.aclose()
            await trio.aclose_forcefully(tls)

    async def _answer(self, inner: Any, tls: Any, both: trio.CancelScope) -> None:
        await copy(inner, tls, trio.CancelScope())
        with trio.move_on_after(1):
            await tls.aclose()
        both.cancel()


async def copy(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, both: trio.CancelScope) -> None:
    try:
        async for data in source:
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    both.cancel()


def no_environment(monkeypatch: Any) -> None:
    """Remove keys, base URLs and proxies from the environment."""
    for name in list(os.environ):
        if name.startswith("OPENAI_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


class Steps(trio.abc.Instrument):
    """Counts the steps of the current task."""

    def __init__(self) -> None:
        self.taken = 0
        self._task = trio.lowlevel.current_task()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.taken += task is self._task
