"""The client for programs without an event loop: the same names, without `async` and `await`.

    with SyncOpenAI() as client:
        with client.chat.completions.stream(model="gpt-4o-mini", messages=[...]) as stream:
            for text in stream.text_deltas:
                print(text, end="")

Behind it is a `TrioOpenAI` in a trio loop: in the loop that is running already if the call comes from a worker of
`trio.to_thread.run_sync`, else in one that runs in a thread of its own. `_portal.py` has the way there,
`_sync_stream.py` the streams.

To add a method, say where its counterpart is: in one line with `_Streamed`, which keeps the signature, or in the body
of a method with `caller.fetch`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Generic, Literal, ParamSpec, Self, TypeVar, cast, overload

import attrs
import httpx
import trio

from ._calls import NOT_GIVEN, HiddenHeaders, NotGiven, hide_headers
from ._client import ClientStatistics, TrioOpenAI
from ._endpoints import Message
from ._limiter import Limiter
from ._portal import Portal, Portals
from ._request import Key, KeyProvider
from ._sansio.policy import Deadlines
from ._stream import StreamManager, StreamT
from ._sync_stream import SyncChatCompletionStream, SyncResponseStream, SyncStream
from ._transport import TransportStatistics
from .types import ChatCompletion, Response

__all__ = [
    "SyncChatCompletionStream",
    "SyncOpenAI",
    "SyncResponseStream",
    "SyncStream",
    "SyncStreamManager",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")
SyncT = TypeVar("SyncT", bound="SyncStream[Any, Any]")


class SyncStreamManager(Generic[SyncT]):
    """`with ... .stream(...) as stream`. However the block is left, the stream is closed."""

    def __init__(self, opening: _Opening[Any, SyncT]) -> None:
        self._opening = opening
        self._stream: SyncT | None = None

    def __enter__(self) -> SyncT:
        if self._opening.has_begun:
            raise RuntimeError("this stream has been entered already; call stream(...) again for another one")
        self._stream = stream = self._opening.run()
        return stream

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._stream is not None
        self._stream.close()


# The way of a call: from a method here to its counterpart in the loop.


@attrs.frozen(eq=False)
class _Caller:
    """What a client's endpoints share: where its calls run, and the options that `with_options` has changed."""

    portals: Portals[TrioOpenAI]
    options: Mapping[str, Any] = attrs.field(factory=dict[str, Any])

    def client(self, portal: Portal[TrioOpenAI]) -> TrioOpenAI:
        """The client in a loop; to be called there."""
        return portal.resident.with_options(**self.options) if self.options else portal.resident

    def fetch(self, ask: Callable[[TrioOpenAI], Awaitable[_T]]) -> _T:
        """Make a call and wait for its answer."""

        async def answer(portal: Portal[TrioOpenAI]) -> _T:
            return await ask(self.client(portal))

        return self.portals.run(answer)

    def open(
        self,
        ask: Callable[[TrioOpenAI], Awaitable[StreamT]],
        wrap: Callable[[StreamT, Portal[TrioOpenAI], object], SyncT],
    ) -> SyncT:
        """Open a stream."""
        return _Opening(self, ask, wrap).run()


class _Opening(Generic[StreamT, SyncT]):
    """A stream on its way from the loop to the thread that has asked for it."""

    def __init__(
        self,
        caller: _Caller,
        ask: Callable[[TrioOpenAI], Awaitable[StreamT]],
        wrap: Callable[[StreamT, Portal[TrioOpenAI], object], SyncT],
    ) -> None:
        self.has_begun = False
        self._caller, self._ask, self._wrap = caller, ask, wrap
        self._stream: StreamT | None = None

    def run(self) -> SyncT:
        """Open it. Nothing of it is left if that is interrupted."""
        self.has_begun = True
        return self._caller.portals.run(self._open, undo=self._close)

    async def _open(self, portal: Portal[TrioOpenAI]) -> SyncT:
        self._stream = stream = await self._ask(self._caller.client(portal))
        return self._wrap(stream, portal, self._caller)

    async def _close(self) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()
        if self._stream is not None:
            await self._stream.aclose()


