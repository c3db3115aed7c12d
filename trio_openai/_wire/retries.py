"""Decide whether to retry, and how long to wait before: the arithmetic, without a clock.

Retries follow openai-python's rules: 408, 409, 429, 5xx and connection errors, unless the server says otherwise in
`x-should-retry`, or asks for a longer wait than two minutes; the wait is the server's `retry-after-ms` or
`retry-after`, else 0.5 s, doubled every time up to 8 s, less up to a quarter at random. Ours beside: a 429 with code
`insufficient_quota` is not retried, since waiting does not fill an account.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping

from trio_openai.errors import APIError, APIStatusError

MAX_RETRY_AFTER = 120.0
INITIAL_DELAY = 0.5
MAX_DELAY = 8.0

_OVERLOADED = frozenset(
    {
        "rate_limit_exceeded",
        "rate_limit_error",
        "overloaded",
        "overloaded_error",
        "server_error",
        "server_overloaded",
        "service_unavailable",
        "slow_down",
        "vector_store_timeout",
    }
)  # codes and types with which servers say, inside a 200, what 429 and 503 say


_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait, or None. `now` is Unix time, for a `retry-after` that is a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds / unit
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    try:
        return email.utils.mktime_tz(date) - now if date else None
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    """Return a header's value as a number, or None if it is none."""
    return float(text) if text and _NUMBER.fullmatch(text) else None


def should_retry_status(status: int, headers: Mapping[str, str], code: object, now: float) -> bool:
    """Whether an HTTP error status is worth another attempt. `code` is the one in the error's body."""
    wait = retry_after(headers, now)
    if (wait is not None and wait > MAX_RETRY_AFTER) or code == "insufficient_quota":
        return False
    told = headers.get("x-should-retry")
    if told in ("true", "false"):
        return told == "true"
    return status in (408, 409, 429) or status >= 500


def should_retry_reported(error: APIError) -> bool:
    """Whether an error that the server reported inside a 200 means that it is overloaded."""
    if error.code == "insufficient_quota" or error.type == "insufficient_quota":
        return False
    status = error.code if isinstance(error.code, int) else _number(str(error.code))
    return status in (408, 409, 429) or (status or 0) >= 500 or not _OVERLOADED.isdisjoint((error.code, error.type))


def delay(retries_taken: int, headers: Mapping[str, str], random: float, now: float) -> float:
    """Seconds to wait before the next attempt. `random` is in [0, 1)."""
    wait = retry_after(headers, now)
    if wait is not None and 0 < wait <= MAX_RETRY_AFTER:
        return wait
    backoff = min(INITIAL_DELAY * 2.0 ** min(retries_taken, 1000), MAX_DELAY)
    return backoff * (1 - 0.25 * random)


def headers_of(error: APIError) -> Mapping[str, str]:
    """The response headers that an error carries, or none."""
    return error.response.headers if isinstance(error, APIStatusError) else {}
