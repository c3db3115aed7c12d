"""Decide whether to retry and how long to wait first. The arithmetic only: times and random numbers are arguments.

The rules are openai-python's. Connection errors and the statuses 408, 409, 429 and 5xx are retried, unless the server's
`x-should-retry` header says otherwise or it asks for a wait of more than two minutes. The wait is the server's
`retry-after-ms` or `retry-after`. Without one it is 0.5 s, doubled after each attempt up to 8 s, minus up to a quarter
at random, so that clients that failed together do not come back together.

One rule is ours: a 429 with the code `insufficient_quota` is not retried, because waiting does not refill an account.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping

from trio_openai.errors import APIConnectionError, APIError, APIStatusError, APITimeoutError

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
)  # inside a 200, servers use these codes and types for what 429 and 503 mean

_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)


class RetryPolicy:
    """Count the attempts of one call, and decide about the next one.

    Args:
        max_retries: the most attempts after one that failed, without a success between them.

    Attributes:
        retries: the attempts so far that failed and were followed by another one.
    """

    __slots__ = ("_failed", "_max_retries", "retries")

    def __init__(self, max_retries: int) -> None:
        self.retries: int = 0
        self._max_retries = max_retries
        self._failed = 0  # since the last success

    def allows(self, error: APIError, unix_time: float, *, after_headers: bool = False) -> bool:
        """Return whether another attempt may follow this error.

        Args:
            error: how the last attempt failed.
            unix_time: seconds since 1970.
            after_headers: whether an `idle` deadline counts as a failed connection, as it does for a stream that can be
                resumed.
        """
        if self._failed >= self._max_retries:
            return False
        if isinstance(error, APIConnectionError) and error.is_final:
            return False
        if isinstance(error, APIStatusError):
            headers = error.response.headers
            return should_retry_status(error.status_code, headers, error.code or error.type, unix_time)
        if isinstance(error, APITimeoutError):
            return error.phase in ("connect", "headers") or (after_headers and error.phase == "idle")
        return isinstance(error, APIConnectionError) or should_retry_reported(error)

    def plan(self, error: APIError, unix_time: float, random: float) -> float:
        """Count another attempt. Return how many seconds to wait before it; `random` is in [0, 1)."""
        seconds = delay(self._failed, headers_of(error), random, unix_time)
        self.retries += 1
        self._failed += 1
        return seconds

    def renew(self) -> None:
        """Count from zero again, because the last attempt brought something."""
        self._failed = 0


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the server asks to wait, or None. `now` is Unix time, for a `retry-after` with a date."""
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
    """Return the value of a header as a number, or None if it is not a number."""
    return float(text) if text and _NUMBER.fullmatch(text) else None


def should_retry_status(status: int, headers: Mapping[str, str], code: object, now: float) -> bool:
    """Return whether to retry after an HTTP error status. `code` comes from the body of the error."""
    wait = retry_after(headers, now)
    if (wait is not None and wait > MAX_RETRY_AFTER) or code == "insufficient_quota":
        return False
    told = headers.get("x-should-retry")
    if told in ("true", "false"):
        return told == "true"
    return status in (408, 409, 429) or status >= 500


def should_retry_reported(error: APIError) -> bool:
    """Return whether an error that the server reported inside a 200 means that the server is overloaded."""
    if error.code == "insufficient_quota" or error.type == "insufficient_quota":
        return False
    status = error.code if isinstance(error.code, int) else _number(str(error.code))
    return status in (408, 409, 429) or (status or 0) >= 500 or not _OVERLOADED.isdisjoint((error.code, error.type))


def delay(retries_taken: int, headers: Mapping[str, str], random: float, now: float) -> float:
    """Return the seconds to wait before the next attempt. `random` is in [0, 1)."""
    wait = retry_after(headers, now)
    if wait is not None and 0 < wait <= MAX_RETRY_AFTER:
        return wait
    backoff = min(INITIAL_DELAY * 2.0 ** min(retries_taken, 1000), MAX_DELAY)
    return backoff * (1 - 0.25 * random)


def headers_of(error: APIError) -> Mapping[str, str]:
    """Return the response headers that an error carries, or an empty mapping."""
    return error.response.headers if isinstance(error, APIStatusError) else {}
