"""Real proxy programs from Debian: tinyproxy for HTTP, microsocks for SOCKS. Each test starts its own."""

from __future__ import annotations

import gc
import re
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START, cancel_once_requested
from net_helpers import CHAT, TLSFront, no_environment, open_sockets, outcome, serve
from proxy_helpers import (
    HOST,
    PLAIN_PASSWORD,
    RunningProxy,
    authority,
    basic,
    leave_early,
    read_stream,
    running,
    tls_contexts,
)
from secret_helpers import assert_hidden

from trio_openai import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    Deadlines,
    InternalServerError,
    StreamTruncatedError,
    TrioOpenAI,
    TrioTransport,
)
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Reply, ScriptedServer

HELLO = Reply.chat("Hello there, you.")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


THROUGH = [(kind, is_tls) for kind in ("http", "socks5") for is_tls in (False, True)]
programs = pytest.mark.parametrize(
    ("kind", "is_tls"), THROUGH, ids=[f"{kind}-{'https' if tls else 'http'}" for kind, tls in THROUGH]
)


async def real(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, folder: Path, script: Any, *, tls: bool, host: str = HOST
) -> tuple[ScriptedServer, str]:
    """Start a server on a port, with TLS that the environment's certificates verify; return its base URL."""
    server = await serve(nursery, script, memory=False)
    if not tls:
        return server, server.base_url.replace(HOST, host)
    bundle = folder / "ca.pem"
    authority().cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    port = await TLSFront(server, tls_contexts(host)[0], nursery).listen()
    return server, f"https://{host}:{port}/v1"


