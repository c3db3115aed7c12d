"""The permits of one call: acquire one before each attempt, and settle it once afterwards.

The attempt may end in many ways: with an error status, a broken connection, a cancellation, or much later, when the
body of its stream is done. `Permits.settle` is idempotent, so every place that ends an attempt simply calls it, and the
limiter still hears of each attempt exactly once.

This module is imported by the first call that has a limiter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import attrs
import trio

from trio_openai._wire.json import decode_json, is_object
from trio_openai._wire.usage import estimated_tokens, tokens_of_answer
from trio_openai.errors import APIError, APIStatusError

from .limiter import Attempt, Limiter, Outcome, Permit

if TYPE_CHECKING:
    from trio_openai._httpx import httpx


class Answered(Protocol):
    """A response, as far as a limiter hears of it."""

    @property
    def status(self) -> int: ...
    @property
    def response(self) -> httpx.Response: ...


_AnsweredT = TypeVar("_AnsweredT", bound=Answered)


class Permits:
    """The permits of one call's attempts. There is at most one unsettled permit at a time.

    Args:
        limiter: the client's limiter.
        method: the method of the call.
        path: the path of the call.
        content: the body of the request.

    Attributes:
        waited: the seconds that the limiter made the latest attempt wait.
    """

    def __init__(self, limiter: Limiter, method: str, path: str, content: object) -> None:
        self._limiter = limiter
        self._about = describe(method, path, content)
        self._permit: Permit | None = None  # the permit of the current attempt, until it is settled
        self._outcome = Outcome()
        self.waited = 0.0

    async def attempt(self, send: Callable[[], Awaitable[_AnsweredT]]) -> _AnsweredT:
        """Wait for a permit and make an attempt.

        A failed attempt is settled here. A successful one is settled by the caller, when its body is done.
        """
        asked_at = trio.current_time()
        self._permit, self._outcome = await self._limiter.acquire(self._about), Outcome()
        self.waited = trio.current_time() - asked_at
        try:
            opened = await send()
        except APIStatusError as error:
            self._outcome = Outcome(status=error.status_code, headers=error.response.headers)
            self.settle(None, error)
            raise
        except BaseException:
            self.settle(None, None)
            raise
        self._outcome = Outcome(status=opened.status, headers=opened.response.headers)
        return opened

    def settle(self, tokens: int | None, error: APIError | None) -> None:
        """Record the end of the attempt. Idempotent.

        Args:
            tokens: how many tokens it used, or None if that is unknown.
            error: the error that the server reported, or None.
        """
        permit, self._permit = self._permit, None
        if permit is not None:
            code = (error.code or error.type) if error is not None else None
            permit.settle(attrs.evolve(self._outcome, tokens=tokens, code=code))

    def settle_plain(self, content: bytes | None) -> None:
        """Record the end of an attempt whose response is not a stream.

        Args:
            content: the body of the response, which says how many tokens were used, or None if it was not read
                completely.
        """
        if self._permit is not None:
            self.settle(tokens_of_answer(content) if content is not None else None, None)

    def ask_instead(self, path: str) -> None:
        """Describe the next attempts as a GET of another path."""
        self._about = attrs.evolve(self._about, method="GET", path=path, tokens=0)


def describe(method: str, path: str, content: object) -> Attempt:
    """Return the description of a call's attempts, from its request."""
    body = decode_json(content) if isinstance(content, bytes) and content else None
    model = body.get("model") if is_object(body) else None
    return Attempt(
        method=method, path=path, model=model if isinstance(model, str) else None, tokens=estimated_tokens(body)
    )
