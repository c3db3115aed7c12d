"""Webhooks: requests that OpenAI sends to a program, to say that something has ended that ran in the background.

Nothing is sent or waited for here, so the methods are not async, and all clients share them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

from trio_openai._request.options import Hidden
from trio_openai._request.session import Session
from trio_openai._wire.failures import decode_body
from trio_openai._wire.json import is_object
from trio_openai._wire.webhooks import problem_of, signing_key
from trio_openai.errors import APIResponseValidationError, InvalidWebhookSignatureError
from trio_openai.types import UnwrapWebhookEvent
from trio_openai.types._fields import hook_for

WebhookHeaders: TypeAlias = Mapping[str, str] | Mapping[bytes, bytes] | Iterable[tuple[str, str] | tuple[bytes, bytes]]
"""The headers of a request, as web frameworks have them: a mapping, or pairs of names and values."""

DEFAULT_TOLERANCE = 300
"""The greatest age of a webhook in seconds."""

_to_event = hook_for(cast("Any", UnwrapWebhookEvent))


class Webhooks:
    """Checks of the webhooks that a program receives. `client.webhooks`.

    The secret of the webhook begins with `whsec_`. It is the client's option `webhook_secret`, by default
    `OPENAI_WEBHOOK_SECRET`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def unwrap(self, payload: str | bytes, headers: WebhookHeaders, *, secret: str | None = None) -> UnwrapWebhookEvent:
        """Check the signature of a webhook, and return its event.

        Args:
            payload: The body of the request, exactly as it was received.
            headers: The headers of the request.
            secret: The secret of the webhook, instead of the client's.

        Returns:
            The event, as an object of its class: a `ResponseCompletedWebhookEvent`, for example. Look at its `type`. An
            event of a type that the library does not know is an `UnknownWebhookEvent`.

        Raises:
            InvalidWebhookSignatureError: The request does not come from OpenAI, or is older than five minutes.
            APIResponseValidationError: The signature is valid, but the body is not a JSON object.
            ValueError: There is no secret, or it is not valid.
            TypeError: An argument has the wrong type.
        """
        given, secret = Hidden.of(secret), None  # a traceback shows the locals
        self._check(payload, headers, given, DEFAULT_TOLERANCE)
        raw = decode_body(_bytes_of(payload))
        if not is_object(raw):
            raise APIResponseValidationError("the body of the webhook is not a JSON object", body=raw)
        event: UnwrapWebhookEvent = _to_event(raw, None)
        return event

    def verify_signature(
        self,
        payload: str | bytes,
        headers: WebhookHeaders,
        *,
        secret: str | None = None,
        tolerance: float = DEFAULT_TOLERANCE,
    ) -> None:
        """Check the signature of a webhook.

        Args:
            payload: The body of the request, exactly as it was received.
            headers: The headers of the request.
            secret: The secret of the webhook, instead of the client's.
            tolerance: The greatest age in seconds, and the greatest difference between two clocks.

        Raises:
            InvalidWebhookSignatureError: The request does not come from OpenAI, or is too old.
            ValueError: There is no secret, or it is not valid.
            TypeError: An argument has the wrong type.
        """
        given, secret = Hidden.of(secret), None  # a traceback shows the locals
        self._check(payload, headers, given, tolerance)

    def _check(self, payload: str | bytes, headers: WebhookHeaders, secret: Hidden | None, tolerance: float) -> None:
        found = secret or self._session.options.webhook_secret or Hidden.of(os.environ.get("OPENAI_WEBHOOK_SECRET"))
        if found is None:
            raise ValueError(
                "there is no webhook secret: set OPENAI_WEBHOOK_SECRET, pass TrioOpenAI(webhook_secret=...), or pass "
                "secret=... here"
            )
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"tolerance takes seconds, not {type(tolerance).__name__}")
        body, named = _bytes_of(payload), _headers_of(headers)
        problem = problem_of(body, named, signing_key(found.value("secret")), tolerance, time.time())
        if problem is not None:
            raise InvalidWebhookSignatureError(problem)


def _bytes_of(payload: Any) -> bytes:
    if isinstance(payload, str):
        return payload.encode(errors="replace")
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(cast("bytes", payload))
    raise TypeError(
        f"payload takes the body of the request as bytes or text, not {type(payload).__name__}: JSON that was decoded "
        "cannot be checked"
    )


def _headers_of(headers: Any) -> dict[str, str]:
    """Return headers by their names in lower case."""
    try:
        return {_text(name).lower(): _text(value) for name, value in getattr(headers, "items", lambda: headers)()}
    except (TypeError, ValueError):
        problem = f"headers takes the headers of the request, not {type(headers).__name__}"
    raise TypeError(problem)


def _text(value: object) -> str:
    if isinstance(value, str | bytes):
        return value.decode("latin-1") if isinstance(value, bytes) else value
    raise TypeError
