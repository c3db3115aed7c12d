"""The client and its endpoints: parameters in, a `Call` out, and the door that the caller chose.

An endpoint knows its path, the dialect of its stream and the type of its plain answer; everything else is shared.
"""

from __future__ import annotations

import ipaddress
import os
import sys
import urllib.request
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import httpx
import trio

from ._http1 import check_headers
from ._request import Call, Exchange, Key, KeyProvider, Session, encode_json
from ._sansio.convert import decode_json, hook_for
from ._sansio.dialects import ChatDialect, ResponseDialect
from ._sansio.failures import api_error, decode_body
from ._sansio.policy import DEFAULT_DEADLINES, Deadlines
from ._stream import ChatCompletionStream, ResponseStream, Stream, StreamManager
from ._transport import TrioTransport
from ._version import __version__
from .errors import APIError, APIResponseValidationError, OpenAIError
from .types import ChatCompletion, Response
from .types._base import WireObject

_T = TypeVar("_T")

_DEFAULT_BASE_URL = "https://api.openai.com/v1"
_DEFAULT_POOL = 1000
_STOCK_POOL = 100  # connections of an httpx client that was not told otherwise


class NotGiven:
    """The type of `NOT_GIVEN`, which stands for an argument that was left out where None means something else."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()


class TrioOpenAI:
    """A client of an OpenAI-compatible API.

    It can be made outside of `trio.run`, and is used inside one. Leave it (`async with`, or `aclose`) and every connection is
    closed, those of streams that are still open too.

    Args:
        api_key: the key, or an async function that is asked for it before every attempt; by default `OPENAI_API_KEY`. None
            is needed where `base_url` is a loopback address.
        base_url: by default `OPENAI_BASE_URL`, else OpenAI's.
        organization: by default `OPENAI_ORG_ID`.
        project: by default `OPENAI_PROJECT_ID`.
        timeout: seconds to wait for a connection, for the headers, and from one event to the next; or a `Deadlines`; or None
            to wait for ever. By default 5 s for a connection and ten minutes for the others.
        max_retries: attempts after the first, as long as no event has been handed over.
        max_connections: requests at a time; further ones wait for a slot, in order. By default 1,000, or 100 with an
            `http_client`, which should be what its own pool allows.
        default_headers: added to every request.
        default_query: added to every URL.
        http_client: an `httpx.AsyncClient` (or `httpx2`) of your own; it is closed with this client. With a `TrioTransport` in
            it (`httpx.AsyncClient(transport=TrioTransport(...))`) nothing is lost against the default.

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
    ) -> None:
        key, api_key = _key(api_key), None  # a traceback that begins here does not show it
        self.base_url = _base_url(base_url or os.environ.get("OPENAI_BASE_URL") or _DEFAULT_BASE_URL)
        self.max_retries = _max_retries(max_retries)
        self.timeout = DEFAULT_DEADLINES if isinstance(timeout, NotGiven) else Deadlines.of(timeout)
        if key is None and not _is_loopback(self.base_url):
            raise OpenAIError("there is no API key: set OPENAI_API_KEY, or give TrioOpenAI(api_key=...)")
        if key is not None:
            key.check()
        named = {
            "OpenAI-Organization": organization or os.environ.get("OPENAI_ORG_ID"),
            "OpenAI-Project": project or os.environ.get("OPENAI_PROJECT_ID"),
        }
        self._headers = httpx.Headers(
            {
                "User-Agent": f"trio_openai/{__version__}",
                **{name: value for name, value in named.items() if value},
            }
        )
        self._headers.update(default_headers)
        check_headers(self._headers)
        self._query = dict(default_query or {})
        self._session = _session(self.base_url, key, max_connections, http_client)
        self._open_streams: set[Stream[Any, Any]] = set()
        self._options: dict[str, Any] = {
            "api_key": key,
            "base_url": self.base_url,
            "organization": organization,
            "project": project,
            "timeout": self.timeout,
            "max_retries": max_retries,
            "default_headers": default_headers,
            "default_query": default_query,
        }
        self.chat = Chat(self)
        self.responses = Responses(self)

    def __repr__(self) -> str:
        return f"<TrioOpenAI {self.base_url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every stream and connection. Idempotent. The connections are closed also if this is cancelled."""
        with trio.CancelScope(shield=True):  # nothing in it waits for a server
            for stream in list(self._open_streams):
                await stream.aclose()
            await self._session.http.aclose()
        await trio.lowlevel.checkpoint()

    def with_options(self, **options: Any) -> TrioOpenAI:
        """A client with other options, which shares this one's connections. Closing either closes them.

        Args:
            options: those of `TrioOpenAI`, but `http_client` and `max_connections`.
        """
        if shared := {"http_client", "max_connections"} & options.keys():
            raise TypeError(f"with_options() shares the connections; it does not take {', '.join(sorted(shared))}")
        if "api_key" in options:
            options["api_key"] = Key(options["api_key"])
        copy = TrioOpenAI(**{**self._options, **options, "http_client": self._session.http})
        copy._session.slots = self._session.slots
        copy._open_streams = self._open_streams
        return copy

    # For the endpoints.

    def exchange(self, path: str, params: dict[str, Any], *, stream: bool) -> Exchange:
        """Begin a call: `params` are the body's, and those that every call takes. Nothing is sent yet. Internal.

        Raises:
            TypeError: a parameter cannot be sent as JSON, or is not of the type it has to be.
            ValueError: a header has a character that HTTP forbids.
        """
        extra_headers, extra_query = params.pop("extra_headers", None), params.pop("extra_query", None)
        extra_body, timeout = params.pop("extra_body", None), params.pop("timeout", NOT_GIVEN)
        headers = self._headers.copy()
        headers.update(_STREAM_HEADERS if stream else _PLAIN_HEADERS)
        headers.update(extra_headers)
        check_headers(headers)
        body = {**params, **(extra_body or {})}
        call = Call(
            method="POST",
            path=path,
            json=encode_json({**body, "stream": True} if stream else body),
            headers=headers,
            query={**self._query, **(extra_query or {})},
            deadlines=self.timeout if isinstance(timeout, NotGiven) else Deadlines.of(timeout),
            max_retries=self.max_retries,
        )
        return Exchange(self._session, call)

    def open_streams(self) -> set[Stream[Any, Any]]:
        """The streams that closing the client closes. Internal."""
        return self._open_streams

    async def plain(self, path: str, params: dict[str, Any], cls: type[_T]) -> _T:
        """Make a call and read its whole answer. Internal.

        Raises:
            APIError: it failed; `APIResponseValidationError` if the answer is no JSON object.
        """
        exchange = self.exchange(path, params, stream=False)
        response = await exchange.open()
        content = await exchange.read_all(response)
        try:
            return _decoded(content, cls)
        except APIError as error:
            error.request_id = response.headers.get("x-request-id")
            raise


