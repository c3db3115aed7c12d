"""Calls of the blocking client, from a method to its counterpart in `TrioOpenAI` and back.

Every blocking method has an async counterpart, which runs in a trio loop: in this thread's own run, or in the client's
thread (`portal.py` has the way there). So a blocking method needs nothing but the name of its counterpart:

    class SyncModels(SyncEndpoint[ReturnsT]):
        retrieve = Plain(lambda client: client.models.retrieve)

`Streamed`, `Plain` and `Paged` are descriptors. For type checkers, they keep the counterpart's parameters and change
the type of its result. When the counterpart returns, `_PendingCall` wraps a stream, a page or a raw response in a class
that blocks instead of awaiting (the table `_BLOCKING_CLASSES`). Every other result is returned as it is.

A call can be interrupted at any time, by Ctrl+C or by the cancellation of the trio task that the thread works for. If
that happens after a stream has been opened but before the thread has received it, `_PendingCall` closes the stream.
Otherwise nobody would.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

import attrs
import trio

from trio_openai._client import TrioOpenAI
from trio_openai._endpoints._endpoint import Endpoint, Objects, RawResponses, ReturnsT
from trio_openai._endpoints._pages import Listing, Page
from trio_openai._mistakes import EntersBlocking
from trio_openai._request.headers import hide_headers
from trio_openai._request.raw_response import RawResponse
from trio_openai._stream.bytes import ByteStream
from trio_openai._stream.kinds import (
    ChatCompletionStream,
    CompletionStream,
    ImageStream,
    ResponseStream,
    SpeechStream,
    TranscriptionStream,
)
from trio_openai._stream.parsed import ParsedChatCompletionStream, ParsedResponseStream
from trio_openai._stream.stream import OpenableT, StreamManager
from trio_openai._wire.lifecycle import Verdict
from trio_openai._wire.timings import Timings

from .kinds import (
    SyncChatCompletionStream,
    SyncCompletionStream,
    SyncImageStream,
    SyncParsedChatCompletionStream,
    SyncParsedResponseStream,
    SyncResponseStream,
    SyncSpeechStream,
    SyncTranscriptionStream,
)
from .portal import Portal, Portals
from .signatures import counterpart
from .stream import SyncByteStream

_P = ParamSpec("_P")
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


class _SyncClosable(Protocol):
    def close(self) -> None: ...


class _HasResult(Protocol[_T_co]):
    @property
    def snapshot(self) -> _T_co: ...
    def close(self) -> None: ...


SyncT = TypeVar("SyncT", bound=_SyncClosable)
SyncT_co = TypeVar("SyncT_co", bound=_SyncClosable, covariant=True)
Wrap = Callable[[OpenableT, Portal[Any], object], SyncT]


class SyncStreamManager(EntersBlocking, Generic[SyncT_co]):
    """The context manager that `stream(...)` returns. Leaving the block closes the stream, in whatever way.

    As in the async client, it also tells how far the stream has come: before, inside and after the block, and after
    opening the stream failed.
    """

    def __init__(
        self, session: SyncSession, find: Callable[[TrioOpenAI], StreamManager[Any]], wrap: Wrap[Any, Any] | None
    ) -> None:
        self._session = session
        self._find = find
        self._call: _PendingCall[Any] = _PendingCall(session, lambda client: self._in_loop(client).__aenter__(), wrap)
        self._manager: StreamManager[Any] | None = None
        self._stream: SyncT_co | None = None

    def __enter__(self) -> SyncT_co:
        if self._call.has_begun:
            raise RuntimeError("this stream has been entered already; call stream(...) again for another one")
        try:
            self._stream = stream = self._call.run()
            return cast("SyncT_co", stream)
        except BaseException:  # an interrupt too: the block is not entered, so nobody else would close the stream
            if self._stream is not None:
                self._stream.close()
            raise

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._stream is not None
        self._stream.close()

    def _in_loop(self, client: TrioOpenAI) -> StreamManager[Any]:
        """Return the manager of the async client. Call this in its loop."""
        if self._manager is None:
            self._manager = self._find(client)
        return self._manager

    def _look(self, name: str) -> Any:
        """Return an attribute of the stream; without a stream, of the manager of the async client."""
        if self._stream is not None:
            return getattr(self._stream, name)

        async def look(client: TrioOpenAI) -> Any:
            await trio.lowlevel.checkpoint()
            return getattr(self._in_loop(client), name)

        return self._session.ask(look)

    @property
    def snapshot(self: SyncStreamManager[_HasResult[_T]]) -> _T:
        """Everything that has arrived so far, added up; see `SyncStream.snapshot`."""
        return cast("_T", self._look("snapshot"))

    @property
    def text(self) -> str:
        """The text that has arrived so far; see `SyncStream.text`."""
        return cast("str", self._look("text"))

    @property
    def verdict(self) -> Verdict:
        """The way the stream ended; see `SyncStream.verdict`."""
        return cast("Verdict", self._look("verdict"))

    @property
    def timings(self) -> Timings:
        """The times at which things happened; see `SyncStream.timings`."""
        return cast("Timings", self._look("timings"))


@attrs.frozen(eq=False)
class SyncSession:
    """The state that all endpoints of a blocking client share.

    Attributes:
        portals: The loops in which calls run. Each has a `TrioOpenAI`.
        options: The options that `with_options` has changed.
        is_raw: Whether methods return a `SyncRawResponse`.
    """

    portals: Portals[TrioOpenAI]
    options: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    is_raw: bool = False

    def client(self, portal: Portal[TrioOpenAI]) -> TrioOpenAI:
        """Return the client of a loop. Call this in that loop."""
        client = portal.client.with_options(**self.options) if self.options else portal.client
        return cast("TrioOpenAI", client.with_raw_response) if self.is_raw else client

    def ask(self, ask: Callable[[TrioOpenAI], Awaitable[Any]]) -> Any:
        """Await a call in a loop, and return its result. Blocks until then."""
        return _PendingCall[Any](self, ask).run()

    def manager(
        self, find: Callable[[TrioOpenAI], StreamManager[OpenableT]], wrap: Wrap[OpenableT, SyncT] | None
    ) -> SyncStreamManager[SyncT]:
        """Return a context manager that opens a stream. Nothing is sent yet."""
        return SyncStreamManager(self, find, wrap)


class _PendingCall(Generic[SyncT]):
    """One call, from its start until the thread has its result."""

    def __init__(
        self,
        session: SyncSession,
        ask: Callable[[TrioOpenAI], Awaitable[Any]],
        wrap: Wrap[Any, SyncT] | None = None,
    ) -> None:
        self.has_begun = False
        self._session, self._ask, self._wrap = session, ask, wrap
        self._made: Any = None

    def run(self) -> SyncT:
        """Make the call and return its result. Nothing stays open if this is interrupted."""
        self.has_begun = True
        return self._session.portals.run(self._open, undo=self._close)

    async def _open(self, portal: Portal[TrioOpenAI]) -> SyncT:
        self._made = made = await self._ask(self._session.client(portal))
        wrap: Any = self._wrap or _BLOCKING_CLASSES.get(made.__class__)
        wrapped: SyncT = wrap(made, portal, self._session) if wrap else made
        return wrapped

    async def _close(self) -> None:
        # Shielded, since the call may have been interrupted by a cancellation, which would strike again here.
        await trio.lowlevel.cancel_shielded_checkpoint()
        if hasattr(self._made, "aclose"):
            await self._made.aclose()


class SyncPage(Generic[_T]):
    """A page of a list. Iterate it to get its items and those of all later pages.

    Attributes:
        data: The items of this page.
        has_more: Whether the server says that there is another page.
    """

    def __init__(self, page: Page[_T], portal: Portal[Any], owner: object) -> None:
        self.data: list[_T] = page.data
        self.has_more: bool = page.has_more
        self._page, self._portal, self._owner = page, portal, owner

    def __repr__(self) -> str:
        return f"SyncPage(data={self.data!r}, has_more={self.has_more})"

    def has_next_page(self) -> bool:
        """Return whether there is another page."""
        return self._page.has_next_page()

    def get_next_page(self) -> SyncPage[_T]:
        """Fetch the next page. Blocks until it has arrived.

        Raises:
            RuntimeError: This is the last page.
            APIError: The request failed. Call this again to retry.
        """
        return SyncPage(self._portal.run(self._page.get_next_page), self._portal, self._owner)

    def __iter__(self) -> Iterator[_T]:
        page = self
        yield from page.data
        while page.has_next_page():
            page = page.get_next_page()
            yield from page.data


class SyncRawResponse(RawResponse[_T_co]):
    """A `RawResponse` of the blocking client. `parse()` returns a blocking stream or page."""

    def aclose(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Close the stream, if the response is one. Blocks until it is closed."""
        if self._stream is not None:
            cast("Any", self.parse()).close()

    close = aclose


