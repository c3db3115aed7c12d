"""The blocking client, for programs without an event loop. It has the names of `TrioOpenAI`, without `async`.

    with SyncOpenAI() as client:
        with client.chat.completions.stream(model="gpt-4o-mini", messages=[...]) as stream:
            for text in stream.text_deltas:
                print(text, end="")

Every call runs in a `TrioOpenAI` in a trio loop. If the calling thread is a worker of `trio.to_thread.run_sync`, that
is the loop that started the worker. Otherwise it is a loop in a thread of the client. `_sync/portal.py` passes calls to
the loop, `_sync/stream.py` and `_sync/kinds.py` have the streams, `_sync/endpoints.py` has the endpoints, and
`_sync/calls.py` makes each of their methods from the async method of the same name.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar, cast

import attrs

from ._client import TrioOpenAI, client_of, keep_attributes
from ._deadlines import Deadlines
from ._endpoints._endpoint import Objects, RawResponses
from ._http.secrets import shown_url
from ._httpx import httpx
from ._mistakes import INSTEAD_IN_BLOCKING_CODE, ClientEntersBlocking, no_attribute
from ._request.api_key import Key, KeyProvider, key_that_may_block
from ._request.headers import hide_headers
from ._request.options import SECRET_OPTION, ClientOptions, hide_secrets, takes_options
from ._statistics import ClientStatistics, TransportStatistics
from ._stream.stream import Stream, StreamManager
from ._sync.calls import SyncPage, SyncRawResponse, SyncSession, SyncStreamManager
from ._sync.endpoints import SyncEndpoints
from ._sync.kinds import (
    SyncChatCompletionStream,
    SyncCompletionStream,
    SyncImageStream,
    SyncParsedChatCompletionStream,
    SyncParsedResponseStream,
    SyncResponseStream,
    SyncSpeechStream,
    SyncTranscriptionStream,
)
from ._sync.portal import Portals
from ._sync.stream import SyncByteStream, SyncStream
from ._sync.tools import SyncChatToolRun, SyncResponseToolRun, SyncToolRun, SyncToolRunManager
from .azure import AzureOpenAI, AzureOptions

if TYPE_CHECKING:
    from ._endpoints.webhooks import Webhooks

__all__ = [
    "SyncAzureOpenAI",
    "SyncByteStream",
    "SyncChatCompletionStream",
    "SyncChatToolRun",
    "SyncCompletionStream",
    "SyncImageStream",
    "SyncOpenAI",
    "SyncPage",
    "SyncParsedChatCompletionStream",
    "SyncParsedResponseStream",
    "SyncRawResponse",
    "SyncResponseStream",
    "SyncResponseToolRun",
    "SyncSpeechStream",
    "SyncStream",
    "SyncStreamManager",
    "SyncToolRun",
    "SyncToolRunManager",
    "SyncTranscriptionStream",
]

_P = ParamSpec("_P")
_EventT = TypeVar("_EventT")
_WholeT = TypeVar("_WholeT")


def _key(given: str | Callable[[], str] | KeyProvider | Key | None) -> Key | None:
    return key_that_may_block(given)


def _blocking(
    method: Callable[Concatenate[TrioOpenAI, _P], StreamManager[Stream[_EventT, _WholeT]]],
) -> Callable[Concatenate[SyncOpenAI, _P], SyncStreamManager[SyncStream[_EventT, _WholeT]]]:
    """Make a blocking method from an async one that streams. Type checkers apply this to each of its overloads."""

    def call(self: SyncOpenAI, *args: Any, **params: Any) -> SyncStreamManager[Any]:
        hide_headers(params)
        find = operator.methodcaller(method.__name__, *args, **params)
        return self._session.manager(find, SyncStream)  # pyright: ignore[reportPrivateUsage]

    blocking: Any = functools.wraps(method)(call)
    blocking.__doc__ = f"Stream inside a `with` block. See `TrioOpenAI.{method.__name__}` for the arguments."
    return cast("Callable[Concatenate[SyncOpenAI, _P], Any]", blocking)


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class SyncOptions(ClientOptions):
    """The options of a `SyncOpenAI`. They differ from `ClientOptions` in that the function for the key may block."""

    api_key: Key | None = attrs.field(default=None, converter=_key, metadata=SECRET_OPTION)


class SyncOpenAI(ClientEntersBlocking, SyncEndpoints[Objects]):
    """A client of an OpenAI-compatible API for threads that run no event loop.

    Many threads can use one client at the same time. Nothing is started before the first call. Use it with `with`, or
    call `close`: both close every connection, including those of open streams, and end the client's thread. If a
    program forgets that, the garbage collector or the end of the program does it.

    A call from a worker of `trio.to_thread.run_sync` belongs to the task that waits for the worker: if that task is
    cancelled, the call is cancelled and raises `trio.Cancelled` in the worker. (A worker that was started with
    `abandon_on_cancel=True` may be abandoned. Then its current call goes on, and its next one raises.) Every other call
    runs in one thread of the client.

    Args:
        api_key: The API key, or a function that returns it and is called before every attempt. The function may be
            async, or may block: then it is called in a thread.
        base_url: As for `TrioOpenAI`.
        organization: As for `TrioOpenAI`.
        project: As for `TrioOpenAI`.
        webhook_secret: As for `TrioOpenAI`.
        timeout: As for `TrioOpenAI`: seconds, a `Deadlines`, or None.
        max_retries: As for `TrioOpenAI`.
        max_connections: The number of requests at the same time, in each event loop.
        default_headers: Headers to add to every request.
        default_query: Parameters to add to every URL.
        http_client: Your own `httpx.AsyncClient` (or `httpx2`). It belongs to one event loop. So you can use the client
            either from workers of one `trio.run`, or from other threads.
        proxy: As for `TrioOpenAI`.
        trust_env: As for `TrioOpenAI`.
        limiter: As for `TrioOpenAI`. A `RateLimiter` or `AdaptiveLimiter` belongs to one event loop; a call in another
            loop raises `RuntimeError`.
        observer: As for `TrioOpenAI`. It is called in the thread of the event loop that makes the call: the client's
            own thread, or for a worker of `trio.to_thread.run_sync` the thread of its loop.
        follow_cross_origin_redirects: As for `TrioOpenAI`.
        max_event_bytes: As for `TrioOpenAI`.

    Raises:
        OpenAIError: There is no key.
        TypeError, ValueError: An option is invalid.
    """

    @takes_options(SyncOptions)
    def __init__(self, options: SyncOptions) -> None:
        self._start(options, TrioOpenAI)

    def _start(self, options: ClientOptions, client_class: type[TrioOpenAI]) -> None:
        """Create the client of the first event loop, which checks the options. It opens no connection yet."""
        first = client_of(client_class, options)
        self._set_up(first, SyncSession(Portals(_maker(first, options, client_class))))

    def _set_up(self, like: TrioOpenAI, session: SyncSession) -> None:
        """Copy the options of an async client, and create the endpoints."""
        self._like = like
        self._session = session
        self.base_url: httpx.URL = like.base_url
        self.timeout: Deadlines = like.timeout
        self.max_retries: int = like.max_retries
        self._add_endpoints(session)

    @property
    def with_raw_response(self) -> SyncEndpoints[RawResponses]:
        """The endpoints, whose methods return a `RawResponse` that holds the object."""
        copy = object.__new__(type(self))
        copy._set_up(self._like, attrs.evolve(self._session, is_raw=True))
        keep_attributes(self, copy)
        return cast("SyncEndpoints[RawResponses]", copy)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, INSTEAD_IN_BLOCKING_CODE)

    def __repr__(self) -> str:
        where = repr(shown_url(self.base_url)) if hasattr(self, "base_url") else "not initialized"
        return f"<{type(self).__name__} {where}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def webhooks(self) -> Webhooks:
        """Checks of the webhooks that a program receives."""
        return self._like.webhooks

    def is_closed(self) -> bool:
        """Return whether the client has been closed. A closed client makes no requests."""
        return self._session.portals.is_closed

    def close(self) -> None:
        """Close every stream and connection, and end the client's thread. Idempotent.

        Calls that wait in other threads raise `trio.ClosedResourceError`. This returns when everything is closed. In a
        thread that runs a trio loop it returns at once, since it must not block that loop.
        """
        self._session.portals.close()

    def statistics(self) -> ClientStatistics:
        """Return the open streams, the state of the pools and the tokens used, added up over all event loops."""
        each = [client.statistics() for client in self._session.portals.clients() or [self._like]]
        pools = [attrs.astuple(one.transport) for one in each if one.transport is not None]
        return ClientStatistics(
            open_streams=sum(one.open_streams for one in each),
            transport=TransportStatistics(*map(sum, zip(*pools, strict=True))) if pools else None,
            usage=functools.reduce(operator.add, [one.usage for one in each]),
        )

    stream_request: Final = _blocking(TrioOpenAI.stream_request)

    def with_options(self, **options: Any) -> Self:
        """Return a client with other options that shares the connections of this one. Closing either closes them.

        Args:
            options: The options to change. `http_client`, `max_connections`, `proxy` and `trust_env` cannot change,
                because they belong to the connections.

        Raises:
            TypeError, ValueError: An option is unknown or invalid.
        """
        hide_secrets(type(self._like._options), options)  # pyright: ignore[reportPrivateUsage]
        copy = object.__new__(type(self))
        session = attrs.evolve(self._session, options={**self._session.options, **options})
        copy._set_up(self._like.with_options(**options), session)
        keep_attributes(self, copy)
        return copy


class SyncAzureOpenAI(SyncOpenAI):
    """The blocking client of a resource on Azure. Its options are those of `trio_openai.AzureOpenAI`.

    Raises:
        OpenAIError: There is no key.
        TypeError, ValueError: An option is invalid, or the endpoint or the API version is missing.
    """

    @takes_options(AzureOptions)
    def __init__(self, options: AzureOptions) -> None:
        self._start(options, AzureOpenAI)


def _maker(first: TrioOpenAI, options: ClientOptions, client_class: type[TrioOpenAI]) -> Callable[[], TrioOpenAI]:
    """Return a function that creates the client of each event loop. The first call returns the existing client."""
    spare = [first]

    def make() -> TrioOpenAI:
        if spare:
            return spare.pop()
        if options.http_client is not None:
            raise RuntimeError(
                "http_client belongs to one event loop and is already used in another: create a client for each loop"
            )
        return client_of(client_class, options)

    return make
