"""Proxies: which one a URL goes through, and how to open a stream through it.

A proxy is just another way to open a byte stream. `Proxy.opener` wraps the function that opens streams, and the pool,
TLS and HTTP above it stay as they are. There are three kinds of paths:

* An HTTP proxy opens a tunnel to an `https` address (`CONNECT`, RFC 9110, section 9.3.6). TLS runs inside the tunnel.
* To an `http` address, an HTTP proxy is sent the request itself, with the complete URL in its first line (RFC 9112,
  section 3.2.2). A tunnel would also work in theory, but many proxies allow tunnels to port 443 only.
* A SOCKS 5 proxy opens a connection to any address and resolves the host name (`socks.py`).

The proxy comes from an argument or from the environment variables `http_proxy`, `https_proxy`, `all_proxy` and
`no_proxy`, in lower or upper case. They are read as httpx reads them, except that networks (`10.0.0.0/8`) in `no_proxy`
work here. The environment is parsed here and not by httpx, because httpx only offers that through its own transport,
which loses sockets when a TLS handshake is cancelled.

Passwords. A proxy's URL often contains one. `Proxy` takes the URL apart at once and keeps the password only inside
objects whose `repr` hides it. Error messages never repeat the URL, because any part of a malformed URL may be the
password. `Proxy.__init__` raises nothing, because the traceback would start at a frame whose locals contain the URL.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import ipaddress
import re
import ssl
import urllib.request
from collections.abc import Callable, Generator
from typing import Any, Self, TypeAlias

import attrs
import trio

from trio_openai._httpx import httpx, is_url

from .byte_streams import (
    StreamOpener,
    address_of,
    close_now,
    has_port,
    host_for_os,
    is_loopback,
    open_tls,
    reason_of,
    refuse_unclosable,
    without_zone,
)
from .http1 import ProtocolError, ResponseParser, check_headers, serialize
from .socks import SocksError, login_message, negotiate

_PORTS = {"http": 80, "https": 443, "socks": 1080, "socks5": 1080, "socks5h": 1080}  # GNOME writes socks://
_FORM = "that begins with http://, https://, socks5:// or socks5h://, such as http://user:password@host:3128"
_READ_SIZE = 64 * 1024
_SCHEMES = ("http", "https", "all")
_AUTH_SCHEMES = re.compile(r"(?:^|,)\s*(Basic|Digest|NTLM|Negotiate|Kerberos|Bearer)\b", re.IGNORECASE)

Route: TypeAlias = "Callable[[httpx.URL], Proxy | None]"
"""A function from a URL to the proxy for it, or to None for a direct connection."""


class ProxyRefusal(httpx.ProxyError):
    """The proxy answered, and it refuses.

    Attributes:
        is_final: True if asking again would get the same answer.
    """

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


def refusal(proxy: str, status: int, offers: str) -> ProxyRefusal:
    """Return the error for an HTTP status that the proxy itself answered with.

    Args:
        proxy: the proxy's name in messages.
        status: the status of its response.
        offers: the value of `Proxy-Authenticate`, or an empty string.
    """
    words = f"{proxy} refused: {status} {http.client.responses.get(status, '')}".rstrip()
    if status == 407:
        schemes = _AUTH_SCHEMES.findall(offers)
        if schemes and "basic" not in map(str.lower, schemes):
            words += f"; it asks for {' or '.join(schemes)} authentication, and trio_openai supports only Basic"
        else:
            words += "; the user name or password for it is missing or wrong"
    # 408 (timeout) and 429 (too many requests) are the client errors that pass.
    return ProxyRefusal(words, is_final=400 <= status < 500 and status not in (408, 429))


class Proxy:
    """A proxy. No `repr`, error or traceback shows its password.

    Creating one raises nothing, since the traceback would show the password; call `check` to validate it.

    Args:
        given: a URL, an `httpx.Proxy`, or an `httpx2.Proxy`.
        parameter: the parameter that it was given for, for error messages.

    Attributes:
        name: the proxy's name in messages, such as `the proxy p:3128`.
    """

    def __init__(self, given: str | httpx.URL | httpx.Proxy, parameter: str = "proxy") -> None:
        self.name: str = "the proxy"
        self._scheme = ""
        self._problem: Exception | None = None
        self._context: ssl.SSLContext | None = None
        self._headers = httpx.Headers()  # httpx.Headers masks the password in its repr
        self._login: memoryview | None = None  # the SOCKS login message; a memoryview does not show its content
        try:
            self._take(given)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            self._problem = kind(f"{parameter}: {error}")

    @classmethod
    def of(cls, given: str | httpx.URL | httpx.Proxy | Proxy) -> Proxy:
        """Return the argument if it is a `Proxy` already, otherwise wrap it."""
        return given if isinstance(given, Proxy) else cls(given)

    def check(self) -> Self:
        """Return the proxy, or raise `TypeError` or `ValueError` if it is invalid.

        The message does not contain the URL.
        """
        if self._problem is not None:
            raise self._problem
        return self

    def always(self) -> Route:
        """Return a route that sends every URL through this proxy."""
        return lambda url: self  # noqa: ARG005

    def __repr__(self) -> str:
        return f"<{self._scheme} {self.name.removeprefix('the ')}>"

    def _take(self, given: Any) -> None:
        """Take apart a URL or an `httpx.Proxy`."""
        if isinstance(given, str) or is_url(given):
            url = _parsed(str(given))
            login = (url.username, url.password) if url.userinfo else None
        elif hasattr(given, "raw_auth"):
            url, login, self._context = _parsed(str(given.url)), given.auth, given.ssl_context
            self._headers = httpx.Headers(given.headers.multi_items())
        else:
            raise TypeError(f"expected a URL or an httpx.Proxy, not {type(given).__name__}")
        self._scheme, self._host = url.scheme, url.raw_host.decode("ascii")
        self._port = url.port or _PORTS[url.scheme]
        self.name = f"the proxy {_authority(self._host, self._port)}"
        if login is not None and self._is_socks:
            self._login = login_message(login[0].encode(), login[1].encode())
        elif login is not None:
            encoded = base64.b64encode(":".join(login).encode()).decode("ascii")
            self._headers["Proxy-Authorization"] = f"Basic {encoded}"
        check_headers(self._headers)

    @property
    def _is_socks(self) -> bool:
        return self._scheme.startswith("socks")

    def forwards(self, scheme: bytes) -> bool:
        """Return whether requests to an address of this scheme are sent to the proxy itself, see `forwarded`."""
        return scheme == b"http" and not self._is_socks

    def forwarded(self, request: httpx.Request) -> tuple[bytes, httpx.Headers]:
        """Return the target and the headers of a request that the proxy forwards (RFC 9112, section 3.2.2)."""
        url, headers = request.url, request.headers.copy()
        headers.update(self._headers)
        return url.raw_scheme + b"://" + url.netloc + url.raw_path, headers

    def opener(self, scheme: bytes, dial: StreamOpener, tls: Callable[[], ssl.SSLContext]) -> StreamOpener:
        """Return a function that opens a stream to a host and port through this proxy.

        The function raises `httpx.ConnectError` if the proxy cannot be reached, and `httpx.ProxyError` if the proxy
        refuses or fails. No stream is left open then.

        Args:
            scheme: the scheme of the address to reach.
            dial: opens a stream to the proxy itself.
            tls: returns the TLS settings for an `https` proxy that has no settings of its own.
        """
        return functools.partial(self._open, dial, tls, is_tunnel=not self.forwards(scheme))

    async def _open(
        self, dial: StreamOpener, tls: Callable[[], ssl.SSLContext], host: str, port: int, *, is_tunnel: bool
    ) -> trio.abc.Stream:
        """Open a stream to the proxy, and ask it for a tunnel unless it forwards requests."""
        try:
            stream = await dial(host_for_os(self._host), self._port)
            await refuse_unclosable(stream)
        except (OSError, trio.BrokenResourceError, ValueError) as error:
            raise httpx.ConnectError(f"cannot connect to {self.name}: {reason_of(error)}") from error
        try:
            with contextlib.ExitStack() as undo:
                undo.callback(close_now, stream)
                if self._scheme == "https":
                    stream = await open_tls(stream, self._context or tls(), without_zone(self._host))
                if is_tunnel:
                    await (self._negotiate if self._is_socks else self._connect)(stream, host, port)
                undo.pop_all()
        except (OSError, trio.BrokenResourceError) as error:
            raise httpx.ProxyError(f"the connection to {self.name} failed: {reason_of(error)}") from error
        return stream

    async def _connect(self, stream: trio.abc.Stream, host: str, port: int) -> None:
        """Ask an HTTP proxy to turn the stream into a tunnel."""
        target = _authority(host, port)
        headers = httpx.Headers({"Host": target})
        headers.update(self._headers)
        await stream.send_all(memoryview(serialize("CONNECT", target.encode("ascii"), headers)))
        # RFC 9110, section 9.3.6: a 2xx response to CONNECT has no body; the tunnel starts right after its head.
        with contextlib.closing(ResponseParser(has_body=False)) as parser:
            status = await self._read_status(stream, parser)
            offers = httpx.Headers(parser.take_headers()).get("proxy-authenticate", "")
        if not 200 <= status < 300:
            raise refusal(self.name, status, offers)

    async def _read_status(self, stream: trio.abc.Stream, parser: ResponseParser) -> int:
        """Read the head of the proxy's response."""
        while True:
            data = await stream.receive_some(_READ_SIZE)
            if not data:
                raise httpx.ProxyError(f"{self.name} closed the connection without an answer")
            parser.receive_data(data)
            if parser.status is not None:
                return parser.status
            try:
                parser.check()
            except ProtocolError as error:
                raise ProxyRefusal(
                    f"{self.name} answered with something that is not HTTP: {error}", is_final=True
                ) from error

    async def _negotiate(self, stream: trio.abc.Stream, host: str, port: int) -> None:
        """Ask a SOCKS proxy to connect the stream to a host and port."""
        steps = negotiate(host, port, self._login)
        try:
            await _perform(steps, stream)
        except SocksError as error:
            raise ProxyRefusal(
                f"{self.name} did not connect to {host}:{port}: {error}", is_final=error.is_final
            ) from None
        except EOFError:
            raise httpx.ProxyError(f"{self.name} closed the connection without an answer") from None
        finally:
            steps.close()  # a generator that is left to the garbage collector may run at any time


