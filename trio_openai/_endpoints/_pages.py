"""Lists that come in pages: a page at a time, or item by item over all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar

import attrs
import trio

from trio_openai._request.exchange import Exchange
from trio_openai._request.session import Session

from ._doors import Asking, Params
from ._parameters import by_name_only

if TYPE_CHECKING:
    from trio_openai._request.raw_response import RawResponse

    from ._endpoint import Method

_P = ParamSpec("_P")
T = TypeVar("T")
Fetch: TypeAlias = "Callable[[str | None], Awaitable[Page[T]]]"


@attrs.frozen
class Page(Generic[T]):
    """A page of a list. Iterate it (`async for`) for its items and those of the pages after it.

    Attributes:
        data: its items.
        has_more: whether there is another one, as the server says.
    """

    data: list[T]
    has_more: bool
    _after: str | None = attrs.field(repr=False)
    _fetch: Fetch[T] = attrs.field(repr=False)

    def has_next_page(self) -> bool:
        """Whether there is another page."""
        return self.has_more and self._after is not None

    async def get_next_page(self) -> Page[T]:
        """The next page.

        Raises:
            RuntimeError: there is none.
            APIError: it failed.
        """
        if not self.has_next_page():
            raise RuntimeError("this is the last page; ask has_next_page() first")
        return await self._fetch(self._after)

    def __aiter__(self) -> AsyncIterator[T]:
        return _PageItems(self._fetch, self)


class Listing(Generic[T]):
    """A list that has been asked for: `await` it for its first page, or iterate it (`async for`) for all items."""

    def __init__(self, fetch: Fetch[T], first: Callable[[], Coroutine[Any, Any, Page[T]]]) -> None:
        self._fetch = fetch
        self._first = first

    def __await__(self) -> Generator[Any, Any, Page[T]]:
        return self._first().__await__()

    def __aiter__(self) -> AsyncIterator[T]:
        return _PageItems(self._fetch, None)


class _PageItems(Generic[T]):
    """The items of a page and of those after it. Another page is asked for when its first item is."""

    def __init__(self, fetch: Fetch[T], page: Page[T] | None) -> None:
        self._fetch = fetch
        self._page = page
        self._next = 0

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        await trio.lowlevel.checkpoint()
        if self._page is None:
            self._page = await self._fetch(None)
        while self._next >= len(self._page.data):
            if not self._page.has_next_page():
                raise StopAsyncIteration
            self._page, self._next = await self._page.get_next_page(), 0
        self._next += 1
        return self._page.data[self._next - 1]


def returns_pages(
    method: Callable[Concatenate[Any, _P], Listing[T]],
) -> Method[Callable[_P, Listing[T]], Callable[_P, Coroutine[Any, Any, RawResponse[Page[T]]]]]:
    """Declare a method that returns a list in pages. It refuses positional arguments that it does not name."""
    return by_name_only(method)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def listing(session: Session, ask: Asking[Any], where: tuple[str, ...], params: Params) -> Listing[Any]:
    """A list whose pages are asked for by the id of the last item before. Checks the parameters.

    Raises:
        TypeError, ValueError: a parameter cannot be sent.
    """
    first = ask.prepared(session, where, params)

    def page_of(content: bytes) -> Page[Any]:
        page = ask.decode(content)
        last = page.data[-1].id if page.data else None
        return Page(page.data, bool(getattr(page, "has_more", None)), last, fetch)

    async def fetch(after: str | None) -> Page[Any]:
        request = first if after is None else attrs.evolve(first, query={**first.query, "after": after})
        return await Exchange(attrs.evolve(session, is_raw=False), request).answer(page_of)

    return Listing(fetch, lambda: Exchange(session, first).answer(page_of))
