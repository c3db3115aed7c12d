"""The client: its options, their defaults, and the HTTP client behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast, overload

import attrs
import trio

from ._endpoints._client_endpoints import Endpoints, RawEndpoints
from ._endpoints._endpoint import Objects
from ._http.secrets import shown_url
from ._mistakes import check_in_trio, no_attribute
from ._request.options import ClientOptions, takes_options
from ._request.session import Session
from ._stream.stream import Stream, StreamCall, StreamManager, StreamT
from .types import NamedEvent, WireObject
from .types.params import CallParams

if TYPE_CHECKING:
    from ._concurrent.many import Calls, Items
    from ._concurrent.race import Race
    from ._statistics import ClientStatistics

WireT = TypeVar("WireT", bound=WireObject)
_ClientT = TypeVar("_ClientT", bound="TrioOpenAI")

DEFAULT_CONCURRENT = 100


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

    @takes_options(ClientOptions)
    def __init__(self, options: ClientOptions) -> None:
        self._set_up(options, Session.of(options))

    def _set_up(self, options: ClientOptions, session: Session) -> None:
        self._options = options
        self._session = session
        self.base_url = options.url
        self.timeout = options.timeout
        self.max_retries = options.max_retries

    @property
    def with_raw_response(self) -> RawEndpoints:
        """The endpoints, whose methods return a `RawResponse` that holds the object."""
        return RawEndpoints(attrs.evolve(self._session, is_raw=True))

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
        await self._session.close()

    def statistics(self) -> ClientStatistics:
        """What the client holds, as of now."""
        from ._statistics import ClientStatistics

        session = self._session
        return ClientStatistics(
            open_streams=len(session.lifetime.streams),
            transport=session.transport.statistics() if session.transport else None,
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
        from ._endpoints.others import stream_request

        return stream_request(self._session, method, path, json, event_type, end, cast("dict[str, Any]", params))

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
        from ._concurrent.many import stream_many

        return stream_many(calls, max_concurrent, self._session, fail_fast=fail_fast)

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
        from ._concurrent.many import run_many

        return run_many(calls, max_concurrent, self._session, ordered=ordered, fail_fast=fail_fast)

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
        from ._concurrent.checks import check_calls
        from ._concurrent.race import Race

        check_calls("race", calls)
        return Race(list(calls), stagger)

    def with_options(self, **options: Any) -> Self:
        """A client with other options, which shares this one's connections. Closing either closes them.

        Args:
            options: those of `TrioOpenAI`, but `http_client`, `max_connections`, `proxy` and `trust_env`.
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