async def _perform(steps: Generator[tuple[bytes | memoryview, int], bytes, None], stream: trio.abc.Stream) -> None:
    """Send what the generator yields, and send the answers into the generator, until it is exhausted."""
    await trio.lowlevel.checkpoint()
    answer: bytes | None = None
    while True:
        try:
            to_send, wanted = next(steps) if answer is None else steps.send(answer)
        except StopIteration:
            return
        if to_send:
            await stream.send_all(memoryview(to_send))
        answer = await _exactly(stream, wanted)


async def _exactly(stream: trio.abc.Stream, count: int) -> bytes:
    """Read exactly `count` bytes, since the next byte already belongs to the tunnel.

    Raises:
        EOFError: the stream ended before that.
    """
    data = bytearray()
    while len(data) < count:
        piece = await stream.receive_some(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)  # noqa: ASYNC910 - count is at least 1


def _authority(host: str, port: int) -> str:
    """Return a host and port as they are written in a URL, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parsed(given: str) -> httpx.URL:
    """Parse a proxy's URL. The error does not repeat the URL, because it may contain a password."""
    try:
        url = httpx.URL(given.strip())
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in _PORTS or not url.host or not has_port(url):
        raise ValueError(f"expected a URL {_FORM}")
    return url


# The environment.


def from_environment() -> Route | None:
    """Return the route that the environment variables describe, or None if they name no proxy.

    An invalid variable makes only those requests fail that would use it.
    """
    found = {name: url.strip() for name, url in urllib.request.getproxies().items()}
    excepted = [one.strip() for one in found.get("no", "").split(",")]
    given = {scheme: found[scheme] for scheme in _SCHEMES if found.get(scheme)}
    if "*" in excepted or not given:
        return None
    proxies = {
        scheme: Proxy(url if "://" in url else f"http://{url}", f"{scheme}_proxy in the environment")
        for scheme, url in given.items()
    }
    found = given = {}  # forget the URLs, so that no traceback shows a password among the locals
    return _Environment(proxies, [_Bypass.of(one) for one in excepted if one])


