"""Lists that the API returns in pages.

The API names a page by the id of the last item before it (`after=`). A `Listing` fetches lazily: a page is requested
when a program needs its first item. The iterators are classes instead of async generators, because a generator that a
program abandons would be closed by the garbage collector, outside of any scope.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeAlias, TypeVar

import attrs
import trio

from trio_openai._request.exchange import Exchange
from trio_openai._request.session import Session

from ._operations import Operation, Params
from ._parameters import by_name_only

if TYPE_CHECKING:
    from trio_openai._request.raw_response import RawResponse

    from ._endpoint import Method

_P = ParamSpec("_P")
T = TypeVar("T")
Fetch: TypeAlias = "Callable[[str | None], Awaitable[Page[T]]]"
"""Fetches the page after the item with this id; the first page for None."""


@attrs.frozen
class Page(Generic[T]):
    """A page of a list. Iterate it (`async for`) to get its items and those of all later pages.

    Attributes:
        data: The items of this page.
        has_more: Whether the server says that there is another page.
    """

    data: list[T]
    has_more: bool
    _after: str | None = attrs.field(repr=False)
    _fetch: Fetch[T] = attrs.field(repr=False)

    def has_next_page(self) -> bool:
        """Return whether there is another page."""
        # An empty page has no id to continue after. Without this check, a server that always says `has_more` would
        # send the first page again and again.
        return self.has_more and self._after is not None

    async def get_next_page(self) -> Page[T]:
        """Fetch the next page.

        Raises:
            RuntimeError: This is the last page.
            APIError: The request failed. Call this again to retry.
        """
        if not self.has_next_page():
            raise RuntimeError("this is the last page: check has_next_page() first")
        return await self._fetch(self._after)

    def __aiter__(self) -> AsyncIterator[T]:
        return _PageItems(self._fetch, self)


class Listing(Generic[T]):
    """A list that has not been requested yet. Await it for its first page, or iterate it (`async for`) for all items.

    Awaiting or iterating it raises `APIError` if a request fails.
    """

    def __init__(self, fetch: Fetch[T], first: Callable[[], Coroutine[Any, Any, Page[T]]]) -> None:
        self._fetch = fetch
        self._first = first

    def __await__(self) -> Generator[Any, Any, Page[T]]:
        return self._first().__await__()

    def __aiter__(self) -> AsyncIterator[T]:
        return _PageItems(self._fetch, None)


class _PageItems(Generic[T]):
    """An iterator over the items of a page and of all later pages."""

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
        # A loop, since a page may be empty and have a successor.
        while self._next >= len(self._page.data):
            if not self._page.has_next_page():
                raise StopAsyncIteration
            self._page, self._next = await self._page.get_next_page(), 0
        self._next += 1
        return self._page.data[self._next - 1]


def returns_pages(
    method: Callable[Concatenate[Any, _P], Listing[T]],
) -> Method[Callable[_P, Listing[T]], Callable[_P, Coroutine[Any, Any, RawResponse[Page[T]]]]]:
    """Declare a method that returns a list in pages. See `returns_object` in `_endpoint.py`."""
    return by_name_only(method)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def listing(session: Session, operation: Operation[Any], where: tuple[str, ...], params: Params) -> Listing[Any]:
    """Check the parameters of a list, and return the list. Nothing is sent.

    Raises:
        TypeError, ValueError: A parameter cannot be sent.
    """
    first = operation.prepare(session, where, params)

    def page_of(content: bytes) -> Page[Any]:
        page = operation.decode(content)
        last = page.data[-1].id if page.data else None
        # The list of models has no `has_more`: it is a single page.
        return Page(page.data, bool(getattr(page, "has_more", None)), last, fetch)

    async def fetch(after: str | None) -> Page[Any]:
        request = first if after is None else attrs.evolve(first, query={**first.query, "after": after})
        # Only the page that a program awaits below `with_raw_response` is wrapped in a `RawResponse`. Its later pages
        # are fetched for their items.
        return await Exchange(attrs.evolve(session, is_raw=False), request).answer(page_of)

    return Listing(fetch, lambda: Exchange(session, first).answer(page_of))
