"""A server that answers before it has read the entire request: an error ends the upload, a success does not."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.lowlevel
import trio.testing
import trustme
from net_helpers import http_client, no_environment, outcome, watch

from trio_openai import APIStatusError, TrioOpenAI, TrioTransport

LONG = 30_000_000  # more bytes than the buffers of two sockets hold
ERROR = b'{"error": {"message": "go away"}}'


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


class Refuses:
    """A server that answers after the first bytes of a request and stops reading."""

    def __init__(self, *answer: bytes) -> None:
        self.answer = answer
        self.requests = 0
        self.tls: ssl.SSLContext | None = None

    async def __call__(self, stream: trio.abc.Stream) -> None:
        self.requests += 1
        try:
            if self.tls is not None:
                stream = trio.SSLStream(stream, self.tls, server_side=True, https_compatible=True)
            await stream.receive_some(1000)
            for piece in self.answer:
                await stream.send_all(piece)
                await trio.lowlevel.checkpoint()
            await trio.sleep_forever()
        finally:
            await trio.aclose_forcefully(stream)


async def client_of(nursery: trio.Nursery, server: Refuses, tls: Any) -> TrioOpenAI:
    nursery.start_soon(watch)
    server.tls = tls[0] if tls else None
    listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, server, 0)
    port = listeners[0].socket.getsockname()[1]
    transport = TrioTransport(ssl_context=tls[1] if tls else None)
    scheme = "https" if tls else "http"
    http = httpx.AsyncClient(transport=transport, trust_env=False)
    return TrioOpenAI(
        api_key="k", base_url=f"{scheme}://localhost:{port}", http_client=http, timeout=None, max_retries=0
    )


async def long_chat(client: TrioOpenAI, path: Path) -> object:
    return await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x" * LONG}])


async def long_stream(client: TrioOpenAI, path: Path) -> object:
    async with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "x" * LONG}]) as stream:
        return await stream.until_done()


async def form_from_disk(client: TrioOpenAI, path: Path) -> object:
    return await client.audio.transcriptions.create(model="m", file=path)


async def form_from_memory(client: TrioOpenAI, path: Path) -> object:
    return await client.audio.transcriptions.create(model="m", file=("a.wav", b"x" * LONG))


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uploads") / "long.wav"
    path.write_bytes(b"x" * LONG)
    return path


@pytest.mark.parametrize("use", [long_chat, long_stream, form_from_disk, form_from_memory])
@pytest.mark.parametrize("secure", [False, True], ids=["TCP", "TLS"])
@pytest.mark.parametrize("status", [401, 413])
async def test_early_error_response_ends_the_upload(
    nursery: trio.Nursery, long_file: Path, tls: Any, use: Any, secure: bool, status: int
) -> None:
    """Send without a deadline, so that the test hangs if the client waits to send the rest."""
    whole = response(status, ERROR)
    server = Refuses(b"HTTP/1.1 100 Continue\r\n\r\n", whole[:50], whole[50:])
    async with await client_of(nursery, server, tls if secure else None) as client:
        error = await outcome(use, client, long_file)
        assert isinstance(error, APIStatusError)
        assert error.status_code == status
        assert "go away" in str(error)
        transport: Any = client._session.http._transport
        assert (transport.statistics().active, transport.statistics().idle) == (0, 0), "it is not used again"
    assert server.requests == 1
    nursery.cancel_scope.cancel()


async def test_early_error_response_ends_a_short_request_over_an_unbuffered_stream(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = Refuses(response(413, ERROR))

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.lockstep_stream_pair()
        nursery.start_soon(server, far)
        await trio.lowlevel.checkpoint()
        return near

    nursery.start_soon(watch)
    http = http_client(TrioTransport(open_stream=open_stream))
    began = trio.current_time()
    async with TrioOpenAI(api_key="k", base_url="http://localhost", http_client=http) as client:
        error = await outcome(client.chat.completions.create, model="m", messages=[{"role": "user", "content": "Hi"}])
    assert isinstance(error, APIStatusError)
    assert trio.current_time() == began
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("early", [b"HTTP/1.1 100 Continue\r\n\r\n", b""])
async def test_early_success_response_does_not_end_the_upload(nursery: trio.Nursery, early: bytes) -> None:
    """Continue sending, because a server may begin its response while it is still reading."""
    received = 0

    async def accept(stream: trio.SocketStream) -> None:
        nonlocal received
        received += len(await stream.receive_some(1000))
        await stream.send_all(early + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        while received < LONG:
            received += len(await stream.receive_some())
        await stream.send_all(b"ok")

    nursery.start_soon(watch)
    listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, accept, 0)
    async with http_client(TrioTransport()) as client:
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        assert (await client.post(url, content=b"x" * LONG)).text == "ok"
    assert received > LONG
    nursery.cancel_scope.cancel()


async def test_connection_that_ends_during_sending_is_an_error_at_once(nursery: trio.Nursery) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_eof()
        await trio.sleep_forever()

    nursery.start_soon(watch)
    listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, hang_up, 0)
    transport = TrioTransport()
    async with http_client(transport) as client:
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        assert isinstance(await outcome(client.post, url, content=b"x" * LONG), httpx.TransportError)
        assert transport.statistics().active == 0
    nursery.cancel_scope.cancel()


async def test_failing_upload_leaves_no_task(nursery: trio.Nursery, autojump_clock: object) -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"x"
            raise ValueError("mine")

    server = Refuses()

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(server, far)
        await trio.lowlevel.checkpoint()
        return near

    async with http_client(TrioTransport(open_stream=open_stream)) as client:
        before = trio.lowlevel.current_statistics().tasks_living
        with pytest.raises(ValueError, match="mine"):
            await client.post("http://test/", content=Broken())
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living - before == 1, "the server's"
    nursery.cancel_scope.cancel()