@attrs.frozen
class _Environment:
    """The route that the environment variables describe: a proxy for each scheme, and exceptions.

    This machine's loopback addresses never go through a proxy, because the proxy cannot reach them.
    """

    proxies: dict[str, Proxy]
    exceptions: list[_Bypass]

    def __call__(self, url: httpx.URL) -> Proxy | None:
        proxy = self.proxies.get(url.scheme) or self.proxies.get("all")
        if proxy is None or is_loopback(url.host) or any(one.covers(url) for one in self.exceptions):
            return None
        try:
            return proxy.check()
        except (TypeError, ValueError) as error:
            problem = str(error)
        raise ProxyRefusal(f"the proxy cannot be used: {problem}", is_final=True)


@attrs.frozen
class _Bypass:
    """One entry of `no_proxy`: a network, or a host name with its subdomains, optionally for one scheme or port.

    Attributes:
        scheme: the only scheme that the entry is about, or None.
        network: the network, if the entry is an address or a network.
        name: the host name otherwise.
        below_only: True if the entry covers subdomains but not the host itself.
        port: the only port that the entry is about, or None.
    """

    scheme: str | None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    name: str
    below_only: bool
    port: int | None

    @classmethod
    def of(cls, entry: str) -> _Bypass:
        """Parse `example.com` (with its subdomains), `.example.com` (subdomains only), an address, or a network."""
        scheme, _, rest = entry.rpartition("://")
        scheme = "" if scheme == "all" else scheme.lower()
        host, port = _split(rest)
        network = None
        try:
            network = ipaddress.ip_network(host, strict=False)
        except ValueError:
            pass  # it is a host name
        name = host.lstrip("*").rstrip(".")
        return cls(scheme or None, network, name.lstrip("."), name.startswith("."), port)

    def covers(self, url: httpx.URL) -> bool:
        """Return whether a URL matches the entry."""
        if self.scheme not in (None, url.scheme) or self.port not in (None, url.port or _PORTS.get(url.scheme)):
            return False
        host = url.raw_host.decode("ascii").lower().rstrip(".")
        if self.network is not None:
            return (address := address_of(host)) is not None and address in self.network
        if self.name == "localhost" or address_of(host) is not None:  # these have no subdomains
            return host == self.name
        return host.endswith("." + self.name) or (host == self.name and not self.below_only)


def _split(text: str) -> tuple[str, int | None]:
    """Split an entry into a host, spelled as in a URL, and a port or None."""
    host, colon, port = text.rpartition(":")
    # In `::1`, the last colon does not introduce a port.
    if not colon or not port.isdecimal() or (":" in host and not host.endswith("]")):
        host, port = text, ""
    host = host.lower().strip("[]")
    try:
        return host.encode("ascii" if host.isascii() else "idna").decode("ascii"), int(port) if port else None
    except UnicodeError:
        return host, int(port) if port else None
