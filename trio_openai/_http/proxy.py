"""Proxies: which one a URL goes through, and how a stream is opened by way of it.

* A proxy of HTTP opens a tunnel to an `https` address (`CONNECT`), in which TLS and the pool work as ever. To an `http`
  address it is handed the request itself, with the whole URL in it, as many proxies tunnel to port 443 only.
* A SOCKS 5 proxy opens a connection to any address, and looks up its name.
* Which proxy it is comes from an argument, or from the environment in the way that httpx reads it: `http_proxy`,
  `https_proxy`, `all_proxy` and `no_proxy`, in either case. Networks (`10.0.0.0/8`) in `no_proxy` count, unlike there.

What the program hands in is taken apart at once. From then on no `repr`, error or traceback shows a password.
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
import httpx
import trio

from .byte_streams import (
    StreamOpener,
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
_FORM = "such as http://user:password@host:3128, that begins with http://, https://, socks5:// or socks5h://"
_READ_SIZE = 64 * 1024
_SCHEMES = ("http", "https", "all")
_WAYS = re.compile(r"(?:^|,)\s*(Basic|Digest|NTLM|Negotiate|Kerberos|Bearer)\b", re.IGNORECASE)

Route: TypeAlias = "Callable[[httpx.URL], Proxy | None]"
"""Which proxy a URL goes through; None for no proxy."""


class ProxyRefusal(httpx.ProxyError):
    """The proxy is there, and does not do it.

    Attributes:
        is_final: whether it would say the same if it were asked again.
    """

    def __init__(self, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


def refusal(proxy: str, status: int, offers: str) -> ProxyRefusal:
    """What an HTTP status of a proxy's own means.

    Args:
        proxy: which one, in words.
        status: its answer.
        offers: the `Proxy-Authenticate` header, if there was one.
    """
    words = f"{proxy} refused: {status} {http.client.responses.get(status, '')}".rstrip()
    if status == 407:
        ways = _WAYS.findall(offers)
        if ways and "basic" not in map(str.lower, ways):
            words += f"; it asks for {' or '.join(ways)}, and only Basic is spoken here"
        else:
            words += "; the user name or the password for it is missing or wrong"
    return ProxyRefusal(words, is_final=400 <= status < 500 and status not in (408, 429))


class Proxy:
    """One proxy. No `repr`, error or traceback shows its password.

    To make one raises nothing, as the traceback would begin where the password still stands: `check` does.

    Args:
        given: its URL, or an `httpx.Proxy`, or that of httpx2.
        parameter: where that came from, for a message.

    Attributes:
        name: how a message calls it.
    """

    def __init__(self, given: str | httpx.URL | httpx.Proxy, parameter: str = "proxy") -> None:
        self.name = "the proxy"
        self._scheme = ""
        self._problem: Exception | None = None
        self._context: ssl.SSLContext | None = None
        self._headers = httpx.Headers()  # their repr masks the password
        self._login: memoryview | None = None
        try:
            self._take(given)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            self._problem = kind(f"{parameter}: {error}")

    @classmethod
    def of(cls, given: str | httpx.URL | httpx.Proxy | Proxy) -> Proxy:
        """What a program hands in, which may be such an object already."""
        return given if isinstance(given, Proxy) else cls(given)

    def check(self) -> Self:
        """Raise `TypeError` or `ValueError` if it is no proxy. The message does not repeat it."""
        if self._problem is not None:
            raise self._problem
        return self

    def always(self) -> Route:
        """The route of which it is the whole."""
        return lambda url: self  # noqa: ARG005

    def __repr__(self) -> str:
        return f"<{self._scheme} {self.name.removeprefix('the ')}>"

    def _take(self, given: Any) -> None:
        if isinstance(given, str | httpx.URL):
            url = _parsed(given)
            login = (url.username, url.password) if url.userinfo else None
        elif hasattr(given, "raw_auth"):
            url, login, self._context = _parsed(str(given.url)), given.auth, given.ssl_context
            self._headers = httpx.Headers(given.headers.multi_items())
        else:
            raise TypeError(f"it has to be a URL or an httpx.Proxy, not {type(given).__name__}")
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
        """Whether requests to an `http` or `https` address are handed to the proxy itself, by `forwarded`."""
        return scheme == b"http" and not self._is_socks

    def forwarded(self, request: httpx.Request) -> tuple[bytes, httpx.Headers]:
        """The target and the headers of a request that the proxy forwards."""
        url, headers = request.url, request.headers.copy()
        headers.update(self._headers)
        return url.raw_scheme + b"://" + url.netloc + url.raw_path, headers

    def opener(self, scheme: bytes, dial: StreamOpener, tls: Callable[[], ssl.SSLContext]) -> StreamOpener:
        """What opens a stream by way of this proxy.

        The opener raises `httpx.ConnectError` if the proxy cannot be reached, and `httpx.ProxyError` if it does not do
        what it should. Nothing is open then.

        Args:
            scheme: of the address to be reached.
            dial: how the proxy itself is reached.
            tls: gives the context for a proxy of `https`, unless it has one of its own.
        """
        return functools.partial(self._open, dial, tls, is_tunnel=not self.forwards(scheme))

    async def _open(
        self, dial: StreamOpener, tls: Callable[[], ssl.SSLContext], host: str, port: int, *, is_tunnel: bool
    ) -> trio.abc.Stream:
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
        """Have an HTTP proxy make a tunnel of the stream."""
        target = _authority(host, port)
        headers = httpx.Headers({"Host": target})
        headers.update(self._headers)
        await stream.send_all(memoryview(serialize("CONNECT", target.encode("ascii"), headers)))
        with contextlib.closing(ResponseParser(has_body=False)) as parser:
            status = await self._read_status(stream, parser)
            offers = httpx.Headers(parser.take_headers()).get("proxy-authenticate", "")
        if not 200 <= status < 300:
            raise refusal(self.name, status, offers)

    async def _read_status(self, stream: trio.abc.Stream, parser: ResponseParser) -> int:
        while True:
            data = await stream.receive_some(_READ_SIZE)
            if not data:
                raise httpx.ProxyError(f"{self.name} ended the connection instead of an answer")
            parser.receive_data(data)
            if parser.status is not None:
                return parser.status
            try:
                parser.check()
            except ProtocolError as error:
                raise ProxyRefusal(f"{self.name} answered with what is not HTTP: {error}", is_final=True) from error

    async def _negotiate(self, stream: trio.abc.Stream, host: str, port: int) -> None:
        """Have a SOCKS proxy connect the stream."""
        steps = negotiate(host, port, self._login)
        try:
            await _perform(steps, stream)
        except SocksError as error:
            raise ProxyRefusal(
                f"{self.name} does not connect to {host}:{port}: {error}", is_final=error.is_final
            ) from None
        except EOFError:
            raise httpx.ProxyError(f"{self.name} ended the connection instead of an answer") from None
        finally:
            steps.close()


async def _perform(steps: Generator[tuple[bytes | memoryview, int], bytes, None], stream: trio.abc.Stream) -> None:
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
    """So many bytes, and none of what follows.

    Raises:
        EOFError: there are not so many.
    """
    data = bytearray()
    while len(data) < count:
        piece = await stream.receive_some(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)  # noqa: ASYNC910 - it is never asked for none


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parsed(given: str | httpx.URL) -> httpx.URL:
    """A proxy's URL. What is wrong with it is not repeated: half of it may be a password."""
    try:
        url = httpx.URL(given.strip() if isinstance(given, str) else given)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in _PORTS or not url.host or not has_port(url):
        raise ValueError(f"it has to be a URL {_FORM}")
    return url


