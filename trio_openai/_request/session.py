"""The state that all requests of a client share: its options, its HTTP client, and whether it is still open.

A `Session` is made once for a client. `with_options` and `with_raw_response` make a copy that differs in its options or
in `is_raw`, and shares the HTTP client, the slots, the cookies and the lifetime. Every endpoint holds one, prepares its
requests with it, and sends them in an `Exchange`.
"""

from __future__ import annotations

import functools
import math
import sys
import urllib.request
from collections.abc import Collection, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import attrs

from trio_openai._deadlines import NOT_GIVEN, Deadlines, NotGiven
from trio_openai._http.lifetime import Lifetime
from trio_openai._http.raw_request import RawHead
from trio_openai._http.slots import Slots
from trio_openai._http.transport import TrioTransport, takes_raw
from trio_openai._httpx import httpx
from trio_openai._wire.encode import encode_json
from trio_openai._wire.text import printable, printable_values, quoted_path

from .headers import HiddenHeaders, add_headers
from .options import ClientOptions
from .request import (
    BYTES_HEADERS,
    JSON_HEADERS,
    STREAM_HEADERS,
    PreparedRequest,
    as_mapping,
    check_target,
    form_of_params,
    query_of_params,
)
from .used import Used

if TYPE_CHECKING:
    from trio_openai._http.multipart import Form
    from trio_openai._http.proxy import Proxy, Route

