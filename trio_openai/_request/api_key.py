"""The API key, on its way from the program into a request's header, and out of what a server says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeAlias

import httpx
import trio

KeyProvider: TypeAlias = Callable[[], Awaitable[str]]

_BAD_KEY = "the API key has a character that cannot be sent, such as a newline at its end; strip it"


class Key:
    """An API key, or an async function that gives one. No `repr`, error or traceback shows it.

    Args:
        source: the key or the function.
        header: where it is sent; with `Authorization` as a bearer's.
        parameter: what the program calls it.
    """

    def __init__(self, source: str | KeyProvider, header: str = "Authorization", parameter: str = "api_key") -> None:
        self._source = source
        self._header = header
        self._parameter = parameter

    def check(self) -> None:
        """Raise `TypeError` or `ValueError` if it cannot be a key."""
        if not callable(self._source) and not isinstance(self._source, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{self._parameter} takes a string or an async function, not {type(self._source).__name__}")
        if isinstance(self._source, str):
            self._bearer(self._source).check()

    async def bearer(self) -> Bearer:
        """What puts the key into one request. If it is a function, it is asked now."""
        await trio.lowlevel.checkpoint()
        bearer = self._bearer(self._source if isinstance(self._source, str) else await self._source())
        bearer.check()
        return bearer

    def _bearer(self, key: str) -> Bearer:
        return Bearer(key, self._header, self._parameter)


class Bearer:
    """An auth callable of httpx: adds `Authorization: Bearer ...`, unless the caller has set that header."""

    def __init__(self, key: str, header: str, parameter: str) -> None:
        self._key = key
        self._header = header
        self._parameter = parameter

    @property
    def secret(self) -> str:
        """The key itself."""
        return self._key

    def __call__(self, request: httpx.Request) -> httpx.Request:
        is_bearer = self._header == "Authorization"
        request.headers.setdefault(self._header, f"Bearer {self._key}" if is_bearer else self._key)
        return request

    def check(self) -> None:
        if not isinstance(self._key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - a user's function made it
            raise TypeError(f"the {self._parameter} function must return a string, not {type(self._key).__name__}")
        if not self._key:
            raise ValueError(f"the {self._parameter} function returned an empty string")
        if not (self._key.isascii() and self._key.isprintable() and self._key == self._key.strip()):
            raise ValueError(_BAD_KEY)


def in_thread(function: Callable[[], str | Awaitable[str]]) -> KeyProvider:
    """An async function that calls one which may block."""

    async def ask() -> str:
        # Not one of the program's threads: those may all be workers that wait for this.
        limiter = trio.CapacityLimiter(1)
        (answer,) = await trio.to_thread.run_sync(lambda: (function(),), abandon_on_cancel=True, limiter=limiter)
        return await answer if isawaitable(answer) else answer

    return ask
