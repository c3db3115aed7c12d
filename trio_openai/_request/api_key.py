"""The API key on its way from the program into the header of a request.

A key is wrapped in a `Key` where it enters the library, and put into each request by a `Bearer`. Neither shows it in
its `repr`, so a traceback that is printed with local variables does not leak it. Only `Bearer.secret` returns the key,
for `Secrets`, which removes it from whatever a server says.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

import trio

from trio_openai._http.raw_request import HiddenPairs, RawHead
from trio_openai._httpx import httpx

KeyProvider: TypeAlias = Callable[[], Awaitable[str]]


class Key:
    """An API key, or an async function that returns one.

    Args:
        source: The key or the function.
        header: The header that carries the key. In `Authorization` it is sent as a bearer token.
        parameter: The name of the option that gave it, for error messages.
    """

    def __init__(self, source: str | KeyProvider, header: str = "Authorization", parameter: str = "api_key") -> None:
        self._source = source
        self._header = header
        self._parameter = parameter

    def check(self) -> None:
        """Raise `TypeError` or `ValueError` if this cannot be a key. A function is not called."""
        if not callable(self._source) and not isinstance(self._source, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{self._parameter} takes a string or an async function, not {type(self._source).__name__}")
        if isinstance(self._source, str):
            self._bearer(self._source).check()

    async def bearer(self) -> Bearer:
        """Return the `Bearer` for one request. If the key comes from a function, call it now."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if isinstance(self._source, str):  # it has been checked
            return self._fixed  # noqa: ASYNC910 - sending the request is a checkpoint
        bearer = self._bearer(await self._source())
        bearer.check()
        return bearer

    @functools.cached_property
    def _fixed(self) -> Bearer:
        return self._bearer(cast("str", self._source))

    def _bearer(self, key: str) -> Bearer:
        return Bearer(key, self._header, self._parameter)


class Bearer:
    """A callable for httpx's `auth=` that adds the header with the key, unless the program has set that header."""

    def __init__(self, key: str, header: str, parameter: str) -> None:
        self._key = key
        self._header = header
        self._parameter = parameter

    @property
    def secret(self) -> str:
        """The key itself."""
        return self._key

    def __call__(self, request: httpx.Request) -> httpx.Request:
        request.headers.setdefault(self._header, self._value)
        return request

    def pairs(self, head: RawHead) -> HiddenPairs:
        """Return the header with the key, as bytes; nothing if the head has that header already."""
        return HiddenPairs(() if head.has(self._header) else ((self._header.encode(), self._value.encode()),))

    @property
    def _value(self) -> str:
        return f"Bearer {self._key}" if self._header == "Authorization" else self._key

    def check(self) -> None:
        """Raise `TypeError` or `ValueError` if the key cannot be sent."""
        if not isinstance(self._key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - a user's function made it
            raise TypeError(f"the {self._parameter} function must return a string, not {type(self._key).__name__}")
        if not self._key:
            raise ValueError(f"the {self._parameter} function returned an empty string")
        if not (self._key.isascii() and self._key.isprintable() and self._key == self._key.strip()):
            raise ValueError("the API key has a character that cannot be sent, such as a newline at its end; strip it")


def key_that_may_block(given: Any, header: str = "Authorization", parameter: str = "api_key") -> Key | None:
    """Return the `Key` of an option that takes a key, an async function, or a function that may block.

    Args:
        given: The value of the option, which is checked later.
        header: The header that carries the key.
        parameter: The name of the option.
    """
    if isinstance(given, Key) or not given:
        return given or None
    if callable(given) and not inspect.iscoroutinefunction(given):
        given = in_thread(cast("Callable[[], str | Awaitable[str]]", given))
    return Key(given, header, parameter)


def in_thread(function: Callable[[], str | Awaitable[str]]) -> KeyProvider:
    """Return an async function that calls a function which may block in a thread."""

    async def ask() -> str:
        # A limiter of its own: all threads of trio's default limiter may be workers that wait for this very key.
        limiter = trio.CapacityLimiter(1)
        # The result is wrapped in a tuple, so that trio does not mistake a coroutine for an async function's.
        (answer,) = await trio.to_thread.run_sync(lambda: (function(),), abandon_on_cancel=True, limiter=limiter)
        return await answer if inspect.isawaitable(answer) else answer

    return ask
