"""Trio streams below HTTP: opened to a host, read, probed, and closed without waiting.

Promise 1 rests on `close_now`. Closing a stream by `await stream.aclose()` is a checkpoint, and for TLS a conversation;
both can be cancelled, or hang. A socket can also simply be closed: that is synchronous, cannot fail, and tells the
server at once that nobody is listening any more. For a half-read response there is nothing to be polite about.
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

import httpx
import trio

StreamOpener = Callable[[str, int], Awaitable[trio.abc.Stream]]
"""How a byte stream to a host and port is opened; TLS, where it is wanted, is put over it."""

Origin = tuple[bytes, bytes, int]
"""Scheme, host and port."""

_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
# Seconds of silence before the first probe (Linux and macOS have a name each), between probes, and how many: so a peer
# that vanished is noticed within two minutes, also by a stream without deadlines.


async def open_tcp(host: str, port: int) -> trio.abc.Stream:
    """Connect by TCP, trying the host's addresses as RFC 8305 says, with TCP keep-alive on."""
    stream = await trio.open_tcp_stream(host, port)
    try:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if option := getattr(socket, name, None):
                stream.setsockopt(socket.IPPROTO_TCP, option, value)
    except OSError:  # macOS: the peer has reset the connection already
        close_now(stream)
        raise
    return stream


def unix_opener(path: str) -> StreamOpener:
    """An opener that connects to a Unix socket, whatever the host and port."""

    async def open_unix(host: str, port: int) -> trio.abc.Stream:  # noqa: ARG001
        return await trio.open_unix_socket(path)

    return open_unix


class CertificatesError(httpx.ConnectError):
    """The environment names a file or directory of certificates that cannot be used."""

    is_final = True


def default_tls(*, trust_env: bool) -> ssl.SSLContext:
    """Return a context that verifies against `SSL_CERT_FILE`, `SSL_CERT_DIR` or certifi's list.

    Raises:
        CertificatesError: the variable names what is not there, or is not certificates.
    """
    found = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if trust_env and os.environ.get(name)]
    name, path = (found[0], os.environ[found[0]]) if found else ("", "")
    if name == "SSL_CERT_DIR" and not Path(path).is_dir():
        raise CertificatesError(f"the environment variable SSL_CERT_DIR is {path!r}, which is not a directory")
    try:
        return httpx.create_ssl_context(trust_env=trust_env)
    except OSError as error:  # an SSLError is one
        if not name or is_out_of_files(error):
            raise
        reason = reason_of(error)
    raise CertificatesError(f"the environment variable {name} is {path!r}, which has no usable certificates: {reason}")


async def open_tls(stream: trio.abc.Stream, context: ssl.SSLContext, hostname: str) -> trio.abc.Stream:
    """Put TLS over a stream and finish the handshake. If that fails or is cancelled, the caller closes the stream."""
    tls = trio.SSLStream(stream, context, server_hostname=hostname)  # not https_compatible: see `UnprovenEndError`
    await tls.do_handshake()
    return tls


def _is_tls(stream: object) -> TypeGuard[trio.SSLStream[trio.abc.Stream]]:
    return isinstance(stream, trio.SSLStream)


def _is_stapled(stream: object) -> TypeGuard[trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]]:
    return isinstance(stream, trio.StapledStream)


def check_closable(stream: trio.abc.Stream) -> None:
    """Raise `TypeError` if `close_now` could not close a stream."""
    _closers(stream)


def close_now(stream: trio.abc.Stream) -> None:
    """Close a stream at once, without a word to the peer and without a checkpoint. Idempotent."""
    for close in _closers(stream):
        close()


def _closers(stream: object) -> list[Callable[[], object]]:
    """The synchronous closing functions of a stream's parts."""
    if _is_tls(stream):
        return _closers(stream.transport_stream)
    if _is_stapled(stream):
        return [*_closers(stream.send_stream), *_closers(stream.receive_stream)]
    if isinstance(stream, trio.SocketStream):
        return [stream.socket.close]
    if callable(close := getattr(stream, "close", None)):
        return [close]
    raise TypeError(
        f"{type(stream).__name__} cannot be closed without waiting; a stream opener has to give a trio.SocketStream, "
        "a trio.testing memory stream, a stream with a synchronous close(), or a pair of these in a trio.StapledStream"
    )


async def refuse_unclosable(stream: trio.abc.Stream) -> None:  # noqa: ASYNC910 - a cancellation here would leak it
    """Raise `TypeError`, and close the stream, if `close_now` could not close it."""
    try:
        check_closable(stream)
    except TypeError:
        await trio.aclose_forcefully(stream)
        raise


_READ_SIZE = 64 * 1024


