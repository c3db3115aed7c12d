"""Proxies for tests: real programs from Debian packages, and a proxy in this process that a test can script."""

from __future__ import annotations

import base64
import functools
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trustme
from net_helpers import CHAT, copy

from trio_openai import TrioOpenAI
from trio_openai.testing._memory import MemoryStream

HOST = "127.0.0.1"
USER, PASSWORD = "ada", "p@ss:w/rd-9f8e7d6c"
LOGIN = "ada:p%40ss%3Aw%2Frd-9f8e7d6c@"  # percent-encoded, as in a URL
PLAIN_PASSWORD = "word.9f8e7d6c"  # for a program whose configuration has no escapes

_ATTEMPTS = 400
_MUST_BE_THERE = "TRIO_OPENAI_NEEDS_PROXIES"  # set by CI, which installs the programs


@attrs.frozen
class RunningProxy:
    """A proxy program that is running.

    Attributes:
        scheme: of its URL.
        port: where it listens.
        process: itself.
    """

    scheme: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Without a login."""
        return f"{self.scheme}://{HOST}:{self.port}"

    @property
    def login_url(self) -> str:
        return f"{self.scheme}://{USER}:{PLAIN_PASSWORD}@{HOST}:{self.port}"

    @property
    def address(self) -> str:
        """Return how an error message names this proxy."""
        return f"the proxy {HOST}:{self.port}"


def program(name: str) -> str:
    """Return the path of a program. If it is missing, skip the test, or fail it where CI installs the program."""
    path = shutil.which(name)
    if path is None and os.environ.get(_MUST_BE_THERE):
        pytest.fail(f"{name} is not installed, although {_MUST_BE_THERE} says that it is")
    if path is None:
        pytest.skip(f"{name} is not installed (Debian, Ubuntu: apt install tinyproxy-bin microsocks)")
    return path


def _tinyproxy(folder: Path, port: int, *, login: bool, more: str) -> list[str]:
    """Debian's `tinyproxy-bin`: HTTP, `CONNECT`, Basic."""
    config = folder / f"tinyproxy-{port}.conf"
    lines = [f"Port {port}", f"Listen {HOST}", "Timeout 60", "MaxClients 50", "LogLevel Critical", f"Allow {HOST}"]
    lines += [f"BasicAuth {USER} {PLAIN_PASSWORD}"] if login else []
    config.write_text("\n".join([*lines, more, ""]))
    return [program("tinyproxy"), "-d", "-c", str(config)]


def _microsocks(folder: Path, port: int, *, login: bool, more: str) -> list[str]:
    """Debian's `microsocks`: SOCKS 5."""
    arguments = [program("microsocks"), "-i", HOST, "-p", str(port)]
    return [*arguments, "-u", USER, "-P", PLAIN_PASSWORD] if login else arguments


PROGRAMS: dict[str, Callable[..., list[str]]] = {"http": _tinyproxy, "socks5": _microsocks}


@asynccontextmanager
async def running(scheme: str, folder: Path, *, login: bool = False, more: str = "") -> AsyncIterator[RunningProxy]:
    """Run a proxy program on a free port until the block ends."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    command = PROGRAMS[scheme](folder, port, login=login, more=more)
    log = folder / f"{scheme}-{port}.log"
    process = _started(command, log)
    try:
        await _listening(process, port, log)
        yield RunningProxy(scheme, port, process)
    finally:
        process.terminate()
        process.wait()


def _started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


async def _listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(_ATTEMPTS):
        try:
            stream = await trio.open_tcp_stream(HOST, port)
        except OSError:
            assert process.poll() is None, log.read_text()
            await trio.sleep(0.005)
        else:
            await trio.aclose_forcefully(stream)
            return
    raise TimeoutError(f"the proxy does not listen: {log.read_text()}")


async def read_stream(client: TrioOpenAI) -> str:
    async with client.chat.completions.stream(**CHAT) as stream:
        return "".join([text async for text in stream.text_deltas])


async def leave_early(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)


# The proxy in this process.

Dial = Callable[[str, int], Awaitable[Any]]


@attrs.define(eq=False)
class ToyProxy:
    """A proxy over streams in memory: `CONNECT`, SOCKS 5, and an `http` request handed on as it is.

    Attributes:
        dial: how it reaches a server.
        context: for TLS in front of it.
        asked: the host and port of each connection that it was asked for; None for a request handed on.
    """

    nursery: trio.Nursery
    dial: Dial
    context: ssl.SSLContext | None = None
    asked: list[tuple[str, int] | None] = attrs.field(factory=list[Any])
    heads: list[bytes] = attrs.field(factory=list[bytes])

    async def open_stream(self, host: str, port: int) -> MemoryStream:
        """Open a connection to this proxy."""
        await trio.lowlevel.checkpoint()
        near, far = MemoryStream.pair()
        self.nursery.start_soon(self._serve, far)
        return near

    async def _serve(self, far: MemoryStream) -> None:
        near: Any = trio.SSLStream(far, self.context, server_side=True) if self.context else far
        inner = None
        try:
            first = bytes(await near.receive_some(1)) or _gone()
            where, answer, rest = await (self._socks(near) if first == b"\x05" else self._http(near, first))
            self.asked.append(where)
            inner = await self.dial(*(where or ("", 0)))
            await near.send_all(answer)
            await inner.send_all(rest)
            async with trio.open_nursery() as both:
                both.start_soon(copy, near, inner, both.cancel_scope)
                both.start_soon(copy, inner, near, both.cancel_scope)
        except (trio.BrokenResourceError, trio.ClosedResourceError, ConnectionRefusedError):
            pass  # the client has left, or there is no server
        finally:
            far.close()
            if inner is not None:
                inner.close()

    async def _http(self, near: Any, head: bytes) -> tuple[tuple[str, int] | None, bytes, bytes]:
        """Return the target, the proxy's answer, and any bytes already read that belong to the server."""
        while b"\r\n\r\n" not in head:
            head += bytes(await near.receive_some(65536)) or _gone()
        self.heads.append(head)
        method, target, _ = head.split(None, 2)
        if method != b"CONNECT":
            return None, b"", head
        host, _, port = target.decode().rpartition(":")
        return (host, int(port)), b"HTTP/1.1 200 Connection established\r\n\r\n", b""

    async def _socks(self, near: Any) -> tuple[tuple[str, int], bytes, bytes]:
        await self._exactly(near, (await self._exactly(near, 1))[0])
        await near.send_all(b"\x05\x00")
        kind = (await self._exactly(near, 4))[3]
        length = (await self._exactly(near, 1))[0] if kind == 3 else {1: 4, 4: 16}[kind]
        host = await self._exactly(near, length)
        port = int.from_bytes(await self._exactly(near, 2), "big")
        name = host.decode() if kind == 3 else socket.inet_ntop({1: socket.AF_INET, 4: socket.AF_INET6}[kind], host)
        return (name, port), b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", b""

    async def _exactly(self, near: Any, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += bytes(await near.receive_some(count - len(data))) or _gone()
        return data


def _gone() -> bytes:
    raise trio.BrokenResourceError("the client has left")


def basic(user: str = USER, password: str = PASSWORD) -> str:
    """Return the header that a proxy should receive."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@functools.cache
def authority() -> trustme.CA:
    """Return the certificate authority of all tests, because making its key takes a while."""
    return trustme.CA()


@functools.cache
def tls_contexts(*names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS context of a server with these names, and one of a client that trusts it."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority().issue_cert(*names).configure_cert(server)
    client = ssl.create_default_context()
    authority().configure_trust(client)
    return server, client
