"""The transport: where a stream comes from, what a server may send, and how plain httpx uses it."""

from __future__ import annotations

import gc
import math
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from net_helpers import (
    client_over,
    http_client,
    open_sockets,
    outcome,
    serve,
    watch,
)
from transport_helpers import (
    HELLO,
    OK,
    PLAIN,
    URL,
    HandMade,
    Pieces,
    answer,
    answer_always,
    read_plain,
    read_stream,
    receive_request,
)

from trio_openai import APIConnectionError, APIStatusError, TrioOpenAI, TrioTransport
from trio_openai.testing import Pause, Reply
from trio_openai.testing._memory import MemoryStream


async def test_unix_socket(nursery: trio.Nursery, tmp_path: Path) -> None:
    server = await serve(nursery, HELLO)
    path = str(tmp_path / "socket")
    listening = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    await listening.bind(path)
    listening.listen()
    nursery.start_soon(trio.serve_listeners, server._serve, [trio.SocketListener(listening)])
    before = open_sockets()
    async with TrioOpenAI(base_url="http://localhost/v1", http_client=http_client(TrioTransport(uds=path))) as client:
        for _ in range(3):
            assert await read_stream(client) == "Hello there, you."
        assert server.statistics().accepted == 1
    await server.wait_closed()
    assert open_sockets() == before
    transport = TrioTransport(uds=str(tmp_path / "none"))
    async with TrioOpenAI(base_url="http://localhost", max_retries=0, http_client=http_client(transport)) as client:
        error = await outcome(read_plain, client)
        assert isinstance(error, APIConnectionError)
        assert "No such file" in str(error)
    nursery.cancel_scope.cancel()


async def test_refused_connection_says_why(nursery: trio.Nursery) -> None:
    nursery.start_soon(watch)
    with trio.socket.socket() as taken:
        await taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            async with TrioOpenAI(base_url=f"http://{host}:{port}", max_retries=0) as client:
                error = await outcome(read_plain, client)
                assert isinstance(error, APIConnectionError)
                assert f"{host}:{port}" in str(error)
                assert "refused" in str(error)


async def test_ipv6_literal_reaches_the_opener_without_brackets(nursery: trio.Nursery) -> None:
    server = await serve(nursery, PLAIN)
    asked: list[tuple[str, int]] = []

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        asked.append((host, port))
        return await server.open_stream()

    client, _ = client_over(server, open_stream=open_stream, base_url="http://[::1]:8080/v1")
    async with client:
        await read_plain(client)
    assert asked == [("::1", 8080)]
    assert server.requests[0].header("host") == "[::1]:8080"