def _raw(response: RawResponse[Any], portal: Portal[Any], owner: object) -> SyncRawResponse[Any]:
    """Return the same response with a `parse` whose result can be used in a thread."""

    def parse() -> Any:
        parsed = response.parse()
        wrap = _BLOCKING_CLASSES.get(parsed.__class__)
        return wrap(parsed, portal, owner) if wrap else parsed

    return SyncRawResponse(
        http_response=response.http_response,
        retries_taken=response.retries_taken,
        elapsed=response.elapsed,
        parse=functools.cache(parse),
        stream=response._stream,  # pyright: ignore[reportPrivateUsage]
    )


_BLOCKING_CLASSES: dict[type[Any], Callable[[Any, Portal[Any], object], Any]] = {
    ByteStream: SyncByteStream,
    ChatCompletionStream: SyncChatCompletionStream,
    CompletionStream: SyncCompletionStream,
    ImageStream: SyncImageStream,
    Page: SyncPage,
    ParsedChatCompletionStream: SyncParsedChatCompletionStream,
    ParsedResponseStream: SyncParsedResponseStream,
    RawResponse: _raw,
    ResponseStream: SyncResponseStream,
    SpeechStream: SyncSpeechStream,
    TranscriptionStream: SyncTranscriptionStream,
}


def blocking(made: Any, portal: Portal[Any], owner: object) -> Any:
    """Return the blocking form of a stream, a page or a raw response."""
    return _BLOCKING_CLASSES[made.__class__](made, portal, owner)


