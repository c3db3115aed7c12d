"""The client: its options, their defaults, and the HTTP client behind it."""

from __future__ import annotations

import base64
import contextlib
import os
import sys
import urllib.request
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast, overload

import httpx
import trio

from trio_openai._deadlines import DEFAULT_DEADLINES, Deadlines
from trio_openai._endpoints._client_endpoints import Endpoints, RawEndpoints
from trio_openai._endpoints._endpoint import Objects
from trio_openai._http.api_key import Key, KeyProvider
from trio_openai._http.byte_streams import has_port, host_for_os, is_loopback
from trio_openai._http.secrets import shown_text, shown_url
from trio_openai._http.session import Session
from trio_openai._http.slots import Slots
from trio_openai._http.transport import TrioTransport
from trio_openai._request.calls import NOT_GIVEN, Caller, HiddenHeaders, NotGiven, add_headers
from trio_openai._request.hints import check_http_client, check_in_trio, check_limiter, no_attribute
from trio_openai._stream.stream import Stream, StreamCall, StreamManager, StreamT
from trio_openai._version import __version__
from trio_openai._wire.sse import DEFAULT_LIMIT
from trio_openai.errors import OpenAIError
from trio_openai.types import NamedEvent, WireObject
from trio_openai.types.params import CallParams

if TYPE_CHECKING:
    from trio_openai._concurrent.many import Calls, Items
    from trio_openai._concurrent.race import Race
    from trio_openai._http.proxy import Proxy, Route
    from trio_openai._limits.limiter import Limiter
    from trio_openai._statistics import ClientStatistics

WireT = TypeVar("WireT", bound=WireObject)

_DEFAULT_BASE_URL = "https://api.openai.com/v1"
_DEFAULT_POOL = 1000
DEFAULT_CONCURRENT = 100
_STOCK_POOL = 100  # connections of an httpx client that was not told otherwise