_PLAIN_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_STREAM_HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
# identity: httpx 0.28 decompresses without a bound, and a compressing proxy may hold events back


def _decoded(content: bytes, cls: type[_T]) -> _T:
    """A plain answer as an object."""
    try:
        raw = decode_json(content)
    except ValueError:
        raw = None
    if type(raw) is not dict:
        shown = content[:200].decode(errors="replace")
        raise APIResponseValidationError(f"the answer is not a JSON object: {shown!r}", body=decode_body(content))
    if raw.get("error") and raw.keys().isdisjoint(("choices", "output")):
        raise api_error(APIError, raw)
    return hook_for(cls)(raw, None)


def _key(given: str | KeyProvider | Key | None) -> Key | None:
    """The key that was given, or the environment's."""
    if isinstance(given, Key):
        return given
    if given is not None and given != "":
        return Key(given)
    return Key(os.environ["OPENAI_API_KEY"]) if os.environ.get("OPENAI_API_KEY") else None


def _base_url(given: str | httpx.URL) -> httpx.URL:
    url = httpx.URL(given)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"base_url has to begin with http:// or https:// and name a host, which {str(given)!r} does not")
    return url


def _is_loopback(url: httpx.URL) -> bool:
    try:
        return url.host == "localhost" or ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False


def _max_retries(given: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError("max_retries takes a number of attempts; 0 is for none")
    if given < 0:
        raise ValueError("max_retries cannot be negative; 0 is for none")
    return given


def _session(
    base_url: httpx.URL, key: Key | None, max_connections: int | None, given: httpx.AsyncClient | None
) -> Session:
    """The HTTP client to use, with slots for it if its pool is not ours."""
    if given is not None:
        slots = trio.CapacityLimiter(max_connections or _STOCK_POOL)
        return Session(http=given, base_url=base_url, key=key, slots=slots, errors=_errors_of(given))
    most = max_connections or _DEFAULT_POOL
    if not _is_loopback(base_url) and not urllib.request.getproxies().keys().isdisjoint(("http", "https", "all")):
        limits = httpx.Limits(max_connections=most, keepalive_expiry=30.0)
        http, slots = httpx.AsyncClient(limits=limits), trio.CapacityLimiter(most)
    else:
        http, slots = httpx.AsyncClient(transport=TrioTransport(max_connections=most)), None
    return Session(http=http, base_url=base_url, key=key, slots=slots, errors=_errors_of(http))


def _errors_of(http: httpx.AsyncClient) -> tuple[type[Exception], ...]:
    """What a client raises when a request fails: httpx's classes, or those of the package that it comes from."""
    packages = [sys.modules[cls.__module__.partition(".")[0]] for cls in type(http).__mro__]
    found = (getattr(package, name, None) for package in [httpx, *packages] for name in ("RequestError", "StreamError"))
    return tuple({error for error in found if isinstance(error, type)})


class Chat:
    """`client.chat`."""

    def __init__(self, client: TrioOpenAI) -> None:
        self.completions = Completions(client)


class Completions:
    """`client.chat.completions`. Parameters are the API's; beside them, every call takes:

    * `extra_headers`, `extra_query`, `extra_body`: added to the request;
    * `timeout`: as for `TrioOpenAI`.
    """

    def __init__(self, client: TrioOpenAI) -> None:
        self._client = client

    def stream(
        self, *, model: str, messages: Iterable[Mapping[str, Any] | WireObject], **params: Any
    ) -> StreamManager[ChatCompletionStream]:
        """Stream a chat completion inside an `async with` block. The request is sent when the block is entered.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: on entering the block, and while iterating.
        """
        body = {"model": model, "messages": list(messages), **_without_stream(params)}
        return StreamManager(lambda: self._open(dict(body)))

    @overload
    async def create(
        self, *, model: str, messages: Iterable[Mapping[str, Any] | WireObject], stream: Literal[True], **params: Any
    ) -> ChatCompletionStream: ...

    @overload
    async def create(
        self,
        *,
        model: str,
        messages: Iterable[Mapping[str, Any] | WireObject],
        stream: Literal[False] | None = None,
        **params: Any,
    ) -> ChatCompletion: ...

    async def create(
        self,
        *,
        model: str,
        messages: Iterable[Mapping[str, Any] | WireObject],
        stream: bool | None = None,
        **params: Any,
    ) -> ChatCompletionStream | ChatCompletion:
        """Make a chat completion; with `stream=True`, return its stream, to be closed by `aclose()` or `async with`.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: it failed.
        """
        body = {"model": model, "messages": list(messages), **params}
        if not stream:
            return await self._client.plain(_CHAT, body, ChatCompletion)
        opened = self._open(body)
        await opened.open()
        return opened

    def _open(self, body: dict[str, Any]) -> ChatCompletionStream:
        choices = body["n"] if type(body.get("n")) is int else 1
        exchange = self._client.exchange(_CHAT, body, stream=True)
        return ChatCompletionStream(exchange, lambda: ChatDialect(choices), self._client.open_streams())


class Responses:
    """`client.responses`. Parameters are the API's, and those that every call takes, as for chat completions."""

    def __init__(self, client: TrioOpenAI) -> None:
        self._client = client

    def stream(self, **params: Any) -> StreamManager[ResponseStream]:
        """Stream a response inside an `async with` block. The request is sent when the block is entered.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: on entering the block, and while iterating.
        """
        body = _without_stream(params)
        return StreamManager(lambda: self._open(dict(body)))

    @overload
    async def create(self, *, stream: Literal[True], **params: Any) -> ResponseStream: ...

    @overload
    async def create(self, *, stream: Literal[False] | None = None, **params: Any) -> Response: ...

    async def create(self, *, stream: bool | None = None, **params: Any) -> ResponseStream | Response:
        """Make a response; with `stream=True`, return its stream, to be closed by `aclose()` or `async with`.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: it failed.
        """
        if not stream:
            return await self._client.plain(_RESPONSES, params, Response)
        opened = self._open(params)
        await opened.open()
        return opened

    def _open(self, body: dict[str, Any]) -> ResponseStream:
        exchange = self._client.exchange(_RESPONSES, body, stream=True)
        return ResponseStream(exchange, ResponseDialect, self._client.open_streams())


_CHAT = "/chat/completions"
_RESPONSES = "/responses"


def _without_stream(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of `stream(...)`, which streams without being told."""
    if params.pop("stream", True) is not True:
        raise TypeError("stream(...) always streams; for a plain answer call create(...)")
    return params
