"""TLS over the transport: certificates, failing handshakes, and records that nobody asked for."""

from __future__ import annotations

import gc
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing
import trustme
from net_helpers import (
    TLSFront,
    http_client,
    open_sockets,
    outcome,
    serve,
)
from transport_helpers import HELLO, OK, HandMade, TLSPair, answer_always, read_plain, read_stream

from trio_openai import APIConnectionError, TrioOpenAI, TrioTransport
from trio_openai.testing._memory import MemoryStream


async def test_unrequested_response_in_its_own_tls_record_is_never_used(
    nursery: trio.Nursery, autojump_clock: object, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """Send both records in one write: OpenSSL then holds the second one, where no poll sees it."""

    async def say_too_much(far: MemoryStream) -> None:
        near, behind = trio.testing.memory_stream_pair()
        server = trio.SSLStream(near, tls[0], server_side=True, https_compatible=True)

        async def inward() -> None:
            async for data in far:
                await behind.send_all(data)

        async def outward() -> None:
            async for data in behind:
                await far.send_all(data)

        async with trio.open_nursery() as relays:
            relays.start_soon(inward)
            relays.start_soon(outward)
            data = b""
            while b"\r\n\r\n" not in data:
                data += await server.receive_some()
            relays.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await server.send_all(OK)
            await server.send_all(OK.replace(b"ok", b"NO"))
            await far.send_all(await behind.receive_some())  # both records in one write
            await trio.sleep(1000)

    async def honest(far: MemoryStream) -> None:
        server = trio.SSLStream(far, tls[0], server_side=True, https_compatible=True)
        while True:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await server.receive_some()
            await server.send_all(OK)

    hand = HandMade(nursery, say_too_much, honest)
    transport = TrioTransport(open_stream=hand.open_stream, ssl_context=tls[1])
    async with http_client(transport) as client:
        assert (await client.get("https://good.test/")).text == "ok"
        assert (await client.get("https://good.test/")).text == "ok"
    nursery.cancel_scope.cancel()


def tls_client(front: TLSFront, host: str, context: ssl.SSLContext | None, **options: Any) -> TrioOpenAI:
    transport = TrioTransport(open_stream=front.open_stream, ssl_context=context)
    options = {"max_retries": 0, "api_key": "k", **options}
    return TrioOpenAI(base_url=f"https://{host}/v1", http_client=http_client(transport), **options)


async def test_tls_with_a_valid_certificate(nursery: trio.Nursery, tls: TLSPair) -> None:
    server = await serve(nursery, HELLO)
    async with tls_client(TLSFront(server, tls[0], nursery), "good.test", tls[1]) as client:
        for _ in range(3):
            assert await read_stream(client) == "Hello there, you."
        assert server.statistics().accepted == 1
    await server.wait_closed()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("host", "trusting"), [("wrong.test", True), ("good.test", False)])
async def test_tls_with_invalid_certificate_is_refused_before_anything_is_sent(
    nursery: trio.Nursery, tls: TLSPair, host: str, trusting: bool
) -> None:
    server = await serve(nursery, HELLO)
    context = tls[1] if trusting else ssl.create_default_context()
    async with tls_client(TLSFront(server, tls[0], nursery), host, context) as client:
        error = await outcome(read_plain, client)
        assert isinstance(error, APIConnectionError)
        assert "certificate verify failed" in str(error)
        await server.wait_closed()
        assert server.requests == []
    nursery.cancel_scope.cancel()


async def test_ssl_cert_file_is_used_on_real_sockets(
    nursery: trio.Nursery, tls: TLSPair, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    server = await serve(nursery, HELLO, memory=False)
    port = await TLSFront(server, tls[0], nursery).listen()
    url = f"https://localhost:{port}/v1"
    async with TrioOpenAI(base_url=url, max_retries=0) as client:
        assert isinstance(await outcome(read_stream, client), APIConnectionError)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    async with TrioOpenAI(base_url=url, max_retries=0) as client:
        assert await read_stream(client) == "Hello there, you."
    nursery.cancel_scope.cancel()


CERTIFICATES = {
    "a missing file": ("SSL_CERT_FILE", "missing.pem", "No such file"),
    "a file of something else": ("SSL_CERT_FILE", "text.pem", "SSL_CERT_FILE"),
    "a directory as a file": ("SSL_CERT_FILE", "", "SSL_CERT_FILE"),
    "a missing directory": ("SSL_CERT_DIR", "missing", "not a directory"),
    "a file as a directory": ("SSL_CERT_DIR", "text.pem", "not a directory"),
}


@pytest.mark.parametrize(("variable", "name", "words"), CERTIFICATES.values(), ids=CERTIFICATES.keys())
async def test_invalid_ssl_cert_file_or_dir_is_named_and_not_retried(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str, words: str
) -> None:
    (tmp_path / "text.pem").write_text("not a certificate")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / name))
    server = await serve(nursery, HELLO, memory=False)
    before = open_sockets()
    async with TrioOpenAI(base_url=server.base_url.replace("http:", "https:"), max_retries=5) as client:
        error = await outcome(read_stream, client)
        gc.collect()  # a forgotten socket warns here
        assert isinstance(error, APIConnectionError)
        assert error.is_final
        for part in (variable, str(tmp_path / name), words):
            assert part in str(error)
        assert client.statistics().transport.opened == 0  # type: ignore[union-attr]
        del error
        await server.wait_closed()
        assert open_sockets() == before
    nursery.cancel_scope.cancel()


async def test_cancelled_tls_handshake_closes_the_stream(
    nursery: trio.Nursery, autojump_clock: object, tls: TLSPair
) -> None:
    async def say_nothing(stream: MemoryStream) -> None:
        while await stream.receive_some():
            pass

    hand = HandMade(nursery, say_nothing)
    transport = TrioTransport(open_stream=hand.open_stream, ssl_context=tls[1])
    async with TrioOpenAI(api_key="k", base_url="https://good.test", http_client=http_client(transport)) as client:
        with trio.move_on_after(1):
            await read_plain(client)
        assert transport.statistics().active == 0
        assert hand.opened == 1
        assert hand.open_now() == 0


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 100, b""])
async def test_server_without_tls_is_a_connection_error_and_its_stream_is_closed(
    nursery: trio.Nursery, autojump_clock: object, tls: TLSPair, said: bytes
) -> None:
    async def speak(stream: MemoryStream) -> None:
        await stream.receive_some()
        if said:
            await stream.send_all(said)
        stream.close()

    hand = HandMade(nursery, speak)
    transport = TrioTransport(open_stream=hand.open_stream, ssl_context=tls[1])
    options: Any = {"api_key": "k", "max_retries": 0, "http_client": http_client(transport)}
    async with TrioOpenAI(base_url="https://good.test", **options) as client:
        assert isinstance(await outcome(read_plain, client), APIConnectionError)
        assert hand.open_now() == 0


async def test_host_name_refused_by_tls_leaks_no_stream(
    nursery: trio.Nursery, autojump_clock: object, tls: TLSPair
) -> None:
    hand = HandMade(nursery, answer_always)
    async with http_client(TrioTransport(open_stream=hand.open_stream, ssl_context=tls[1])) as client:
        assert isinstance(await outcome(client.get, "https://.good.test/"), httpx.ConnectError)
        assert hand.open_now() == 0


async def test_invalid_host_name_is_a_connection_error() -> None:
    async with http_client(TrioTransport()) as client:
        for host in ("a" * 64 + ".test", "a..test"):
            assert isinstance(await outcome(client.get, f"http://{host}/"), httpx.ConnectError)
