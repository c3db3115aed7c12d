"""Byte streams below HTTP: open them to a host, read them, probe them, and close them without waiting.

Promise 1 rests on `close_now`. `await stream.aclose()` is a checkpoint, and over TLS it is also a conversation with the
server. Both can be cancelled, and the conversation can hang. Closing the socket itself is synchronous, cannot fail, and
tells the server at once that nobody is listening any more. TLS asks for a `close_notify` before that (RFC 8446, section
6.1), so that the peer can tell the end of the data from an attack. A server that is streaming a response does not need
it: whichever way the connection ends, it must stop.

The price of this is that every stream must have a synchronous way to close it. `_closers` knows trio's streams and any
stream with a `close()` method. A stream of another kind is refused when it is opened (`refuse_unclosable`), not when a
cancellation is already under way.

Reading is the other speciality: `_SocketReader` waits until a socket is readable and reads then, which suits a model's
tokens. It is for sockets that the program has opened; `shared_epoll.py` reads those that the transport has opened, at
less cost. `has_data_or_end` tells whether an idle connection is still usable.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import os
import select
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeGuard
from urllib.parse import unquote

import trio

from trio_openai._httpx import httpx

from .shared_epoll import READ_SIZE

StreamOpener = Callable[[str, int], Awaitable[trio.abc.Stream]]
"""An async function that opens a byte stream to a host and port. TLS, if needed, is added on top of it."""

Origin = tuple[bytes, bytes, int]
"""The scheme, host and port that identify a server (RFC 6454)."""

# Send the first probe after 60 seconds of silence (the option's name differs between Linux and macOS), then up to 6 at
# intervals of 10 seconds. So even a stream without deadlines notices within two minutes that its server has vanished.
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))


async def open_tcp(host: str, port: int) -> trio.abc.Stream:
    """Connect by TCP, with Happy Eyeballs (RFC 8305) if the host is a name, and turn TCP keep-alive on."""
    if address_of(host) is None or "%" in host:
        stream = await trio.open_tcp_stream(host, port)
    else:
        stream = await _open_address(host, port)
    try:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if option := getattr(socket, name, None):
                stream.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:  # macOS, if the peer has already reset the connection
        close_now(stream)
        raise
    return stream


async def _open_address(host: str, port: int) -> trio.SocketStream:
    """Connect to the only address that there is, without a task that tries others.

    It costs 47 µs of CPU instead of 132, and 4 KiB less while many connections are opened at once.
    """
    sock = trio.socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        await sock.connect((host, port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


def unix_opener(path: str) -> StreamOpener:
    """Return an opener that connects to a Unix socket and ignores the host and port."""

    async def open_unix(host: str, port: int) -> trio.abc.Stream:  # noqa: ARG001
        return await trio.open_unix_socket(path)

    return open_unix


class CertificatesError(httpx.ConnectError):
    """The environment names a certificate file or directory that cannot be used. A retry would not help."""

    is_final = True


def default_tls(*, trust_env: bool) -> ssl.SSLContext:
    """Return TLS settings that verify certificates against `SSL_CERT_FILE`, `SSL_CERT_DIR` or certifi's list.

    Where only httpx2 is installed, the system's list takes the place of certifi's.

    Raises:
        CertificatesError: the environment variable names a missing file, or one that contains no certificates.
    """
    found = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if trust_env and os.environ.get(name)]
    name, path = (found[0], os.environ[found[0]]) if found else ("", "")
    if name == "SSL_CERT_DIR" and not Path(path).is_dir():
        raise CertificatesError(f"the environment variable SSL_CERT_DIR is {path!r}, which is not a directory")
    try:
        return httpx.create_ssl_context(trust_env=trust_env)
    except OSError as error:  # ssl.SSLError is a subclass of OSError
        if not name or is_out_of_files(error):
            raise
        reason = reason_of(error)
    # Not raised inside the except block, where the OSError would become its context and be printed as well.
    raise CertificatesError(f"the environment variable {name} is {path!r}, which has no usable certificates: {reason}")


async def open_tls(stream: trio.abc.Stream, context: ssl.SSLContext, hostname: str) -> trio.abc.Stream:
    """Start TLS over a stream and finish the handshake.

    If this fails or is cancelled, the caller must close the stream.
    """
    # https_compatible=True would hide a missing close_notify, which `UnprovenEndError` has to report.
    tls = trio.SSLStream(stream, context, server_hostname=hostname)
    await tls.do_handshake()
    return tls


def _is_tls(stream: object) -> TypeGuard[trio.SSLStream[trio.abc.Stream]]:
    return isinstance(stream, trio.SSLStream)


def _is_stapled(stream: object) -> TypeGuard[trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]]:
    return isinstance(stream, trio.StapledStream)


def check_closable(stream: trio.abc.Stream) -> None:
    """Raise `TypeError` if `close_now` cannot close a stream."""
    _closers(stream)


def close_now(stream: trio.abc.Stream) -> None:
    """Close a stream at once, without a checkpoint and without saying goodbye to the peer. Idempotent."""
    for close in _closers(stream):
        close()


def _closers(stream: object) -> list[Callable[[], object]]:
    """Return the synchronous functions that close a stream's parts."""
    if _is_tls(stream):
        return _closers(stream.transport_stream)
    if _is_stapled(stream):
        return [*_closers(stream.send_stream), *_closers(stream.receive_stream)]
    if isinstance(stream, trio.SocketStream):
        return [stream.socket.close]
    if callable(close := getattr(stream, "close", None)):
        return [close]
    raise TypeError(
        f"{type(stream).__name__} cannot be closed without waiting; let the stream opener return a trio.SocketStream, "
        "a trio.testing memory stream, a stream with a synchronous close(), or a pair of these in a trio.StapledStream"
    )