class _Endpoint:
    """What is under an attribute of the client."""

    def __init__(self, caller: _Caller) -> None:
        self.caller = caller


class _Streamed(Generic[_P, SyncT]):
    """A method whose counterpart gives the manager of a stream."""

    def __init__(
        self,
        find: Callable[[TrioOpenAI], Callable[_P, StreamManager[StreamT]]],
        wrap: Callable[[StreamT, Portal[TrioOpenAI], object], SyncT],
    ) -> None:
        self._find, self._wrap = find, wrap

    def __get__(self, endpoint: _Endpoint, owner: object) -> Callable[_P, SyncStreamManager[SyncT]]:
        def call(*args: _P.args, **params: _P.kwargs) -> SyncStreamManager[SyncT]:
            hide_headers(params)
            opening = _Opening(
                endpoint.caller, lambda client: self._find(client)(*args, **params).__aenter__(), self._wrap
            )
            return SyncStreamManager(opening)

        return call


# The endpoints.


class SyncChat(_Endpoint):
    """What is under `client.chat`."""

    def __init__(self, caller: _Caller) -> None:
        super().__init__(caller)
        self.completions = SyncCompletions(caller)


class SyncCompletions(_Endpoint):
    """What is under `client.chat.completions`. Parameters are those of `TrioOpenAI`'s methods of the same names."""

    stream = _Streamed(lambda client: client.chat.completions.stream, SyncChatCompletionStream)
    """Stream a chat completion inside a `with` block. The request is made when the block is entered.

    Raises, on entering the block:
        TypeError, ValueError: a parameter cannot be sent.
        APIError: on entering the block, and while iterating.
    """

    @overload
    def create(
        self, *, model: str, messages: Iterable[Message], stream: Literal[True], **params: Any
    ) -> SyncChatCompletionStream: ...

    @overload
    def create(
        self, *, model: str, messages: Iterable[Message], stream: Literal[False] | None = None, **params: Any
    ) -> ChatCompletion: ...

    def create(self, *, stream: bool | None = None, **params: Any) -> SyncChatCompletionStream | ChatCompletion:
        """Make a chat completion; with `stream=True`, return its stream, to be closed by `close()` or `with`.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: it failed.
        """
        hide_headers(params)
        if not stream:
            return self.caller.fetch(lambda client: client.chat.completions.create(stream=None, **params))
        return self.caller.open(
            lambda client: client.chat.completions.create(stream=True, **params), SyncChatCompletionStream
        )


class SyncResponses(_Endpoint):
    """What is under `client.responses`. Parameters are those of `TrioOpenAI`'s methods of the same names."""

    stream = _Streamed(lambda client: client.responses.stream, SyncResponseStream)
    """Stream a response inside a `with` block. The request is made when the block is entered.

    Raises, on entering the block:
        TypeError, ValueError: a parameter cannot be sent.
        APIError: on entering the block, and while iterating.
    """

    @overload
    def create(self, *, stream: Literal[True], **params: Any) -> SyncResponseStream: ...

    @overload
    def create(self, *, stream: Literal[False] | None = None, **params: Any) -> Response: ...

    def create(self, *, stream: bool | None = None, **params: Any) -> SyncResponseStream | Response:
        """Make a response; with `stream=True`, return its stream, to be closed by `close()` or `with`.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: it failed.
        """
        hide_headers(params)
        if not stream:
            return self.caller.fetch(lambda client: client.responses.create(stream=None, **params))
        return self.caller.open(lambda client: client.responses.create(stream=True, **params), SyncResponseStream)


# The client.