@programs
async def test_real_proxy(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    """Stream to the end, leave early, cancel, time out: the server notices at once, and the only slot is free."""
    before = open_sockets()
    replies = [HELLO, HELLO, *[HELLO.stall_after(500)] * 3, HELLO]
    server, url = await real(nursery, monkeypatch, tmp_path, replies, tls=is_tls)
    deadlines = Deadlines(idle=0.05)
    async with running(kind, tmp_path, login=True) as proxy:
        client = TrioOpenAI(api_key="k", base_url=url, proxy=proxy.login_url, max_connections=1, max_retries=0)
        async with client:
            assert await read_stream(client) == "Hello there, you."
            assert await read_stream(client.with_options(max_retries=1)) == "Hello there, you."
            reused = client.statistics().transport.reused  # type: ignore[union-attr]
            assert reused == (0 if (kind, is_tls) == ("http", False) else 1), "tinyproxy closes after each http request"
            # tinyproxy does not announce that it closes, so a request may be sent before that is seen.
            await leave_early(client.with_options(max_retries=1))
            await server.wait_disconnect(1, since=FROM_START)
            await cancel_once_requested(server, read_stream, client)
            await server.wait_disconnect(2, since=FROM_START)
            assert isinstance(await outcome(read_stream, client.with_options(timeout=deadlines)), APITimeoutError)
            await server.wait_disconnect(3, since=FROM_START)
            assert await read_stream(client) == "Hello there, you."
            assert client.statistics().transport.active == 0  # type: ignore[union-attr]
        await server.wait_closed()
        assert all(request.header("proxy-authorization") is None for request in server.requests)
    await server.aclose()
    nursery.cancel_scope.cancel()  # the port of the TLS server in front of it
    with trio.CancelScope(shield=True):
        await trio.testing.wait_all_tasks_blocked()
    gc.collect()
    assert open_sockets() <= before + 1


@programs
async def test_real_proxy_with_wrong_or_missing_login(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    server, url = await real(nursery, monkeypatch, tmp_path, HELLO, tls=is_tls)
    async with running(kind, tmp_path, login=True) as proxy:
        wrong = proxy.login_url.replace("ada:", "eve:")
        for given in (wrong, proxy.url):
            async with TrioOpenAI(api_key="k", base_url=url, proxy=given) as client:
                error = await outcome(read_stream, client)
                if (kind, is_tls, given) == ("http", False, wrong):
                    # An old tinyproxy says 401, as if it were the server.
                    assert type(error) in (AuthenticationError, APIConnectionError)
                else:
                    assert type(error) is APIConnectionError
                assert "the proxy" in str(error)
                assert_hidden(error, PLAIN_PASSWORD)
                assert_hidden(error, basic("eve", PLAIN_PASSWORD)[6:])
                assert client.statistics().transport.active == 0  # type: ignore[union-attr]
    assert server.requests == []


@programs
async def test_real_proxy_killed_during_a_stream(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    server, url = await real(nursery, monkeypatch, tmp_path, HELLO.stall_after(700), tls=is_tls)
    async with running(kind, tmp_path) as proxy:
        async with TrioOpenAI(api_key="k", base_url=url, proxy=proxy.url, max_retries=0) as client:
            async with client.chat.completions.stream(**CHAT) as stream:
                await anext(stream)
                proxy.process.kill()
                error = await outcome(stream.until_done)
            assert isinstance(error, StreamTruncatedError)
            assert proxy.address in str(error)
            await server.wait_disconnect(1, since=FROM_START)
            error = await outcome(read_stream, client)
            assert type(error) is APIConnectionError
            # A proxy that is still dying resets the connection.
            assert proxy.address in str(error)
            assert re.search("Connection (refused|reset by peer)$", str(error))


@programs
async def test_real_proxy_that_cannot_reach_the_server(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    dead = f"http{'s' if is_tls else ''}://{HOST}:1/v1"
    async with running(kind, tmp_path) as proxy:
        async with TrioOpenAI(api_key="k", base_url=dead, proxy=proxy.url, max_retries=0) as client:
            error = await outcome(read_stream, client)
            if kind == "http" and not is_tls:
                assert type(error) is InternalServerError, "it answers the request in the server's place"
                assert f"through {proxy.address}, which may say this itself" in str(error)
            else:
                assert type(error) is APIConnectionError
                assert proxy.address in str(error)


async def test_real_proxy_that_forbids_the_address(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, url = await real(nursery, monkeypatch, tmp_path, HELLO, tls=True)
    async with running("http", tmp_path, more="ConnectPort 443") as proxy:
        async with TrioOpenAI(api_key="k", base_url=url, proxy=proxy.url) as client:
            with pytest.raises(APIConnectionError, match=f"{proxy.address} refused: 403 Forbidden"):
                await read_stream(client)
    assert server.requests == []


OUTSIDE = "0.0.0.0"  # this machine, by an address outside the loopback


@programs
async def test_real_proxy_from_the_environment(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    _, url = await real(nursery, monkeypatch, tmp_path, HELLO, tls=is_tls, host=OUTSIDE)
    async with running(kind, tmp_path, login=True) as proxy:
        for name in ("HTTPS_PROXY" if is_tls else "http_proxy", "ALL_PROXY"):
            with monkeypatch.context() as here:
                here.setenv(name, proxy.login_url)
                async with TrioOpenAI(api_key="k", base_url=url, max_retries=0) as client:
                    assert await read_stream(client) == "Hello there, you."
                here.setenv(name, proxy.url)
                await _ways_past(url, here, proxy)


async def _ways_past(url: str, monkeypatch: pytest.MonkeyPatch, proxy: RunningProxy) -> None:
    """Return the ways to bypass the environment's proxy, which refuses: `NO_PROXY`, `trust_env` and an argument."""
    async with TrioOpenAI(api_key="k", base_url=url, max_retries=0) as client:
        assert "the proxy" in str(await outcome(read_stream, client))
    async with TrioOpenAI(api_key="k", base_url=url, proxy=proxy.login_url) as client:
        assert await read_stream(client) == "Hello there, you."
    if url.startswith("http:"):
        async with TrioOpenAI(api_key="k", base_url=url, trust_env=False) as client:
            assert await read_stream(client) == "Hello there, you."
    for excepted in ("*", f"else.test,{OUTSIDE}", "0.0.0.0/8"):
        monkeypatch.setenv("NO_PROXY", excepted)
        async with TrioOpenAI(api_key="k", base_url=url) as client:
            assert await read_stream(client) == "Hello there, you."
    monkeypatch.delenv("NO_PROXY")


async def test_certificates_in_the_environment_are_ignored_without_trust_env(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, url = await real(nursery, monkeypatch, tmp_path, HELLO, tls=True)
    async with TrioOpenAI(api_key="k", base_url=url) as client:
        assert await read_stream(client) == "Hello there, you."
    async with TrioOpenAI(api_key="k", base_url=url, trust_env=False, max_retries=0) as client:
        with pytest.raises(APIConnectionError, match="certificate"):
            await read_stream(client)


@programs
async def test_sync_client_uses_a_real_proxy(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    server, url = await real(nursery, monkeypatch, tmp_path, [HELLO, HELLO.stall_after(500), HELLO], tls=is_tls)

    def use(proxy: str) -> str:
        with SyncOpenAI(api_key="k", base_url=url, proxy=proxy, max_connections=1) as client:
            with client.chat.completions.stream(**CHAT) as stream:
                text = "".join(stream.text_deltas)
            with client.chat.completions.stream(**CHAT) as stream:
                next(iter(stream))
            with client.chat.completions.stream(**CHAT) as stream:
                stream.until_done()
            return text

    async with running(kind, tmp_path, login=True) as proxy:
        assert await trio.to_thread.run_sync(use, proxy.login_url) == "Hello there, you."
        await server.wait_disconnect(1, since=FROM_START)
        await server.wait_closed()


@programs
async def test_users_httpx_client_uses_a_real_proxy(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, is_tls: bool
) -> None:
    if kind == "socks5":
        pytest.importorskip("socksio", reason="httpx needs socksio for SOCKS")
    replies = [HELLO, *[HELLO.stall_after(500)] * 2, HELLO]
    server, url = await real(nursery, monkeypatch, tmp_path, replies, tls=is_tls)

    def client(proxy: str) -> TrioOpenAI:
        http = httpx.AsyncClient(proxy=proxy, verify=tls_contexts(HOST)[1], limits=httpx.Limits(max_connections=1))
        return TrioOpenAI(api_key="k", base_url=url, http_client=http, max_connections=1, max_retries=0)

    async with running(kind, tmp_path, login=True) as proxy:
        async with client(proxy.login_url) as good:
            assert await read_stream(good) == "Hello there, you."
            await leave_early(good)
            await server.wait_disconnect(1, since=FROM_START)
            await cancel_once_requested(server, read_stream, good)
            await server.wait_disconnect(2, since=FROM_START)
            assert await read_stream(good) == "Hello there, you."
        if is_tls and kind == "http":  # httpcore leaves the socket to the garbage collector after a SOCKS refusal
            async with client(proxy.url) as bad:
                with pytest.raises(APIConnectionError, match="the proxy refused: 407"):
                    await read_stream(bad)
    gc.collect()


async def test_traceback_of_a_failed_connection_shows_no_password(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Check the transport too, because the client removes the frames of a failed attempt."""
    for scheme in ("http", "socks5"):
        async with running(scheme, tmp_path, login=True) as proxy:
            given = proxy.login_url.replace("ada:", "eve:")
            for url in ("http://127.0.0.1:1", "https://127.0.0.1:1"):
                async with httpx.AsyncClient(transport=TrioTransport(proxy=given)) as http:
                    error = await outcome(http.get, url)
                if isinstance(error, httpx.Response):
                    assert error.status_code in (401, 407)  # of an old and a new tinyproxy
                    continue
                assert isinstance(error, httpx.ProxyError)
                assert_hidden(error, PLAIN_PASSWORD)
                assert "127.0.0.1" in "".join(traceback.format_exception(error))