def reader_of(stream: trio.abc.Stream) -> Callable[[], Awaitable[bytes | bytearray]]:
    """What reads a stream: the next bytes, or `b""` at its end. Raises what `receive_some` does, and `OSError`."""
    if isinstance(stream, trio.SocketStream) and os.name == "posix":
        return _SocketReader(stream.socket).read
    return functools.partial(stream.receive_some, _READ_SIZE)


class _SocketReader:
    """Reads a socket once it is readable.

    `SocketStream.receive_some` tries at once, which for a stream of a model's tokens fails nearly always: a system call
    and an exception for nothing. To wait first, and without trio's layers in between, takes 30 % less CPU a read
    (`benchmarks/reads.py`).
    """

    __slots__ = ("_sock",)

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self._sock = sock

    async def read(self) -> bytes:
        while True:
            self._check_open()
            await trio.lowlevel.wait_readable(self._sock)
            self._check_open()
            try:
                return os.read(self._sock.fileno(), _READ_SIZE)
            except BlockingIOError:
                pass  # somebody was mistaken about that

    def _check_open(self) -> None:
        if self._sock.fileno() < 0:
            raise trio.ClosedResourceError("this connection has been closed")


_PASSES = 10  # of the scheduler: a stream that has data at hand may have some checkpoints before it gives it out


async def has_something_to_say(stream: trio.abc.Stream) -> bool:
    """Return whether there is data, or the end, to be read from a stream right now. If so, some of it may be lost."""
    await trio.lowlevel.checkpoint()
    sock = _socket_under(stream)
    is_silent = sock is not None and not _is_readable(sock)
    if isinstance(stream, trio.SocketStream):
        return not is_silent
    # TLS may hold data that no poll can see, and other streams have none: so read, as far as that goes without waiting.
    with trio.CancelScope() as soon:  # noqa: ASYNC912
        _cancel_after(1 if is_silent else _PASSES, soon)
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.receive_some(1)
    return not soon.cancelled_caught


def _socket_under(stream: object) -> trio.socket.SocketType | None:
    """Return the socket of a stream, perhaps under TLS."""
    while _is_tls(stream):
        stream = stream.transport_stream
    return stream.socket if isinstance(stream, trio.SocketStream) else None


def _cancel_after(passes: int, scope: trio.CancelScope) -> None:
    """Cancel a scope when the scheduler has run every task that is ready, so many times."""
    if passes == 0:
        scope.cancel()
    else:
        trio.lowlevel.current_trio_token().run_sync_soon(_cancel_after, passes - 1, scope)


def _is_readable(sock: trio.socket.SocketType) -> bool:
    if sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()  # select() cannot take descriptors above 1,023, and a program with 1,000 streams has them
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def reason_of(error: BaseException) -> str:
    """Return the innermost message: trio wraps the operating system's and OpenSSL's errors."""
    cause: Any = error
    while inner := cause.__cause__ or getattr(cause, "exceptions", (None,))[-1]:  # a group: of all a host's addresses
        cause = inner
    if isinstance(cause, socket.gaierror):  # its numbers are none of the operating system's
        return cause.strerror or "the name of the host cannot be resolved"
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno:
        return os.strerror(cause.errno)
    return str(cause) or type(cause).__name__


class OutOfFilesError(httpx.ConnectError):
    """This process, or the machine, has no file descriptor left."""

    def __init__(self, place: str) -> None:
        super().__init__(
            f"cannot connect to {place}: too many open files; raise the limit (ulimit -n), or lower max_connections"
        )


def is_out_of_files(error: BaseException | None) -> bool:
    """Return whether an attempt to connect failed for want of a file descriptor."""
    if error is None:
        return False
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return True
    if isinstance(error, socket.gaierror):  # it needs descriptors, and says something else if there is none
        return not _can_open_a_file()
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())  # of a group
    return is_out_of_files(error.__cause__) or any(map(is_out_of_files, inner))


def _can_open_a_file() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True


def dialled(host: str) -> str:
    """Return a URL's host as the operating system takes it: `fe80::1%25eth0` has the zone `eth0` (RFC 6874)."""
    address, _, zone = host.partition("%")
    if ":" not in address or not zone:
        return host
    return f"{address}%{unquote(zone[2:] if zone.startswith('25') and len(zone) > 2 else zone)}"


def without_zone(host: str) -> str:
    """Return a URL's host as others know it: a zone has a meaning on this machine only."""
    return host.partition("%")[0] if ":" in host else host


def has_port(url: httpx.URL) -> bool:
    """Whether a URL's port, if it has one, is one. Of a larger number the operating system drops the upper half."""
    return url.port is None or 0 < url.port < 2**16


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself, by the loopback's name or one of its addresses."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