class SyncOpenAI:
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
        limiter: as for `TrioOpenAI`. A `RateLimiter` or `AdaptiveLimiter` belongs to one event loop as well; a call in
            another one raises RuntimeError.

    Raises:
        OpenAIError: there is no key.
        TypeError, ValueError: an argument is not what it should be.
    """

    def __init__(
        self,
        *,
        api_key: str | Callable[[], str] | KeyProvider | Key | None = None,
        base_url: str | httpx.URL | None = None,
        organization: str | None = None,
        project: str | None = None,
        timeout: Deadlines | float | NotGiven | None = NOT_GIVEN,
        max_retries: int = 2,
        max_connections: int | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, Any] | None = None,
        http_client: httpx.AsyncClient | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        key, api_key = _key(api_key), None  # a traceback that begins here does not show it, nor these
        default_headers = HiddenHeaders.of(default_headers, "default_headers")
        options: dict[str, Any] = {
            "api_key": key,
            "base_url": base_url,
            "organization": organization,
            "project": project,
            "timeout": timeout,
            "max_retries": max_retries,
            "max_connections": max_connections,
            "default_headers": default_headers,
            "default_query": default_query,
            "http_client": http_client,
            "limiter": limiter,
        }
        first = TrioOpenAI(**options)
        self._set_up(first, _Caller(Portals(_maker(first, options))))

    def _set_up(self, like: TrioOpenAI, caller: _Caller) -> None:
        """Take the options of a client, which has checked them."""
        self._like = like
        self._caller = caller
        self.base_url = like.base_url
        self.timeout = like.timeout
        self.max_retries = like.max_retries
        self.chat = SyncChat(caller)
        self.responses = SyncResponses(caller)

    def __repr__(self) -> str:
        return f"<SyncOpenAI {getattr(self, 'base_url', 'half made')!r}>"

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
        self._caller.portals.close()

    def statistics(self) -> ClientStatistics:
        """What the client holds, as of now, in all event loops that it is used from."""
        each = [client.statistics() for client in self._caller.portals.residents() or [self._like]]
        pools = [attrs.astuple(one.transport) for one in each if one.transport is not None]
        return ClientStatistics(
            open_streams=sum(one.open_streams for one in each),
            transport=TransportStatistics(*map(sum, zip(*pools, strict=True))) if pools else None,
        )

    def with_options(self, **options: Any) -> SyncOpenAI:
        """A client with other options, which shares this one's connections. Closing either closes them.

        Args:
            options: those of `SyncOpenAI`, but `http_client` and `max_connections`.
        """
        if "api_key" in options:
            options["api_key"] = _key(options["api_key"])
        if "default_headers" in options:
            options["default_headers"] = HiddenHeaders.of(options["default_headers"], "default_headers")
        copy = SyncOpenAI.__new__(SyncOpenAI)
        caller = attrs.evolve(self._caller, options={**self._caller.options, **options})
        copy._set_up(self._like.with_options(**options), caller)
        return copy


def _maker(first: TrioOpenAI, options: Mapping[str, Any]) -> Callable[[], TrioOpenAI]:
    """What makes the client of each loop; the first one is there already."""
    spare = [first]

    def make() -> TrioOpenAI:
        if spare:
            return spare.pop()
        if options["http_client"] is not None:
            raise RuntimeError("an http_client belongs to one event loop, and this one has been used from another")
        return TrioOpenAI(**options)

    return make


def _key(given: str | Callable[[], str] | KeyProvider | Key | None) -> Key | None:
    """The key that was given; None if there is none."""
    if isinstance(given, Key) or not given:
        return given or None
    if isinstance(given, str) or not callable(given) or inspect.iscoroutinefunction(given):
        return Key(cast("str | KeyProvider", given))
    return Key(_in_thread(given))


def _in_thread(function: Callable[[], str | Awaitable[str]]) -> KeyProvider:
    """An async function that calls one which may block."""

    async def ask() -> str:
        # Not one of the program's threads: those may all be workers that wait for this.
        limiter = trio.CapacityLimiter(1)
        (answer,) = await trio.to_thread.run_sync(lambda: (function(),), abandon_on_cancel=True, limiter=limiter)
        return await answer if inspect.isawaitable(answer) else answer

    return ask
