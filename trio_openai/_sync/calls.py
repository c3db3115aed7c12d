"""The way of a call of the blocking client: from a method to its counterpart in the loop, and back.

What the counterpart returns is wrapped for a thread if it is a stream, a page of a list, or a stream of bytes; anything
else is handed over.
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

from .portal import Portal, Portals
from .stream import (
    SyncByteStream,
    SyncChatCompletionStream,
    SyncCompletionStream,
    SyncImageStream,
    SyncParsedChatCompletionStream,
    SyncParsedResponseStream,
    SyncResponseStream,
    SyncSpeechStream,
    SyncTranscriptionStream,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


class _SyncClosable(Protocol):
    def close(self) -> None: ...


SyncT = TypeVar("SyncT", bound=_SyncClosable)
Wrap = Callable[[OpenableT, Portal[Any], object], SyncT]


class SyncStreamManager(EntersBlocking, Generic[SyncT]):
    """`with ... .stream(...) as stream`. However the block is left, the stream is closed."""

    def __init__(self, opening: _Opening[SyncT]) -> None:
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
class SyncSession:
    """What a client's endpoints share: where its calls run, and the options that `with_options` has changed."""

    portals: Portals[TrioOpenAI]
    options: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    is_raw: bool = False  # whether answers are to be `RawResponse`s

    def client(self, portal: Portal[TrioOpenAI]) -> TrioOpenAI:
        """The client in a loop; to be called there."""
        client = portal.resident.with_options(**self.options) if self.options else portal.resident
        return cast("TrioOpenAI", client.with_raw_response) if self.is_raw else client

    def ask(self, ask: Callable[[TrioOpenAI], Awaitable[Any]]) -> Any:
        """Make a call and wait for what comes of it."""
        return _Opening[Any](self, ask).run()

    def manager(
        self, find: Callable[[TrioOpenAI], StreamManager[OpenableT]], wrap: Wrap[OpenableT, SyncT] | None
    ) -> SyncStreamManager[SyncT]:
        """What opens a stream."""
        return SyncStreamManager(_Opening(self, lambda client: find(client).__aenter__(), wrap))


class _Opening(Generic[SyncT]):
    """What was asked for, on its way from the loop to the thread."""

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
        """Get it. Nothing of it is left if that is interrupted."""
        self.has_begun = True
        return self._session.portals.run(self._open, undo=self._close)

    async def _open(self, portal: Portal[TrioOpenAI]) -> SyncT:
        self._made = made = await self._ask(self._session.client(portal))
        wrap: Any = self._wrap or _WRAPPED.get(made.__class__)
        wrapped: SyncT = wrap(made, portal, self._session) if wrap else made
        return wrapped

    async def _close(self) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()
        if hasattr(self._made, "aclose"):
            await self._made.aclose()


class SyncPage(Generic[_T]):
    """A page of a list. Iterate it for its items and those of the pages after it.

    Attributes:
        data: its items.
        has_more: whether there is another one, as the server says.
    """

    def __init__(self, page: Page[_T], portal: Portal[Any], owner: object) -> None:
        self.data = page.data
        self.has_more = page.has_more
        self._page, self._portal, self._owner = page, portal, owner

    def __repr__(self) -> str:
        return f"SyncPage(data={self.data!r}, has_more={self.has_more})"

    def has_next_page(self) -> bool:
        """Whether there is another page."""
        return self._page.has_next_page()

    def get_next_page(self) -> SyncPage[_T]:
        """The next page.

        Raises:
            RuntimeError: there is none.
            APIError: it failed.
        """
        return SyncPage(self._portal.run(self._page.get_next_page), self._portal, self._owner)

    def __iter__(self) -> Iterator[_T]:
        page = self
        yield from page.data
        while page.has_next_page():
            page = page.get_next_page()
            yield from page.data


class SyncRawResponse(RawResponse[_T_co]):
    """A `RawResponse` of the blocking client, which is closed without an event loop."""

    def aclose(self) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Close the stream, if the answer is one. Blocks until that is done."""
        if self._stream is not None:
            cast("Any", self.parse()).close()

    close = aclose


def _raw(response: RawResponse[Any], portal: Portal[Any], owner: object) -> SyncRawResponse[Any]:
    """Return the same response, whose `parse` gives what a thread can use."""

    def parse() -> Any:
        parsed = response.parse()
        wrap = _WRAPPED.get(parsed.__class__)
        return wrap(parsed, portal, owner) if wrap else parsed

    return SyncRawResponse(
        http_response=response.http_response,
        retries_taken=response.retries_taken,
        elapsed=response.elapsed,
        parse=functools.cache(parse),
        stream=response._stream,  # pyright: ignore[reportPrivateUsage]
    )


_WRAPPED: dict[type[Any], Callable[[Any, Portal[Any], object], Any]] = {
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


class SyncEndpoint(Endpoint[ReturnsT]):
    """The base of the blocking client's endpoints."""

    _session: SyncSession


class Streamed(Generic[_P, SyncT]):
    """A method whose counterpart gives the manager of a stream."""

    def __init__(
        self,
        find: Callable[[TrioOpenAI], Callable[_P, StreamManager[OpenableT]]],
        wrap: Wrap[OpenableT, SyncT] | None = None,
    ) -> None:
        self._find, self._wrap = find, wrap

    def __get__(self, endpoint: SyncEndpoint[Any], owner: object) -> Callable[_P, SyncStreamManager[SyncT]]:
        def call(*args: _P.args, **params: _P.kwargs) -> SyncStreamManager[SyncT]:
            hide_headers(params)
            return endpoint._session.manager(  # pyright: ignore[reportPrivateUsage]
                lambda client: self._find(client)(*args, **params), self._wrap
            )

        return call


class _Awaited(Generic[_P, _T]):
    """A method whose counterpart is awaited; `_T` is what comes of it for a thread."""

    def __init__(self, find: Callable[[TrioOpenAI], Callable[_P, Awaitable[Any]]]) -> None:
        self._find = find

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

        return call


class Plain(_Awaited[_P, _T]):
    """A method whose counterpart gives its answer."""

    def __init__(self, find: Callable[[TrioOpenAI], Callable[_P, Awaitable[_T]]]) -> None:
        super().__init__(find)


class Paged(_Awaited[_P, SyncPage[_T]], Generic[_P, _T]):
    """A method whose counterpart gives a list in pages."""

    def __init__(self, find: Callable[[TrioOpenAI], Callable[_P, Listing[_T]]]) -> None:
        super().__init__(find)


if TYPE_CHECKING:

    def raw(method: Callable[Concatenate[Any, _P], _T]) -> Callable[_P, SyncRawResponse[_T]]:
        """Return the type of a bound method that wraps its result in a `SyncRawResponse`."""
        ...