class TrioOpenAI(Endpoints[Objects]):
    """A client of an OpenAI-compatible API.

    It can be made outside of `trio.run`, and is used inside one. Leave it (`async with`, or `aclose`) and every
    connection is closed, those of streams that are still open too.

    Args:
        api_key: the key, or an async function that is asked for it before every attempt; by default `OPENAI_API_KEY`.
            None is needed where `base_url` is a loopback address.
        base_url: by default `OPENAI_BASE_URL`, else OpenAI's.
        organization: by default `OPENAI_ORG_ID`.
        project: by default `OPENAI_PROJECT_ID`.
        timeout: seconds to wait for a connection, for the headers, and from one event to the next; or a `Deadlines`;
            or None to wait for ever. By default 5 s for a connection, ten minutes for the headers, and no limit for the
            stream after that: bound it by a cancel scope. An `httpx.Timeout` is taken as openai-python takes it.
        max_retries: attempts after the first, as long as no event has been handed over.
        max_connections: requests at a time; further ones wait for a slot, in order. By default 1,000, or 100 with an
            `http_client`, which should be what its own pool allows.
        default_headers: added to every request.
        default_query: added to every URL.
        http_client: an `httpx.AsyncClient` (or `httpx2`) of your own; it is closed with this client. With a
            `TrioTransport` in it (`httpx.AsyncClient(transport=TrioTransport(...))`) nothing is lost against the
            default.
        proxy: by way of which every request goes, in place of what the environment says: a URL such as
            `http://user:password@host:3128`, also `https://`, `socks5://` and `socks5h://`; or an `httpx.Proxy`.
        trust_env: whether `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`
            count.
        limiter: a `RateLimiter`, an `AdaptiveLimiter`, or one of your own; every attempt waits for it. Clients that are
            to be limited together share one.
        follow_cross_origin_redirects: whether to follow a redirect to another scheme, host or port. The prompt goes
            there, the key and your headers do not. By default such a redirect is an error that names the target. A
            redirect from https to http is never followed.
        max_event_bytes: how large one event of a stream may be, and a compressed response once it is inflated. By
            default 128 MiB, which is enough for pictures in 4K. More is an `APIResponseValidationError`.

    Raises:
        OpenAIError: there is no key.
        TypeError, ValueError: an argument is not what it should be.
    """

    def __init__(
        self,
        *,
        api_key: str | KeyProvider | Key | None = None,
        base_url: str | httpx.URL | None = None,
        organization: str | None = None,
        project: str | None = None,
        timeout: Deadlines | float | NotGiven | None = NOT_GIVEN,
        max_retries: int = 2,
        max_connections: int | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, Any] | None = None,
        http_client: httpx.AsyncClient | None = None,
        proxy: str | httpx.URL | httpx.Proxy | Proxy | None = None,
        trust_env: bool = True,
        limiter: Limiter | None = None,
        follow_cross_origin_redirects: bool = False,
        max_event_bytes: int = DEFAULT_LIMIT,
    ) -> None:
        proxy = hidden_proxy(proxy)
        key, api_key = _key(api_key), None  # a traceback that begins here does not show it, nor these
        default_headers = HiddenHeaders.of(default_headers, "default_headers")
        if base_url:
            self.base_url = _base_url(base_url, "base_url")
        else:
            self.base_url = _base_url(os.environ.get("OPENAI_BASE_URL") or _DEFAULT_BASE_URL, "OPENAI_BASE_URL")
        self.max_retries = _max_retries(max_retries)
        if max_connections is not None:
            _positive(max_connections, "max_connections")
        self.timeout = DEFAULT_DEADLINES if isinstance(timeout, NotGiven) else Deadlines.of(timeout)
        if key is None and not is_loopback(self.base_url.host):
            raise OpenAIError("there is no API key: set OPENAI_API_KEY, or give TrioOpenAI(api_key=...)")
        if key is not None:
            key.check()
        route = _route(proxy, http_client, trust_env=trust_env)
        self._transport: TrioTransport | None = None
        if limiter is not None:
            check_limiter(limiter)
        if http_client is not None:
            check_http_client(http_client)
            session = _session(http_client, self.base_url, key, max_connections or _STOCK_POOL)
            session.cookies = _copied(getattr(http_client, "cookies", None))
        else:
            most = max_connections or _DEFAULT_POOL
            self._transport = TrioTransport(max_connections=most, proxy=route, trust_env=trust_env)
            no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
            http = httpx.AsyncClient(transport=self._transport, trust_env=trust_env, cookies=no_cookies)
            session = _session(http, self.base_url, key, None)
        session.limiter = limiter
        session.may_leave_origin = follow_cross_origin_redirects
        session.max_event_bytes = _positive(max_event_bytes, "max_event_bytes")
        self._caller = Caller(
            session=session,
            headers=_headers(organization, project, default_headers, login=self.base_url if key is None else None),
            query=dict(default_query or {}),
            deadlines=self.timeout,
            max_retries=self.max_retries,
        )
        self._options: dict[str, Any] = {
            "api_key": key,
            "base_url": self.base_url,
            "organization": organization,
            "project": project,
            "timeout": self.timeout,
            "max_retries": max_retries,
            "default_headers": default_headers,
            "default_query": default_query,
            "limiter": limiter,
            "follow_cross_origin_redirects": follow_cross_origin_redirects,
            "max_event_bytes": max_event_bytes,
        }

    @property
    def with_raw_response(self) -> RawEndpoints:
        """The endpoints, whose methods return a `RawResponse` that holds the object."""
        from trio_openai._request.raw_response import RawCaller

        return RawEndpoints(RawCaller.like(self._caller))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name)

    def __repr__(self) -> str:
        where = repr(shown_url(self.base_url)) if hasattr(self, "base_url") else "half made"
        return f"<{type(self).__name__} {where}>"

    async def __aenter__(self) -> Self:
        check_in_trio()  # what the block would raise, its end would hide
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()  # noqa: ASYNC102 - it is shielded and bounded
        if exc is None:  # a cancellation, raised here, would take the place of what the block has raised
            await trio.lowlevel.checkpoint()  # noqa: ASYNC102

    async def aclose(self) -> None:
        """Close every stream and connection, all at the same time. Idempotent.

        Whoever waits for this client, for whatever reason, gets `trio.ClosedResourceError`. The connections are closed
        also if this is cancelled. An `http_client` of yours that hangs while it closes is left after five seconds, or
        when your own time is up, but not before one second.

        Raises:
            Exception: what your limiter or your transport raised meanwhile; several as an exception group. Everything
                is closed all the same.
        """
        await self._close()
        await trio.lowlevel.checkpoint()

    async def _close(self) -> None:
        session = self._caller.session
        await session.lifetime.close(session.http.aclose, session.errors)

    def statistics(self) -> ClientStatistics:
        """What the client holds, as of now."""
        from trio_openai._statistics import ClientStatistics

        caller = self._caller
        return ClientStatistics(
            open_streams=len(caller.session.lifetime.streams),
            transport=self._transport.statistics() if self._transport else None,
        )

    @overload
    def stream_request(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        event_type: None = None,
        end: str | Collection[str] | None = (),
        **params: Unpack[CallParams],
    ) -> StreamManager[Stream[NamedEvent, NamedEvent | None]]: ...

    @overload
    def stream_request(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        event_type: type[WireT],
        end: str | Collection[str] | None = (),
        **params: Unpack[CallParams],
    ) -> StreamManager[Stream[WireT, WireT | None]]: ...

    def stream_request(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, Any] | None = None,
        event_type: Any = None,
        end: str | Collection[str] | None = (),
        **params: Unpack[CallParams],
    ) -> StreamManager[Stream[Any, Any]]:
        """Stream any other endpoint of server-sent events inside an `async with` block.

        The `snapshot` of such a stream is its latest event.

        Args:
            method: of HTTP.
            path: what follows the `base_url`, with a slash in front.
            json: the body. Nothing is added to it, so it has to ask for a stream itself if the endpoint needs that.
            event_type: the class of the events, one of `trio_openai.types` or of your own (a `WireObject`), or a union
                of such classes. By default an event is a dictionary with a `name`.
            end: names or types of the events that end the stream, as `[DONE]` does anyway; None if the stream just
                ends, and what a cut leaves cannot be told from it unless HTTP does.
            params: those that every call takes.

        Raises:
            TypeError, ValueError: an argument cannot be sent.
            APIError: on entering the block, and while iterating.
        """
        from trio_openai._endpoints.others import stream_request

        return stream_request(self._caller, method, path, json, event_type, end, cast("dict[str, Any]", params))

    def stream_many(
        self, calls: Calls, *, max_concurrent: int = DEFAULT_CONCURRENT, fail_fast: bool = False
    ) -> AbstractAsyncContextManager[Items]:
        """Make many calls, so many at a time, and hand out their events as they come.

        Args:
            calls: any iterable or async iterable of calls, each made by an endpoint's `call(...)`. It is read lazily.
            max_concurrent: streams at a time.
            fail_fast: whether the first error of a call ends all of them.

        Returns:
            For `async with`: a `trio.abc.ReceiveChannel` of `Item`s. The last of each key has the `result`: the value,
            or the error with its `partial`. Leaving the block closes every stream.

        Raises:
            ValueError: `max_concurrent` is no number above zero.
            APIError: while receiving, with `fail_fast`.
            Exception: while receiving, what `calls` raised, after the results of the calls before.
        """
        from trio_openai._concurrent.many import stream_many

        return stream_many(calls, max_concurrent, self._caller.session, fail_fast=fail_fast)

    def run_many(
        self,
        calls: Calls,
        *,
        max_concurrent: int = DEFAULT_CONCURRENT,
        ordered: bool = False,
        fail_fast: bool = False,
    ) -> AbstractAsyncContextManager[Items]:
        """As `stream_many`, for the results only.

        Args:
            calls: any iterable or async iterable of calls, each made by an endpoint's `call(...)`. It is read lazily.
            max_concurrent: streams at a time.
            ordered: whether the results come in the order of the calls. Then up to twice `max_concurrent` calls are
                under way or wait for their turn.
            fail_fast: whether the first error of a call ends all of them.

        Returns:
            For `async with`: a `trio.abc.ReceiveChannel` of `Result`s.
        """
        from trio_openai._concurrent.many import run_many

        return run_many(calls, max_concurrent, self._caller.session, ordered=ordered, fail_fast=fail_fast)

    def race(self, calls: Iterable[StreamCall[StreamT]], *, stagger: float = 0.0) -> Race[StreamT]:
        """Make several calls for one answer: the first that has content wins, and the others are closed.

        Args:
            calls: in the order in which they start.
            stagger: seconds from one start to the next; less if one has failed.

        Returns:
            For `async with`: the stream that won, from its first event on. The losers have been closed.

        Raises:
            ValueError: there are no calls, or `stagger` is negative.
            APIError: on entering the block, when all have failed: a `RaceError` that has the error of each, or the
                error of the only one.
        """
        from trio_openai._concurrent.checks import check_calls
        from trio_openai._concurrent.race import Race

        check_calls("race", calls)
        return Race(list(calls), stagger)

    def with_options(self, **options: Any) -> Self:
        """A client with other options, which shares this one's connections. Closing either closes them.

        Args:
            options: those of `TrioOpenAI`, but `http_client`, `max_connections`, `proxy` and `trust_env`.
        """
        if "api_key" in options:
            options["api_key"] = _key(options["api_key"])
        if "proxy" in options:
            options["proxy"] = hidden_proxy(options["proxy"])  # it is refused, and a traceback shows no password
        if "default_headers" in options:
            options["default_headers"] = HiddenHeaders.of(options["default_headers"], "default_headers")
        if shared := {"http_client", "max_connections", "proxy", "trust_env"} & options.keys():
            raise TypeError(f"with_options() shares the connections; it does not take {', '.join(sorted(shared))}")
        mine = self._caller
        copy = object.__new__(type(self))
        TrioOpenAI.__init__(copy, **{**self._options, **options}, http_client=mine.session.http)
        copy._transport = self._transport
        copy._caller.session.slots = mine.session.slots
        copy._caller.session.cookies = mine.session.cookies
        copy._caller.session.lifetime = mine.session.lifetime
        copy._caller.route = mine.route
        keep_attributes(self, copy)
        return copy