_DEFAULT_POOL = 1000
_MOST_HEADS = 100  # heads of requests that are kept; a path may contain an id
_STOCK_POOL = 100  # connections of an httpx client with its default limits


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class Session:
    """The state that all requests of a client share.

    Attributes:
        options: The client's options.
        http: The HTTP client: ours, or the program's.
        transport: The transport of `http` if that is ours.
        slots: The number of requests at a time over the program's HTTP client; see `_http/body.py`.
        errors: The exceptions that `http` raises if a request fails.
        cookies: The cookies that the program has set on its HTTP client.
        lifetime: The open streams and waiting calls, and whether the client has been closed.
        used: The tokens that the requests have used.
        is_raw: Whether methods return a `RawResponse`.
    """

    options: ClientOptions
    http: httpx.AsyncClient
    transport: TrioTransport | None = None
    slots: Slots | None = None
    errors: tuple[type[Exception], ...]
    cookies: Any = None
    lifetime: Lifetime = attrs.field(factory=Lifetime)
    used: Used = attrs.field(factory=Used)
    is_raw: bool = False

    @classmethod
    def of(cls, options: ClientOptions) -> Session:
        """Make the session of a new client.

        Raises:
            TypeError: A proxy is given together with an `http_client`.
        """
        proxy, http = _proxy_of(options), options.http_client
        if http is not None:
            slots = Slots(options.max_connections or _STOCK_POOL)
            # A copy, since the HTTP client adds the cookies of servers to the original.
            jar = getattr(http, "cookies", None)
            return cls(
                options=options,
                http=http,
                slots=slots,
                errors=_errors_of(http),
                cookies=type(jar)(jar) if jar else None,
            )
        most = options.max_connections or _DEFAULT_POOL
        transport = TrioTransport(max_connections=most, proxy=proxy, trust_env=options.trust_env)
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        http = httpx.AsyncClient(transport=transport, trust_env=options.trust_env, cookies=no_cookies)
        return cls(options=options, http=http, transport=transport, errors=_errors_of(http))

    def route(self, request: PreparedRequest) -> Any:  # noqa: ARG002 - that of several servers needs it
        """Return the `Route` of a call, if each attempt has to choose one of several servers; else None."""
        return None

    @property
    def most_at_once(self) -> float:
        """The number of requests that can be in flight; infinity if that is not known."""
        transport = getattr(self.http, "_transport", None)
        if isinstance(transport, TrioTransport):
            return transport.max_connections
        return self.slots.count if self.slots is not None else math.inf

    async def close(self) -> None:
        """Close every stream and connection."""
        await self.lifetime.close(self.http.aclose, self.errors)

    def prepare(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        *,
        stream: bool,
        always: Mapping[str, Any] | None = None,
        files: Collection[str] = (),
        binary: bool = False,
        endpoint: str | None = None,
    ) -> PreparedRequest:
        """Prepare a request. Nothing is sent.

        Args:
            method: The HTTP method.
            path: The endpoint's path, after the `base_url`.
            params: The parameters of the API, and those that every call takes.
            stream: Whether the answer is a stream of events.
            always: Parameters that `extra_body` does not override.
            files: The names of parameters that are files. If there are any, the body is a form.
            binary: Whether the answer is bytes instead of JSON.
            endpoint: The path as the API documents it, with places in braces. By default `path`.

        Raises:
            TypeError: A parameter cannot be sent or has the wrong type.
            ValueError: The path or a header has a character that HTTP forbids, or a file cannot be read twice.
        """
        body = dict(params)
        extra_headers, timeout = body.pop("extra_headers"), body.pop("timeout", NOT_GIVEN)
        query = as_mapping(body.pop("extra_query", None), "extra_query")
        body |= as_mapping(body.pop("extra_body", None), "extra_body")
        body |= always or {}
        endpoint = endpoint or path
        if method == "POST":  # a deployment of Azure runs models, and has no lists
            path = self.options.path(path, body)
        content: bytes | Form | None = None
        if method in ("GET", "DELETE"):
            query = {**query, **query_of_params(body)}
        elif files:
            content = form_of_params(body, files)
        elif body or always is not None:
            content = encode_json(body)
        accept = STREAM_HEADERS if stream else BYTES_HEADERS if binary else JSON_HEADERS
        model: object = body.get("model")
        return self.request(
            method, path, query, content, accept, extra_headers, timeout, stream=stream, endpoint=endpoint, model=model
        )

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        content: bytes | Form | None,
        accept: Mapping[str, str],
        extra_headers: HiddenHeaders,
        timeout: Any = NOT_GIVEN,
        *,
        stream: bool = False,
        endpoint: str | None = None,
        model: object = None,
    ) -> PreparedRequest:
        """Prepare a request whose body has been encoded. Nothing is sent.

        Args:
            method: The HTTP method.
            path: The path after the `base_url`, or a whole URL at the same server.
            query: Parameters of the URL. They win over the client's.
            content: The body: JSON as bytes, a form, or None. Give bytes of another kind with their `Content-Type`.
            accept: The headers that say what the answer may be.
            extra_headers: The call's own headers, which win over all others.
            timeout: The call's own `timeout`. By default the client's.
            stream: Whether the answer is a stream of events.
            endpoint: The path as the API documents it. By default `path`.
            model: The model that the parameters name.

        Raises:
            TypeError: The timeout or a header has the wrong type.
            ValueError: The path or a header has a character that HTTP forbids.
        """
        check_target(method, path)
        deadlines = self.options.timeout if isinstance(timeout, NotGiven) else Deadlines.of(timeout)
        # The headers come last: if one of the steps above raises, a traceback must not show them among the locals.
        headers = self._headers(accept, is_json=isinstance(content, bytes))
        if extra_headers:
            headers = headers.copy()
            add_headers(headers, extra_headers)
        return PreparedRequest(
            method=method,
            path=path,
            content=content,
            headers=headers,
            query={**self.options.default_query, **query},
            deadlines=deadlines if stream else deadlines.for_plain_answers(),
            endpoint=endpoint or path,
            model=model if isinstance(model, str) else None,
            is_stream=stream,
        )

    def _headers(self, accept: Mapping[str, str], *, is_json: bool) -> httpx.Headers:
        """Return the headers that a call has without `extra_headers`. All calls of a kind share them."""
        kind = (accept["Accept"], is_json)
        if (headers := self._shared.get(kind)) is None:
            headers = self._shared[kind] = self.options.headers.copy()
            headers.update(accept)
            if is_json:
                headers["Content-Type"] = "application/json"
        return headers

    def raw_head(self, prepared: PreparedRequest) -> RawHead | None:
        """Return the head of a request for our own transport; None if it has to be an `httpx.Request`."""
        content, headers = prepared.content, prepared.headers
        if self.transport is None or not takes_raw(self.transport):
            return None
        if prepared.query or not (content is None or isinstance(content, bytes)):
            return None
        key = (prepared.method, prepared.path, id(headers))
        if (head := self._heads.get(key)) is None:
            url = self.url(prepared.path, prepared.query)
            request = self.http.build_request(prepared.method, url, headers=headers.raw, content=content)
            head = RawHead.of(request, has_body=content is not None)
            if b"%" in head.origin[1]:  # the zone of an IPv6 address, which is not sent
                return None
            if any(headers is shared for shared in self._shared.values()):
                if len(self._heads) >= _MOST_HEADS:
                    self._heads.clear()
                self._heads[key] = head
        return head

    def url(self, path: str, query: Mapping[str, Any]) -> str:
        """Return the URL of an endpoint.

        It is text, since the program's HTTP client may be of another library than the `base_url`.
        """
        base = self.options.url
        if not path.startswith("/"):  # a whole URL, which `target.py` has compared with the `base_url`
            return str(httpx.URL(path).copy_merge_params(base.params).copy_merge_params(printable_values(query)))
        if not query and not base.query:
            return self._prefix + printable(path)  # saves a quarter of the CPU time of a short call
        start, _, own = base.raw_path.partition(b"?")
        target = start.rstrip(b"/") + quoted_path(path) + (b"?" + own if own else b"")
        return str(base.copy_with(raw_path=target, userinfo=b"").copy_merge_params(printable_values(query)))

    def set_cookies(self, request: httpx.Request, given: str | None) -> None:
        """Send the program's cookies, and none that a server has set: those would leak from one key to another.

        Args:
            request: The request, which may have all cookies that the HTTP client has collected.
            given: The call's own `Cookie` header, which replaces the others.
        """
        request.headers.pop("cookie", None)
        if given is not None:
            request.headers["cookie"] = given
        elif self.cookies:
            self.cookies.set_cookie_header(request)

    @functools.cached_property
    def _shared(self) -> dict[tuple[str, bool], httpx.Headers]:
        return {}

    @functools.cached_property
    def _heads(self) -> dict[tuple[str, str, int], RawHead]:
        return {}

    @functools.cached_property
    def _prefix(self) -> str:
        # Without the user info: HTTP clients log the URL, and `ClientOptions.headers` sends the login as a header.
        return str(self.options.url.copy_with(fragment=None, userinfo=b"")).rstrip("/")


def _proxy_of(options: ClientOptions) -> Proxy | Route | None:
    """Return the proxy of the options, else those of the environment."""
    if options.http_client is not None:
        if options.proxy is not None or not options.trust_env:
            raise TypeError("proxy and trust_env are options of an http_client: set them on yours")
        return None
    schemes = ("http", "https", "all")
    if options.proxy is not None or not options.trust_env or urllib.request.getproxies().keys().isdisjoint(schemes):
        return options.proxy
    from trio_openai._http.proxy import from_environment

    return from_environment()


_ERRORS = ("RequestError", "StreamError", "InvalidURL")  # the last one is raised for a redirect


def _errors_of(http: httpx.AsyncClient) -> tuple[type[Exception], ...]:
    """Return the exceptions that a client raises if a request fails: httpx's, and those of the client's own package."""
    packages = [sys.modules.get(cls.__module__.partition(".")[0]) for cls in type(http).__mro__]
    found = (getattr(package, name, None) for package in [httpx, *packages] for name in _ERRORS)
    return tuple({error for error in found if isinstance(error, type)})
