"""The client for trio programs. It has the endpoints as attributes, and opens many streams at once.

The options and their defaults are in `_request/options.py`. The HTTP client and everything else that the requests of a
client share are in its `Session` (`_request/session.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, Collection, Iterable, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast, overload

import attrs
import trio

from ._deadlines import Deadlines
from ._endpoints._client_endpoints import Endpoints, RawEndpoints
from ._endpoints._endpoint import Objects
from ._http.secrets import shown_url
from ._mistakes import ClientEntersAsync, check_in_trio, no_attribute
from ._request.options import ClientOptions, takes_options
from ._request.session import Session
from ._stream.stream import Stream, StreamCall, StreamManager, StreamT
from .types import NamedEvent, WireObject
from .types.params import CallParams

if TYPE_CHECKING:
    from ._concurrent.race import Race
    from ._httpx import httpx
    from ._statistics import ClientStatistics
    from ._stream.results import EmptyLists, GivesItems, GivesResults

WireT = TypeVar("WireT", bound=WireObject)
ManagerT = TypeVar("ManagerT")
_ClientT = TypeVar("_ClientT", bound="TrioOpenAI")

DEFAULT_CONCURRENT = 100


class TrioOpenAI(ClientEntersAsync, Endpoints[Objects]):
    """A client of an OpenAI-compatible API.

    You can create a client anywhere, but it makes requests only inside `trio.run`. Use it with `async with`, or call
    `aclose`: both close every connection, including those of streams that are still open.

    Args:
        api_key: The API key, or an async function that returns it and is called before every attempt. By default
            `OPENAI_API_KEY`. A server on a loopback address needs no key.
        base_url: The URL before the paths of the endpoints. By default `OPENAI_BASE_URL`, else OpenAI's.
        organization: By default `OPENAI_ORG_ID`.
        project: By default `OPENAI_PROJECT_ID`.
        webhook_secret: The secret of `client.webhooks`. By default `OPENAI_WEBHOOK_SECRET`.
        timeout: The seconds to wait for a connection, for the headers, and between two events; or a `Deadlines`; or
            None to wait forever. By default 5 s for a connection and ten minutes for the headers. There is no default
            limit for the stream itself: use a cancel scope. An `httpx.Timeout` works as in openai-python.
        max_retries: The number of attempts after the first one. Nothing is retried after the first event was delivered.
        max_connections: The number of requests at the same time. Further requests wait in order. By default 1,000, or
            100 with an `http_client`; it should not exceed the limit of that client's own pool.
        default_headers: Headers to add to every request.
        default_query: Parameters to add to every URL.
        http_client: Your own `httpx.AsyncClient` (or `httpx2`), which is closed with this client. Give it a
            `TrioTransport` (`httpx.AsyncClient(transport=TrioTransport(...))`) to keep the speed and the guarantees of
            the default.
        proxy: The proxy for every request, instead of the environment's. A URL such as
            `http://user:password@host:3128`, also with `https://`, `socks5://` or `socks5h://`; or an `httpx.Proxy`.
        trust_env: Whether to read `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and
            `SSL_CERT_DIR`.
        limiter: A `RateLimiter`, an `AdaptiveLimiter`, or your own `Limiter`. Every attempt waits for its permit.
            Clients that should be limited together share one.
        observer: An `Observer`, or a list of them, which is told how each call goes, from its start to its only end. By
            default nobody is told. What an observer raises is logged and changes nothing else.
        follow_cross_origin_redirects: Whether to follow a redirect to another scheme, host or port. The prompt is sent
            there, but not the key and your headers. By default such a redirect is an error that names the target. A
            redirect from https to http is never followed.
        max_event_bytes: The largest size of one event, and of a compressed response after decompression. By default
            128 MiB, which is enough for 4K images. Beyond it, an `APIResponseValidationError` is raised.

    Raises:
        OpenAIError: There is no key.
        TypeError, ValueError: An option is invalid.
    """

    @takes_options(ClientOptions)
    def __init__(self, options: ClientOptions) -> None:
        self._set_up(options, Session.of(options))

    def _set_up(self, options: ClientOptions, session: Session) -> None:
        self._options = options
        self._session = session
        self.base_url: httpx.URL = options.url
        self.timeout: Deadlines = options.timeout
        self.max_retries: int = options.max_retries

    @property
    def with_raw_response(self) -> RawEndpoints:
        """The endpoints, whose methods return a `RawResponse` that holds the object."""
        return RawEndpoints(attrs.evolve(self._session, is_raw=True))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name)

    def __repr__(self) -> str:
        where = repr(shown_url(self.base_url)) if hasattr(self, "base_url") else "not initialized"
        return f"<{type(self).__name__} {where}>"

    async def __aenter__(self) -> Self:
        check_in_trio()  # else `__aexit__` would fail too, and hide the error of the block
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()  # noqa: ASYNC102 - it is shielded and bounded
        if exc is None:  # else a cancellation here would replace the exception of the block
            await trio.lowlevel.checkpoint()  # noqa: ASYNC102

    def is_closed(self) -> bool:
        """Return whether the client has been closed. A closed client makes no requests."""
        return self._session.lifetime.is_closed

    async def aclose(self) -> None:
        """Close every stream and connection, all at the same time. Idempotent.

        Every task that waits for this client gets `trio.ClosedResourceError`. The connections are closed even if this
        is cancelled. If your own `http_client` hangs while it closes, this gives up after five seconds, or when your
        own deadline passes, but not before one second.

        Raises:
            Exception: Your limiter or your transport raised it; several form an exception group. Everything has been
                closed nevertheless.
        """
        await self._close()
        await trio.lowlevel.checkpoint()

    async def _close(self) -> None:
        await self._session.close()

    def statistics(self) -> ClientStatistics:
        """Return how many streams are open, the state of the connection pool, and the tokens used so far."""
        from ._statistics import ClientStatistics

        session = self._session
        return ClientStatistics(
            open_streams=len(session.lifetime.streams),
            transport=session.transport.statistics() if session.transport else None,
            usage=session.used.total.usage(),
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
            method: The HTTP method.
            path: The path after the `base_url`. It starts with a slash.
            json: The body. Nothing is added to it: if the endpoint needs `"stream": true`, include it.
            event_type: The class of the events: one of `trio_openai.types`, your own `WireObject`, or a union of such
                classes. By default an event is a dictionary with a `name`.
            end: Names or types of events that end the stream. `[DONE]` always does. None means that the stream ends
                without a marker; then only HTTP can show that it was truncated.
            params: The parameters that every call takes, such as `extra_headers` and `timeout`.

        Raises:
            TypeError, ValueError: An argument cannot be sent.
            APIError: The request failed: on entering the block, or while iterating.
        """
        from ._endpoints.others import stream_request

        return stream_request(self._session, method, path, json, event_type, end, cast("dict[str, Any]", params))

    def stream_many(
        self,
        calls: Iterable[GivesItems[ManagerT]] | AsyncIterable[GivesItems[ManagerT]] | EmptyLists,
        *,
        max_concurrent: int = DEFAULT_CONCURRENT,
        fail_fast: bool = False,
        total: int | None = None,
    ) -> ManagerT:
        """Run many calls at the same time, and receive their events as they arrive.

        Args:
            calls: An iterable or async iterable of calls, each made by an endpoint's `call(...)`. It is read lazily.
            max_concurrent: The number of streams at the same time.
            fail_fast: Whether the first call that fails ends all of them.
            total: The number of calls, for `statistics()`, if `calls` has no length.

        Returns:
            A context manager for `async with`. It gives a `trio.abc.ReceiveChannel` of `Item`s. The last item of each
            key has the `result`: the value, or the error with its `partial`. Leaving the block closes every stream.

        Raises:
            ValueError: `max_concurrent` is not a number above zero, or `total` is not a number of calls.
            APIError: While receiving, with `fail_fast`.
            Exception: While receiving: `calls` raised it. The results of the calls before it come first.
        """
        from ._concurrent.many import stream_many

        many: Any = stream_many(cast("Any", calls), max_concurrent, self._session, total=total, fail_fast=fail_fast)
        return cast("ManagerT", many)

    def run_many(
        self,
        calls: Iterable[GivesResults[ManagerT]] | AsyncIterable[GivesResults[ManagerT]] | EmptyLists,
        *,
        max_concurrent: int = DEFAULT_CONCURRENT,
        ordered: bool = False,
        fail_fast: bool = False,
        total: int | None = None,
    ) -> ManagerT:
        """Run many calls at the same time, and receive only their results.

        Args:
            calls: An iterable or async iterable of calls, each made by an endpoint's `call(...)`. It is read lazily.
            max_concurrent: The number of streams at the same time.
            ordered: Whether the results come in the order of the calls. Then up to twice `max_concurrent` calls are
                running or have a result that waits for its turn.
            fail_fast: Whether the first call that fails ends all of them.
            total: The number of calls, for `statistics()`, if `calls` has no length.

        Returns:
            A context manager for `async with`. It gives a `trio.abc.ReceiveChannel` of `Result`s.

        Raises: as `stream_many`.
        """
        from ._concurrent.many import run_many

        many: Any = run_many(
            cast("Any", calls), max_concurrent, self._session, total=total, ordered=ordered, fail_fast=fail_fast
        )
        return cast("ManagerT", many)

    def race(self, calls: Iterable[StreamCall[StreamT]], *, stagger: float = 0.0) -> Race[StreamT]:
        """Start several calls and keep the first stream that has content. The others are closed.

        Args:
            calls: The calls, in the order in which they start.
            stagger: The seconds between two starts. If a call fails, the next one starts at once.

        Returns:
            A context manager for `async with`. It gives the stream that won, from its first event on.

        Raises:
            ValueError: There are no calls, or `stagger` is negative.
            APIError: On entering the block, if every call failed: a `RaceError` with the error of each call, or the
                error of the only call.
        """
        from ._concurrent.checks import check_calls
        from ._concurrent.race import Race

        check_calls("race", calls)
        return Race(list(calls), stagger, self._session.options.observer)

    def with_options(self, **options: Any) -> Self:
        """Return a client with other options that shares the connections of this one. Closing either closes them.

        Args:
            options: The options to change. `http_client`, `max_connections`, `proxy` and `trust_env` cannot change,
                because they belong to the connections.

        Raises:
            TypeError, ValueError: An option is unknown or invalid.
        """
        changed = self._options.changed(options)
        copy = object.__new__(type(self))
        copy._set_up(changed, attrs.evolve(self._session, options=changed))
        keep_attributes(self, copy)
        return copy


def client_of(cls: type[_ClientT], options: ClientOptions) -> _ClientT:
    """Make a client of options that have been checked already."""
    client = object.__new__(cls)
    client._set_up(options, Session.of(options))  # pyright: ignore[reportPrivateUsage]
    return client


def keep_attributes(client: Any, copy: Any) -> None:
    """Copy the attributes that a subclass or the program has added to a client, unless the copy has them already.

    Values of a `cached_property` are not copied, since they may depend on the options that differ.
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