async def test_stream_without_synchronous_close_is_refused_with_advice(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    class Slow(trio.abc.Stream):
        closed = False

        async def send_all(self, data: object) -> None:
            raise AssertionError("nothing may be sent")

        async def wait_send_all_might_not_block(self) -> None: ...

        async def receive_some(self, max_bytes: int | None = None) -> bytes:
            raise AssertionError("nothing may be read")

        async def aclose(self) -> None:
            self.closed = True
            await trio.lowlevel.checkpoint()

    stream = Slow()

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return stream

    transport = TrioTransport(open_stream=open_stream)
    async with http_client(transport) as client:
        error = await outcome(client.get, URL)
        assert isinstance(error, TypeError)
        assert "Slow" in str(error)
        assert "close()" in str(error)
        assert stream.closed
        assert transport.statistics().active == 0


async def test_stapled_stream_of_closable_parts_is_accepted(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def serve_pair(far: trio.StapledStream[Any, Any]) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await far.receive_some()
        await far.send_all(OK)

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(serve_pair, far)
        await trio.lowlevel.checkpoint()
        return near

    async with http_client(TrioTransport(open_stream=open_stream)) as client:
        assert (await client.get(URL)).text == "ok"


@pytest.mark.parametrize("error", [OSError("no route"), trio.BrokenResourceError("gone")])
async def test_network_error_of_an_opener_is_a_connection_error(error: Exception) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise error

    transport = TrioTransport(open_stream=open_stream)
    async with TrioOpenAI(base_url="http://localhost", max_retries=0, http_client=http_client(transport)) as client:
        caught = await outcome(read_plain, client)
        assert isinstance(caught, APIConnectionError)
        assert str(error) in str(caught)
        assert transport.statistics().active == 0


async def test_bug_in_an_opener_is_not_wrapped_and_leaks_nothing() -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    transport = TrioTransport(open_stream=open_stream)
    async with TrioOpenAI(base_url="http://localhost", http_client=http_client(transport)) as client:
        assert type(await outcome(read_plain, client)) is ZeroDivisionError
        assert transport.statistics().active == 0


async def test_socket_whose_options_are_refused_is_not_leaked(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refuse socket options as macOS does (EINVAL) for a connection that its peer has already reset."""
    server = await serve(nursery, PLAIN, memory=False)
    before = open_sockets()

    def refuse(*args: object) -> None:
        raise OSError(22, "Invalid argument")

    async with TrioOpenAI(base_url=server.base_url, max_retries=0) as client:
        monkeypatch.setattr(trio.SocketStream, "setsockopt", refuse)
        result = await outcome(read_plain, client)
        monkeypatch.undo()
        assert result == "Hello there, you." or isinstance(result, APIConnectionError)
        gc.collect()  # a forgotten socket warns here
    del result
    await server.wait_closed()
    assert open_sockets() == before


def test_tcp_keep_alive_is_on() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            server = await serve(nursery, PLAIN, memory=False)
            transport = TrioTransport()
            async with http_client(transport) as client:
                await client.post(server.base_url)
                stream: Any = next(iter(transport._idle)).stream
                assert stream.getsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_KEEPALIVE)
                assert stream.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY)
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize("options", [{"max_connections": 0}, {"max_connections": -1}, {"uds": "x", "open_stream": 1}])
def test_invalid_options_are_refused_at_once(options: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        TrioTransport(**options)


async def test_too_large_head_is_an_error_and_closes_the_connection(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply(headers={"x": "y" * 200_000}, body=b"{}"))
    client, transport = client_over(server, max_retries=0)
    async with client:
        error = await outcome(read_plain, client)
        assert isinstance(error, APIConnectionError)
        assert "too large" in str(error)
        assert transport.statistics().active == 0
        await server.wait_closed()


async def test_endless_head_is_an_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def flood(stream: MemoryStream) -> None:
        await answer(stream, b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                await stream.send_all(b"x: y\r\n" * 100)
        except trio.BrokenResourceError:
            pass

    hand = HandMade(nursery, flood)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        assert isinstance(await outcome(client.get, URL), httpx.RemoteProtocolError)


async def test_large_body_in_the_same_segment_as_the_head_is_accepted(nursery: trio.Nursery) -> None:
    body = b"z" * 20_000
    hand = HandMade(nursery, lambda stream: answer(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n" + body))
    async with http_client(TrioTransport(open_stream=hand.open_stream, max_header_bytes=4096)) as client:
        assert (await client.get(URL)).content == body


@pytest.mark.parametrize("closing", ["close", "reset"])
async def test_response_before_the_request_was_read_counts(nursery: trio.Nursery, closing: str) -> None:
    """Answer 413 and close, while most of 30 MB has not been sent."""
    nursery.start_soon(watch)
    body = b'{"error": {"message": "too large"}}'
    head = b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(head + body)
        if closing == "close":
            await stream.send_eof()
        stream.socket.close()

    listeners: list[trio.SocketListener] = await nursery.start(trio.serve_tcp, refuse, 0)
    port = listeners[0].socket.getsockname()[1]
    transport = TrioTransport()
    options: Any = {"max_retries": 0, "http_client": http_client(transport)}
    async with TrioOpenAI(base_url=f"http://127.0.0.1:{port}", **options) as client:
        messages = [{"role": "user", "content": "x" * 30_000_000}]
        error = await outcome(client.chat.completions.create, model="m", messages=messages)
        assert isinstance(error, APIStatusError)
        assert error.status_code == 413
        assert "too large" in str(error)
        assert transport.statistics().active == transport.statistics().idle == 0


async def test_connection_with_an_incomplete_request_is_not_reused(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def answer_early(stream: MemoryStream) -> None:
        await stream.receive_some(10)
        await stream.send_all(OK)
        stream._inner.receive_stream.close()  # the client's next write fails, but its reads do not

    hand = HandMade(nursery, answer_early, answer_always)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        assert (await client.post(URL, content=Pieces(*[b"piece"] * 5))).text == "ok"
        assert (await client.get(URL)).text == "ok"
    assert hand.opened == 2


async def test_early_response_of_a_server_that_stops_reading_is_received(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Neither read nor close: a client that only writes would never see the 413 that it could read."""

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        near, far = trio.testing.lockstep_stream_pair()
        nursery.start_soon(refuse, far)
        await trio.lowlevel.checkpoint()
        return near

    async def refuse(far: trio.abc.Stream) -> None:
        await far.receive_some(10)
        await far.send_all(b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
        await trio.sleep_forever()

    nursery.start_soon(watch)
    transport = TrioTransport(open_stream=open_stream)
    options: Any = {"max_retries": 0, "timeout": 10.0, "http_client": http_client(transport)}
    async with TrioOpenAI(base_url="http://localhost", **options) as client:
        error = await outcome(read_plain, client)
        assert isinstance(error, APIStatusError)
        assert error.status_code == 413
        assert transport.statistics().active == 0


async def test_1xx_responses_are_skipped(nursery: trio.Nursery, autojump_clock: object) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx-request-id: wrong\r\n\r\n"
    rest = b"HTTP/1.1 200 OK\r\nx-request-id: right\r\ncontent-length: 2\r\n\r\nok"
    hand = HandMade(nursery, lambda stream: answer(stream, early[:30], early[30:], rest))
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        response = await client.get(URL)
        assert (response.status_code, response.text, response.headers["x-request-id"]) == (200, "ok", "right")


async def test_plain_httpx_client_gets_everything_it_expects(nursery: trio.Nursery) -> None:
    server = await serve(nursery, lambda r: Reply(200, {"x-a": "1"}, [r.method.encode(), r.body]), memory=False)
    transport = TrioTransport()
    async with http_client(transport) as client:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            response = await client.request(method, server.base_url, content=b"" if method == "GET" else b"body")
            assert response.content == method.encode() + (b"" if method == "GET" else b"body")
            assert response.http_version == "HTTP/1.1"
            assert response.headers["x-a"] == "1"
        async with client.stream("GET", server.base_url) as response:
            assert await response.aread() == b"GET"
        assert transport.statistics().opened == 1


async def test_response_to_head_has_no_body_and_the_connection_is_reused(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def serve_head(stream: MemoryStream) -> None:
        while request := await receive_request(stream):
            await stream.send_all(OK[:-2] if request.startswith(b"HEAD") else OK)

    hand = HandMade(nursery, serve_head)
    async with http_client(TrioTransport(open_stream=hand.open_stream)) as client:
        with trio.fail_after(5):
            for _ in range(2):
                response = await client.head(URL)
                assert response.headers["content-length"] == "2"
                assert response.content == b""
                assert (await client.get(URL)).text == "ok"
    assert hand.opened == 1


async def test_streamed_request_body_is_sent_in_chunks(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply(200))

    transport = TrioTransport(open_stream=server.open_stream)
    async with http_client(transport) as client:
        await client.post(server.base_url, content=Pieces(b"one", b"", b"two"))
        await client.post(server.base_url, files={"file": ("a.txt", b"content")})
        await client.post(server.base_url, content=b"x" * 1_000_000)
        assert transport.statistics().opened == 1
    assert server.requests[0].body == b"onetwo"
    assert b"content" in server.requests[1].body
    assert server.requests[2].body == b"x" * 1_000_000


async def test_exception_of_a_streamed_request_body_is_not_wrapped(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply(200))

    transport = TrioTransport(open_stream=server.open_stream)
    async with http_client(transport) as client:
        content = Pieces(b"one", error=ZeroDivisionError())
        assert type(await outcome(client.post, server.base_url, content=content)) is ZeroDivisionError
        assert transport.statistics().active == transport.statistics().idle == 0


@pytest.mark.parametrize("url", ["ftp://host/", "ws://host/", "/relative", "http://", "//host/path"])
async def test_url_that_is_not_http_is_refused_as_by_httpx(url: str) -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        raise AssertionError("nothing may be opened")

    async with http_client(TrioTransport(open_stream=open_stream)) as client:
        assert isinstance(await outcome(client.get, url), httpx.UnsupportedProtocol)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (httpx.Timeout(None, connect=1), httpx.ConnectTimeout),
        (httpx.Timeout(None, read=1), httpx.ReadTimeout),
        (httpx.Timeout(None, pool=1), httpx.PoolTimeout),
    ],
)
async def test_httpx_timeouts_apply_and_release_the_connection(
    nursery: trio.Nursery, autojump_clock: object, limits: httpx.Timeout, error: type[Exception]
) -> None:
    server = await serve(nursery, [Reply(delay=math.inf), Reply(200, body=b"ok")])
    block = error is httpx.ConnectTimeout

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        if block:
            await trio.sleep_forever()
        return await server.open_stream()

    transport = TrioTransport(open_stream=open_stream, max_connections=1)
    async with http_client(transport) as client, trio.open_nursery() as others:
        if error is httpx.PoolTimeout:
            others.start_soon(client.get, server.base_url)
            await server.wait_requests(1)
        assert isinstance(await outcome(client.get, server.base_url, timeout=limits), error)
        others.cancel_scope.cancel()
    assert transport.statistics().active == 0


async def test_response_left_early_frees_its_slot(nursery: trio.Nursery) -> None:
    server = await serve(nursery, HELLO.stall_after(300))
    transport = TrioTransport(open_stream=server.open_stream, max_connections=1)
    for _ in range(3):
        response = await transport.handle_async_request(httpx.Request("POST", server.base_url))
        assert isinstance(response.stream, httpx.AsyncByteStream)
        assert await anext(aiter(response.stream))
        await response.aclose()
        assert transport.statistics().active == 0
    await server.wait_disconnect(3, since=FROM_START)


async def test_cancelled_read_of_a_body_loses_nothing(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply(200, body=[b"one", Pause(1), b"two", Pause(1), b"three"]))
    transport = TrioTransport(open_stream=server.open_stream)
    response = await transport.handle_async_request(httpx.Request("GET", server.base_url))
    assert isinstance(response.stream, httpx.AsyncByteStream)
    body = aiter(response.stream)
    pieces: list[bytes] = []
    for _ in range(4):
        with trio.CancelScope() as scope:
            scope.cancel()
            pieces.append(await anext(body))
        assert scope.cancelled_caught
        with trio.move_on_after(0.1):
            pieces.append(await anext(body, b""))
        pieces.append(await anext(body, b""))
    await transport.aclose()
    assert b"".join(pieces) == b"onetwothree"
