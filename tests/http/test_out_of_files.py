"""A process that has no free file descriptor waits for one of its own connections, if it has any."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import CHAT, client_over, no_environment, outcome, serve

from trio_openai import APIConnectionError, APITimeoutError, Deadlines, TrioOpenAI
from trio_openai._http.byte_streams import is_out_of_files, reason_of
from trio_openai.testing import Reply, ScriptedServer
from trio_openai.testing._memory import MemoryStream

SLOW = Reply.chat("Hello there, you.", pace=0.1)


def refused(number: int) -> OSError:
    """Return what `trio.open_tcp_stream` raises if all attempts fail."""
    error = OSError("all attempts to connect to test:80 failed")
    attempts = [OSError(errno.ECONNREFUSED, "no"), OSError(number, os.strerror(number))]
    error.__cause__ = ExceptionGroup("multiple connection attempts failed", attempts)
    return error


class Descriptors:
    """An opener of streams to a server, for at most as many streams at a time as there are descriptors."""

    def __init__(self, server: ScriptedServer, free: int, number: int = errno.EMFILE) -> None:
        self.server = server
        self.free = free
        self.number = number
        self.refusals = 0
        self.most = self.opening = 0
        self.live: list[MemoryStream] = []

    async def open_stream(self, host: str, port: int) -> trio.abc.Stream:
        await trio.sleep(0.01)
        self.live = [stream for stream in self.live if not stream._inner.receive_stream._closed]
        if len(self.live) + self.opening >= self.free:
            self.refusals += 1
            raise refused(self.number)
        self.opening += 1
        try:
            stream: Any = await self.server.open_stream()
        finally:
            self.opening -= 1
        self.live.append(stream)
        self.most = max(self.most, len(self.live))
        return stream


async def ask(client: TrioOpenAI) -> str | None:
    async with client.chat.completions.stream(**CHAT) as stream:
        return (await stream.get_final_completion()).choices[0].message.content


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("keeps", [True, False], ids=["kept alive", "closed"])
async def test_request_without_file_descriptor_waits_for_one_of_our_connections(
    nursery: trio.Nursery, autojump_clock: object, number: int, keeps: bool
) -> None:
    headers = {} if keeps else {"connection": "close"}
    server = await serve(nursery, Reply.chat("Hello there, you.", pace=0.1, headers=headers))
    files = Descriptors(server, 5, number)
    deadlines = Deadlines(connect=60)
    client, transport = client_over(server, open_stream=files.open_stream, max_retries=0, timeout=deadlines)
    async with client:
        results = []
        calls = (client.chat.completions.call(key=number, **CHAT) for number in range(60))
        async with client.run_many(calls, max_concurrent=40) as running:
            async for result in running:
                results.append(result.error)
        assert results == [None] * 60
        assert transport.statistics().active == 0
        assert transport.statistics().idle < 5, "some descriptors are left for the rest of the program"
    assert files.most == 5
    assert files.refusals <= 60 + 40, files.refusals


async def test_idle_connection_to_another_server_is_closed(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, SLOW)
    files = Descriptors(server, 2)
    client, transport = client_over(server, open_stream=files.open_stream, max_retries=0)
    async with client:
        for host in ("one", "two", "three", "four"):
            assert await ask(client.with_options(base_url=f"http://{host}.test/v1")) == "Hello there, you."
        assert transport.statistics().idle >= 1


async def test_no_file_descriptor_and_no_connection_is_a_clear_error(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, SLOW)
    files = Descriptors(server, 0)
    client, transport = client_over(server, open_stream=files.open_stream, max_retries=0)
    errors = []

    async def note() -> None:
        errors.append(await outcome(ask, client))

    async with client:
        async with trio.open_nursery() as callers:
            for _ in range(10):
                callers.start_soon(note)
        assert transport.statistics().active == 0
    assert len(errors) == 10
    for error in errors:
        assert isinstance(error, APIConnectionError)
        assert "too many open files" in str(error)
        assert "ulimit -n" in str(error)


async def test_waiting_for_a_file_descriptor_counts_towards_the_connect_deadline(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.chat("Hello there, you.", pace=100))
    files = Descriptors(server, 1)
    client, transport = client_over(
        server, open_stream=files.open_stream, max_retries=0, timeout=Deadlines(connect=3, headers=None)
    )
    async with client, client.chat.completions.stream(**CHAT):
        began = trio.current_time()
        error = await outcome(ask, client)
        assert isinstance(error, APITimeoutError)
        assert error.phase == "connect"
        assert trio.current_time() - began == pytest.approx(3)
        assert transport.statistics().active == 1


async def test_cancelled_waiter_passes_its_turn_on(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, SLOW)
    files = Descriptors(server, 1)
    client, transport = client_over(server, open_stream=files.open_stream, max_retries=0)
    answers = []

    async def wait(scope: trio.CancelScope) -> None:
        with scope:
            answers.append(await ask(client))

    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        scopes = [trio.CancelScope() for _ in range(6)]
        async with trio.open_nursery() as callers:
            for scope in scopes:
                callers.start_soon(wait, scope)
            await trio.sleep(1)
            for scope in scopes[::2]:
                scope.cancel()
            await stream.aclose()
            scopes[1].cancel()
        assert answers == ["Hello there, you."] * 2
        assert transport.statistics().active == 0


async def test_closing_the_client_wakes_tasks_waiting_for_a_file_descriptor(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.chat("Hello", pace=100))
    files = Descriptors(server, 1)
    client, _ = client_over(server, open_stream=files.open_stream, max_retries=0)
    errors = []

    async def note() -> None:
        errors.append(await outcome(ask, client))

    stream = await client.chat.completions.create(**CHAT, stream=True)
    async with trio.open_nursery() as callers:
        callers.start_soon(note)
        await trio.sleep(1)
        await client.aclose()
    assert isinstance(errors[0], trio.ClosedResourceError)
    assert stream.verdict.state == "closed"


def test_lookup_without_file_descriptor_differs_from_unknown_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = OSError("failed")
    error.__cause__ = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert not is_out_of_files(error)

    def no_file(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", no_file)
    assert is_out_of_files(error)


def test_unknown_host_is_explained() -> None:
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert reason_of(error) == "Name or service not known"
    wrapped: Callable[..., OSError] = OSError
    outer = wrapped("x")
    outer.__cause__ = error
    assert reason_of(outer) == "Name or service not known"
    assert "unknown" not in reason_of(OSError(errno.ECONNREFUSED, "connecting to x: no")).lower()


async def test_unknown_host_has_a_readable_message(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)

    class Resolver(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *_: Any, **__: Any) -> Any:
            await trio.lowlevel.checkpoint()
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        async def getnameinfo(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    trio.socket.set_custom_hostname_resolver(Resolver())
    async with TrioOpenAI(api_key="k", base_url="https://no-such-host.test/v1", max_retries=0) as client:
        error = await outcome(ask, client)
    assert "no-such-host.test" in str(error)
    assert "Name or service not known" in str(error)
    assert "Unknown error" not in str(error)
