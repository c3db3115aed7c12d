"""The client for programs without an event loop: the same names, without `async` and `await`.

    with SyncOpenAI() as client:
        with client.chat.completions.stream(model="gpt-4o-mini", messages=[...]) as stream:
            for text in stream.text_deltas:
                print(text, end="")

Behind it is a `TrioOpenAI` in a trio loop: in the loop that is running already if the call comes from a worker of
`trio.to_thread.run_sync`, else in one that runs in a thread of its own. `_sync/portal.py` has the way there,
`_sync/stream.py` the streams, `_sync/endpoints.py` the endpoints, each of which is made by `_sync/calls.py` of its
counterpart's name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast, overload

import attrs

from ._client import TrioOpenAI, client_of, keep_attributes
from ._endpoints._endpoint import Objects, RawResponses
from ._http.secrets import shown_url
from ._request.api_key import Key, KeyProvider, in_thread
from ._request.headers import hide_headers
from ._request.options import SECRET_OPTION, ClientOptions, hide_secrets, takes_options
from ._statistics import ClientStatistics, TransportStatistics
from ._sync.calls import SyncPage, SyncRawResponse, SyncSession, SyncStreamManager
from ._sync.endpoints import SyncEndpoints
from ._sync.portal import Portals
from ._sync.stream import (
    SyncByteStream,
    SyncChatCompletionStream,
    SyncCompletionStream,
    SyncImageStream,
    SyncParsedChatCompletionStream,
    SyncParsedResponseStream,
    SyncResponseStream,
    SyncSpeechStream,
    SyncStream,
    SyncTranscriptionStream,
)
from .azure import AzureOpenAI, AzureOptions
from .types import NamedEvent, WireObject
from .types.params import CallParams

__all__ = [
    "SyncAzureOpenAI",
    "SyncByteStream",
    "SyncChatCompletionStream",
    "SyncCompletionStream",
    "SyncImageStream",
    "SyncOpenAI",
    "SyncPage",
    "SyncParsedChatCompletionStream",
    "SyncParsedResponseStream",
    "SyncRawResponse",
    "SyncResponseStream",
    "SyncSpeechStream",
    "SyncStream",
    "SyncStreamManager",
    "SyncTranscriptionStream",
]

_WireT = TypeVar("_WireT", bound=WireObject)


def _key(given: str | Callable[[], str] | KeyProvider | Key | None) -> Key | None:
    if isinstance(given, Key) or not given:
        return given or None
    if isinstance(given, str) or not callable(given) or inspect.iscoroutinefunction(given):
        return Key(cast("str | KeyProvider", given))
    return Key(in_thread(given))


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class SyncOptions(ClientOptions):
    """The options of a `SyncOpenAI`: those of `TrioOpenAI`, but a function for the key may also block."""

    api_key: Key | None = attrs.field(default=None, converter=_key, metadata=SECRET_OPTION)


class SyncOpenAI(SyncEndpoints[Objects]):
    """A client of an OpenAI-compatible API, for threads that run no event loop.

    It can be used from many threads at once. Nothing is started before the first call. Leave it (`with`, or `close`),
    and every connection is closed, those of streams that are still open too, and its thread is gone. If that is
    forgotten, the end of the program or the garbage collector does it.

    A call from a worker of `trio.to_thread.run_sync` runs in that worker's task: cancelling the task cancels the call,
    which raises `trio.Cancelled` in the worker. (A worker with `abandon_on_cancel=True` is on its own when it has been
    abandoned: what it is waiting for goes on, and its next step raises.) Every other call runs in one thread that
    belongs to the client.

    Args:
        api_key: as for `TrioOpenAI`; a function may also be a plain one, and may block: it is called in a thread of its
            own.
        base_url: as for `TrioOpenAI`, and so is the rest.
        organization: by default `OPENAI_ORG_ID`.
        project: by default `OPENAI_PROJECT_ID`.
        timeout: seconds, a `Deadlines`, or None.
        max_retries: attempts after the first, as long as no event has been handed over.
        max_connections: requests at a time, in each event loop.
        default_headers: added to every request.
        default_query: added to every URL.
        http_client: an `httpx.AsyncClient` (or `httpx2`) of your own. It belongs to one event loop: the client can then
            be used either from workers of one `trio.run`, or from other threads.
        proxy: as for `TrioOpenAI`.
        trust_env: whether the environment's proxies and certificates count.
        limiter: as for `TrioOpenAI`. A `RateLimiter` or `AdaptiveLimiter` belongs to one event loop as well; a call in
            another one raises RuntimeError.
        follow_cross_origin_redirects: as for `TrioOpenAI`.
        max_event_bytes: as for `TrioOpenAI`.

    Raises:
        OpenAIError: there is no key.
        TypeError, ValueError: an argument is not what it should be.
    """

    @takes_options(SyncOptions)
    def __init__(self, options: SyncOptions) -> None:
        self._start(options, TrioOpenAI)

    def _start(self, options: ClientOptions, client_class: type[TrioOpenAI]) -> None:
        """Take the options and make the first client, which opens no connection yet."""
        first = client_of(client_class, options)
        self._set_up(first, SyncSession(Portals(_maker(first, options, client_class))))

    def _set_up(self, like: TrioOpenAI, session: SyncSession) -> None:
        """Take the options of a client, which has checked them."""
        self._like = like
        self._session = session
        self.base_url = like.base_url
        self.timeout = like.timeout
        self.max_retries = like.max_retries
        self._add_endpoints(session)

    @property
    def with_raw_response(self) -> SyncEndpoints[RawResponses]:
        """The endpoints, whose plain methods return a `RawResponse` with the answer in it."""
        copy = object.__new__(type(self))
        copy._set_up(self._like, attrs.evolve(self._session, is_raw=True))
        keep_attributes(self, copy)
        return cast("SyncEndpoints[RawResponses]", copy)

    def __repr__(self) -> str:
        where = repr(shown_url(self.base_url)) if hasattr(self, "base_url") else "half made"
        return f"<{type(self).__name__} {where}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every stream and connection, and end the client's thread. Idempotent.

        Calls that are waiting in other threads raise `trio.ClosedResourceError`. This returns when all is closed; only
        in a thread that runs an event loop it does not wait.
        """
        self._session.portals.close()

    def statistics(self) -> ClientStatistics:
        """What the client holds, as of now, in all event loops that it is used from."""
        each = [client.statistics() for client in self._session.portals.residents() or [self._like]]
        pools = [attrs.astuple(one.transport) for one in each if one.transport is not None]
        return ClientStatistics(
            open_streams=sum(one.open_streams for one in each),
            transport=TransportStatistics(*map(sum, zip(*pools, strict=True))) if pools else None,
        )

    if TYPE_CHECKING:

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
        ) -> SyncStreamManager[SyncStream[NamedEvent, NamedEvent | None]]: ...
        @overload
        def stream_request(
            self,
            method: str,
            path: str,
            *,
            json: Mapping[str, Any] | None = None,
            event_type: type[_WireT],
            end: str | Collection[str] | None = (),
            **params: Unpack[CallParams],
        ) -> SyncStreamManager[SyncStream[_WireT, _WireT | None]]: ...
        def stream_request(self, *where: Any, **params: Any) -> Any: ...  # noqa: D102

    else:

        def stream_request(self, *where: str, **params: Any) -> SyncStreamManager[SyncStream[Any, Any]]:
            """Stream any other endpoint inside a `with` block; the arguments are those of `TrioOpenAI`'s."""
            hide_headers(params)
            return self._session.manager(lambda client: client.stream_request(*where, **params), SyncStream)

    def with_options(self, **options: Any) -> Self:
        """A client with other options, which shares this one's connections. Closing either closes them.

        Args:
            options: those of `SyncOpenAI`, but `http_client`, `max_connections`, `proxy` and `trust_env`.
        """
        hide_secrets(type(self._like._options), options)  # pyright: ignore[reportPrivateUsage]
        copy = object.__new__(type(self))
        session = attrs.evolve(self._session, options={**self._session.options, **options})
        copy._set_up(self._like.with_options(**options), session)
        keep_attributes(self, copy)
        return copy


class SyncAzureOpenAI(SyncOpenAI):
    """A `SyncOpenAI` of a resource on Azure.

    Args:
        options: those of `trio_openai.AzureOpenAI`.

    Raises: as `AzureOpenAI`.
    """

    @takes_options(AzureOptions)
    def __init__(self, options: AzureOptions) -> None:
        self._start(options, AzureOpenAI)


def _maker(first: TrioOpenAI, options: ClientOptions, client_class: type[TrioOpenAI]) -> Callable[[], TrioOpenAI]:
    """Return a function that makes the client of each event loop. The first client exists already."""
    spare = [first]

    def make() -> TrioOpenAI:
        if spare:
            return spare.pop()
        if options.http_client is not None:
            raise RuntimeError("an http_client belongs to one event loop, and this one has been used from another")
        return client_of(client_class, options)

    return make
