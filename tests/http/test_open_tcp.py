"""Connections to a host that is an address are opened without Happy Eyeballs."""

from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from trio_openai._http import byte_streams
from trio_openai._http.byte_streams import close_now, open_tcp


def can_listen(host: str) -> bool:
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_open_to_an_address_or_a_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_listen(host):
        pytest.skip(f"this machine has no {host}")
    names: list[str] = []
    by_trio = trio.open_tcp_stream

    async def open_name(host: str, port: int) -> trio.SocketStream:
        names.append(host)
        return await by_trio(host, port)

    monkeypatch.setattr(trio, "open_tcp_stream", open_name)
    (listener,) = (await trio.open_tcp_listeners(0, host=host))[:1]
    async with listener:
        stream = await open_tcp(host, listener.socket.getsockname()[1])
        served = await listener.accept()
        async with served:
            await served.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
        assert isinstance(stream, trio.SocketStream)
        assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        close_now(stream)
    assert names == ([host] if host == "localhost" else [])


async def test_a_refused_connection_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionRefusedError) as caught:
        await open_tcp("127.0.0.1", port)
    assert byte_streams.reason_of(caught.value) == "Connection refused"


async def test_a_cancelled_connection_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[trio.socket.SocketType] = []
    by_trio = trio.socket.socket

    def make(family: int) -> trio.socket.SocketType:
        made.append(by_trio(family))
        return made[-1]

    monkeypatch.setattr(trio.socket, "socket", make)
    with trio.CancelScope() as scope:
        scope.cancel()
        await open_tcp("127.0.0.1", 9)
    assert scope.cancelled_caught
    assert [sock.fileno() for sock in made] == [-1]