class SyncEndpoint(Endpoint[ReturnsT]):
    """The base of the blocking client's endpoints. Its `session` is a `SyncSession`."""

    _session: SyncSession


class Counterpart:
    """A descriptor of a method with an async counterpart, whose name, docstring and signature it gets.

    Args:
        find: Returns the counterpart.
    """

    def __init__(self, find: Callable[[TrioOpenAI], Any]) -> None:
        self._find = find
        self._counterpart: Any = None

    def _described(self, call: Callable[_P, _T], endpoint: object) -> Callable[_P, _T]:
        if self._counterpart is None:
            self._counterpart = counterpart(self._find)
        method, described = self._counterpart, cast("Any", call)
        described.__name__, described.__qualname__, described.__doc__ = method.name, method.qualname, method.doc
        described.__signature__ = method.bound if endpoint is not None else method.unbound
        return call


class Streamed(Counterpart, Generic[_P, SyncT]):
    """A method that returns the context manager of a stream.

    Args:
        find: Returns the counterpart.
        wrap: The blocking class of the stream. If it is left out, `_BLOCKING_CLASSES` has it.
    """

    def __init__(
        self,
        find: Callable[[TrioOpenAI], Callable[_P, StreamManager[OpenableT]]],
        wrap: Wrap[OpenableT, SyncT] | None = None,
    ) -> None:
        super().__init__(find)
        self._wrap = wrap

    def __get__(self, endpoint: SyncEndpoint[Any], owner: object) -> Callable[_P, SyncStreamManager[SyncT]]:
        def call(*args: _P.args, **params: _P.kwargs) -> SyncStreamManager[SyncT]:
            hide_headers(params)
            return endpoint._session.manager(  # pyright: ignore[reportPrivateUsage]
                lambda client: self._find(client)(*args, **params), self._wrap
            )

        return self._described(call, endpoint)


class _Awaited(Counterpart, Generic[_P, _T]):
    """A method that waits for its counterpart. `_T` is the type of its result in a thread."""

    def __init__(self, find: Callable[[TrioOpenAI], Callable[_P, Awaitable[Any]]]) -> None:
        super().__init__(find)

    @overload
    def __get__(self, endpoint: SyncEndpoint[Objects], owner: object) -> Callable[_P, _T]: ...
    @overload
    def __get__(self, endpoint: SyncEndpoint[RawResponses], owner: object) -> Callable[_P, SyncRawResponse[_T]]: ...
    def __get__(self, endpoint: SyncEndpoint[Any], owner: object) -> Callable[_P, Any]:
        def call(*args: _P.args, **params: _P.kwargs) -> Any:
            hide_headers(params)
            return endpoint._session.ask(  # pyright: ignore[reportPrivateUsage]
                lambda client: self._find(client)(*args, **params)
            )

        return self._described(call, endpoint)


class Plain(_Awaited[_P, _T]):
    """A method that returns what its counterpart returns."""

    def __init__(self, find: Callable[[TrioOpenAI], Callable[_P, Awaitable[_T]]]) -> None:
        super().__init__(find)


class Paged(_Awaited[_P, SyncPage[_T]], Generic[_P, _T]):
    """A method that returns the first page of a list, where its counterpart returns a `Listing`."""

    def __init__(self, find: Callable[[TrioOpenAI], Callable[_P, Listing[_T]]]) -> None:
        super().__init__(find)


if TYPE_CHECKING:

    def sync_raw(method: Callable[Concatenate[Any, _P], _T]) -> Callable[_P, SyncRawResponse[_T]]:
        """Return the type of a bound method that wraps its result in a `SyncRawResponse`."""
        ...