async def refuse_unclosable(stream: trio.abc.Stream) -> None:  # noqa: ASYNC910 - a checkpoint here could leak the stream
    """Close the stream and raise `TypeError` if `close_now` cannot close it."""
    try:
        check_closable(stream)
    except TypeError:
        await trio.aclose_forcefully(stream)
        raise


def reader_of(stream: trio.abc.Stream) -> Callable[[], Awaitable[bytes | bytearray]]:
    """Return an async function that reads the next bytes of a stream, or `b""` at its end.

    It raises what the stream's `receive_some` raises, and `OSError`.
    """
    if isinstance(stream, trio.SocketStream) and os.name == "posix":
        return _SocketReader(stream.socket).read
    return functools.partial(stream.receive_some, READ_SIZE)


class _SocketReader:
    """A reader that waits until a socket is readable before it reads.

    `SocketStream.receive_some` reads first and waits if there was nothing. A model's tokens arrive one by one, so that
    first read nearly always fails: a system call and an exception for nothing. Waiting first, without trio's layers in
    between, takes 30 % less CPU per read (`benchmarks/reads.py`).
    """

    __slots__ = ("_sock",)

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._sock = sock

    async def read(self) -> bytes:
        """Return the next bytes, or `b""` at the end of the stream."""
        while True:
            self._check_open()
            await trio.lowlevel.wait_readable(self._sock)
            self._check_open()  # another task may have closed the socket, and the OS may have reused its number
            try:
                return os.read(self._sock.fileno(), READ_SIZE)
            except BlockingIOError:
                pass  # a spurious wakeup: select(2) says that a readable socket may still block

    def _check_open(self) -> None:
        if self._sock.fileno() < 0:
            raise trio.ClosedResourceError("this connection has been closed")


# How many passes of the scheduler to allow for a read, since a stream with data may have checkpoints before it returns.
_PASSES = 10


async def has_data_or_end(stream: trio.abc.Stream) -> bool:
    """Return whether a stream has data, or its end, to read right now. Some of the data may be lost.

    An idle HTTP connection must be silent, so a caller closes the stream if this returns True.
    """
    await trio.lowlevel.checkpoint()  # a peer that closes its connections is more likely to be seen after it
    sock = _socket_under(stream)
    is_silent = sock is not None and not _is_readable(sock)
    if isinstance(stream, trio.SocketStream):
        return not is_silent
    # TLS may have buffered data that no poll can see, and other streams have no socket to poll. So try to read, and
    # cancel the read as soon as it would have to wait.
    with trio.CancelScope() as soon:  # noqa: ASYNC912
        _cancel_after(1 if is_silent else _PASSES, soon)
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.receive_some(1)
    return not soon.cancelled_caught


def _socket_under(stream: object) -> trio.socket.SocketType | None:
    """Return the socket of a stream, also of one under TLS, or None."""
    while _is_tls(stream):
        stream = stream.transport_stream
    return stream.socket if isinstance(stream, trio.SocketStream) else None


def _cancel_after(passes: int, scope: trio.CancelScope) -> None:
    """Cancel a scope after every ready task has run `passes` times."""
    if passes == 0:
        scope.cancel()
    else:
        trio.lowlevel.current_trio_token().run_sync_soon(_cancel_after, passes - 1, scope)


def _is_readable(sock: trio.socket.SocketType) -> bool:
    """Return whether a socket is readable right now. A closed socket is."""
    if sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()  # select() cannot take descriptors above 1,023, and a program with 1,000 streams has them
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def reason_of(error: BaseException) -> str:
    """Return the message of the innermost cause, because trio wraps the errors of the OS and of OpenSSL."""
    cause: Any = error
    # trio raises a group if it tried several addresses of a host. The last one is as good as any.
    while inner := cause.__cause__ or getattr(cause, "exceptions", (None,))[-1]:
        cause = inner
    if isinstance(cause, socket.gaierror):  # its errno is not one that os.strerror knows
        return cause.strerror or "the host name cannot be resolved"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno:
        return os.strerror(cause.errno)
    return str(cause) or type(cause).__name__


class OutOfFilesError(httpx.ConnectError):
    """The process or the machine has no file descriptor left."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"cannot connect to {place}: too many open files; raise the limit (ulimit -n), or lower max_connections"
        )


def is_out_of_files(error: BaseException | None) -> bool:
    """Return whether connecting failed because no file descriptor was left."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return True
    if isinstance(error, socket.gaierror):  # resolving a name needs a descriptor, and hides that there was none
        return not _can_open_a_file()
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())  # if it is an exception group
    return is_out_of_files(error.__cause__) or any(map(is_out_of_files, inner))


def _can_open_a_file() -> bool:
    """Return whether a file descriptor is available right now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


def host_for_os(host: str) -> str:
    """Return a URL's host in the form that the OS expects: in `fe80::1%25eth0`, `eth0` is a zone (RFC 6874)."""
    address, _, zone = host.partition("%")
    if ":" not in address or not zone:
        return host
    return f"{address}%{unquote(zone[2:] if zone.startswith('25') and len(zone) > 2 else zone)}"


def without_zone(host: str) -> str:
    """Return a URL's host without the zone of an IPv6 address, which has a meaning on this machine only."""
    return host.partition("%")[0] if ":" in host else host


def has_port(url: httpx.URL) -> bool:
    """Return whether a URL's port is absent or within 1-65535. The OS would silently truncate a larger one."""
    return url.port is None or 0 < url.port < 2**16


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: `localhost` or a loopback address."""
    return host == "localhost" or ((address := address_of(host)) is not None and address.is_loopback)


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return a host as an IP address, or None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
