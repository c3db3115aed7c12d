"""Signatures of webhooks, as the specification of Standard Webhooks (https://www.standardwebhooks.com) has them.

A request has three headers: `webhook-id`, `webhook-timestamp` in Unix seconds, and `webhook-signature`. The last one
has one or more signatures, separated by spaces, each as `v1,` and base64. A signature is the HMAC-SHA256 of
`id.timestamp.body`. The time is part of it, so that nobody can send an old request again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

_PREFIX = "whsec_"
_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def signing_key(secret: str) -> bytes:
    """Return the key that a secret stands for: base64 after `whsec_`, else the text itself.

    Raises:
        ValueError: The secret is not valid.
    """
    if not secret.startswith(_PREFIX):
        return secret.encode(errors="replace")
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = ""  # a traceback shows the locals
    raise ValueError("the webhook secret is not valid: after whsec_ it has to be base64; copy it again")


def problem_of(body: bytes, headers: Mapping[str, str], key: bytes, tolerance: float, now: float) -> str | None:
    """Return why a body cannot be trusted, or None if it was signed with a key, and recently.

    This raises nothing, because a traceback would show the key.

    Args:
        body: The body of the request.
        headers: Its headers, with names in lower case.
        key: The key; see `signing_key`.
        tolerance: The greatest age in seconds.
        now: The time in Unix seconds.
    """
    if missing := next((name for name in _HEADERS if not headers.get(name)), None):
        return f"the webhook has no header {missing}: pass all headers of the request"
    event_id, timestamp, signatures = (headers[name] for name in _HEADERS)
    if problem := _problem_of_time(timestamp, tolerance, now):
        return problem
    signed = b".".join((event_id.encode(errors="replace"), timestamp.encode(errors="replace"), body))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    given = [one.removeprefix("v1,").encode(errors="replace") for one in signatures.split()]
    # The time that a comparison takes does not tell how much of a signature was right.
    if any(hmac.compare_digest(expected, one) for one in given):
        return None
    return (
        "the signature of the webhook does not match: it was made with another secret, or the body was changed (pass "
        "the body exactly as it was received)"
    )


def _problem_of_time(timestamp: str, tolerance: float, now: float) -> str | None:
    try:
        age = now - int(timestamp)
    except (ValueError, OverflowError):
        return "the header webhook-timestamp is not a time in Unix seconds"
    if abs(age) <= tolerance:
        return None
    return (
        f"the webhook is too {'old' if age > 0 else 'new'}: the header webhook-timestamp differs from the clock of "
        f"this machine by more than {tolerance:g} s"
    )
