"""What the attempts of one call say to a limiter: leave is asked for before each, and given back once after it.

Imported by the first call that has a limiter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import attrs

from trio_openai._wire.json import decode_json, is_object
from trio_openai._wire.usage import estimated_tokens, tokens_of_answer
from trio_openai.errors import APIError, APIStatusError

from .limiter import Attempt, Limiter, Outcome, Permit

if TYPE_CHECKING:
    import httpx


class Permits:
    """The permits of one call's attempts, of which there is one at a time.

    Args:
        limiter: who gives them.
        method, path, content: of the call.
    """

    def __init__(self, limiter: Limiter, method: str, path: str, content: object) -> None:
        self._limiter = limiter
        self._about = _describe(method, path, content)
        self._permit: Permit | None = None  # for the latest attempt, until that is settled
        self._outcome = Outcome()

    async def attempt(self, send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        """Make an attempt when that is allowed. It is settled here if it fails, else when its body is done."""
        self._permit, self._outcome = await self._limiter.acquire(self._about), Outcome()
        try:
            response = await send()
        except APIStatusError as error:
            self._outcome = Outcome(status=error.status_code, headers=error.response.headers)
            self.settle(None, error)
            raise
        except BaseException:
            self.settle(None, None)
            raise
        self._outcome = Outcome(status=response.status_code, headers=response.headers)
        return response

    def settle(self, tokens: int | None, error: APIError | None) -> None:
        """Say that the attempt is over: what it used, and what it reported. Idempotent."""
        permit, self._permit = self._permit, None
        if permit is not None:
            code = (error.code or error.type) if error is not None else None
            permit.settle(attrs.evolve(self._outcome, tokens=tokens, code=code))

    def settle_plain(self, content: bytes | None) -> None:
        """The same of a plain answer, which says itself what it used; None if it was not read."""
        if self._permit is not None:
            self.settle(tokens_of_answer(content) if content is not None else None, None)

    def ask_instead(self, path: str) -> None:
        """Have the next attempts ask for another thing, by GET."""
        self._about = attrs.evolve(self._about, method="GET", path=path, tokens=0)


def _describe(method: str, path: str, content: object) -> Attempt:
    """The attempts of a call, from its request."""
    body = decode_json(content) if isinstance(content, bytes) and content else None
    model = body.get("model") if is_object(body) else None
    return Attempt(
        method=method, path=path, model=model if isinstance(model, str) else None, tokens=estimated_tokens(body)
    )