def keep_attributes(client: Any, copy: Any) -> None:
    """Give a copy of a client what a subclass or the program has added to it.

    What the copy has itself stays. A `cached_property` is left out, since it may have been made of the other options.
    """
    classes = type(client).__mro__
    cached = {name for cls in classes for name, value in vars(cls).items() if isinstance(value, cached_property)}
    mine: dict[str, Any] = {**vars(client)}
    for slot in (name for cls in classes for name in _slots(cls) if hasattr(cls, name)):
        with contextlib.suppress(AttributeError):
            mine[slot] = object.__getattribute__(client, slot)
    for name, value in mine.items():
        if name not in cached and name not in vars(copy):
            object.__setattr__(copy, name, value)


def _slots(cls: type[Any]) -> tuple[str, ...]:
    slots: Any = vars(cls).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if not name.startswith("__"))


def _key(given: str | KeyProvider | Key | None) -> Key | None:
    """The key that was given, or the environment's."""
    if isinstance(given, Key):
        return given
    if given is not None and given != "":
        return Key(given)
    return Key(os.environ["OPENAI_API_KEY"]) if os.environ.get("OPENAI_API_KEY") else None


def _headers(
    organization: str | None, project: str | None, default: HiddenHeaders, *, login: httpx.URL | None
) -> httpx.Headers:
    """Return what goes with every request. `login` is a URL whose user info counts, as there is no key."""
    headers = httpx.Headers({"User-Agent": f"trio_openai/{__version__}"})
    whose = {
        "OpenAI-Organization": organization or os.environ.get("OPENAI_ORG_ID"),
        "OpenAI-Project": project or os.environ.get("OPENAI_PROJECT_ID"),
    }
    add_headers(headers, HiddenHeaders({name: value for name, value in whose.items() if value}))
    add_headers(headers, default)
    if login is not None and login.userinfo:
        encoded = base64.b64encode(f"{login.username}:{login.password}".encode()).decode("ascii")
        headers.setdefault("Authorization", f"Basic {encoded}")
    return headers