# The environment.


def from_environment() -> Route | None:
    """Return what the environment says, or None if it names no proxy.

    A variable that is not the URL of a proxy concerns only the requests that would use it: those fail.
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
    found = given = {}  # a traceback shows no password
    return _Environment(proxies, [_Bypass.of(one) for one in excepted if one])


@attrs.frozen
class _Environment:
    """The proxies of each scheme, and where they are not used. This machine's own loopback is never proxied."""

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
    """One entry of `no_proxy`: a network, or a name with what is below it, perhaps of one scheme or port only."""

    scheme: str | None
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    name: str
    below_only: bool
    port: int | None

    @classmethod
    def of(cls, entry: str) -> _Bypass:
        """`example.com` and what is below it, `.example.com` only what is below, an address, a network."""
        scheme, _, rest = entry.rpartition("://")
        scheme = "" if scheme == "all" else scheme.lower()
        host, port = _split(rest)
        network = None
        try:
            network = ipaddress.ip_network(host, strict=False)
        except ValueError:
            pass  # a name
        name = host.lstrip("*").rstrip(".")
        return cls(scheme or None, network, name.lstrip("."), name.startswith("."), port)

    def covers(self, url: httpx.URL) -> bool:
        """Whether a URL is meant."""
        if self.scheme not in (None, url.scheme) or self.port not in (None, url.port or _PORTS.get(url.scheme)):
            return False
        host = url.raw_host.decode("ascii").lower().rstrip(".")
        if self.network is not None:
            return (address := _address(host)) is not None and address in self.network
        if self.name == "localhost" or _address(host) is not None:
            return host == self.name
        return host.endswith("." + self.name) or (host == self.name and not self.below_only)


def _split(text: str) -> tuple[str, int | None]:
    """A host as it stands in a URL, and the port, if there is one."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or (":" in host and not host.endswith("]")):  # a port, or a bit of IPv6
        host, port = text, ""
    host = host.lower().strip("[]")
    try:
        return host.encode("ascii" if host.isascii() else "idna").decode("ascii"), int(port) if port else None
    except UnicodeError:
        return host, int(port) if port else None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