def _base_url(given: str | httpx.URL, name: str) -> httpx.URL:
    """Return the URL of an argument or of an environment variable of this name.

    Raises:
        TypeError, ValueError: it cannot be one. The error shows the value without its password.
    """
    if not isinstance(given, str | httpx.URL):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} takes a URL, such as {_DEFAULT_BASE_URL!r}, not {type(given).__name__}")
    shown = repr(shown_text(str(given)))
    try:
        url = httpx.URL(given)
    except httpx.InvalidURL as error:
        why = str(error) if name == "base_url" else f"{error}, in {shown}"
        raise ValueError(f"{name} is not a URL: {why}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(
            f"{name} has to begin with http:// or https://, and to name a host, as in {_DEFAULT_BASE_URL}, not {shown}"
        )
    if "%" in url.host and ":" in url.host:
        url = url.copy_with(host=host_for_os(url.host))  # as other HTTP clients take it
    if not has_port(url):
        raise ValueError(f"{name} has a port that is none: {url.port}, in {shown}")
    return url


def _positive(given: int, parameter: str) -> int:
    """Return a number that is at least 1."""
    if isinstance(given, bool) or not isinstance(given, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{parameter} takes a whole number, not {type(given).__name__}")
    if given < 1:
        raise ValueError(f"{parameter} has to be at least 1")
    return given


def _max_retries(given: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError("max_retries takes a number of attempts; 0 is for none")
    if given < 0:
        raise ValueError("max_retries cannot be negative; 0 is for none")
    return given


def hidden_proxy(given: str | httpx.URL | httpx.Proxy | Proxy | None) -> Proxy | None:
    """A proxy as an object that does not show its password. It has not been checked."""
    if given is None:
        return None
    from trio_openai._http.proxy import Proxy  # late: most programs have none

    return Proxy.of(given)


def _route(proxy: Proxy | None, http_client: httpx.AsyncClient | None, *, trust_env: bool) -> Proxy | Route | None:
    """Which proxies there are: that of the argument, else those of the environment."""
    if http_client is not None:
        if proxy is not None or not trust_env:
            raise TypeError("proxy and trust_env are options of an http_client: give them to yours")
        return None
    if proxy is not None or not trust_env or urllib.request.getproxies().keys().isdisjoint(("http", "https", "all")):
        return proxy
    from trio_openai._http.proxy import from_environment

    return from_environment()


def _session(http: httpx.AsyncClient, base_url: httpx.URL, key: Key | None, slots: int | None) -> Session:
    """The HTTP client, with slots for it if its pool may not be ours."""
    limiter = Slots(slots) if slots else None
    return Session(http=http, base_url=base_url, key=key, slots=limiter, errors=_errors_of(http))


def _copied(cookies: Any) -> Any:
    """Copy the cookies of an HTTP client before a server adds to them."""
    return type(cookies)(cookies) if cookies else None


_ERRORS = ("RequestError", "StreamError", "InvalidURL")  # the last one of a redirect, too


def _errors_of(http: httpx.AsyncClient) -> tuple[type[Exception], ...]:
    """What a client raises when a request fails: httpx's classes, or those of the package that it comes from."""
    packages = [sys.modules.get(cls.__module__.partition(".")[0]) for cls in type(http).__mro__]
    found = (getattr(package, name, None) for package in [httpx, *packages] for name in _ERRORS)
    return tuple({error for error in found if isinstance(error, type)})
