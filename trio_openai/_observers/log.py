"""Write the log lines of calls: one at INFO when a call ends, and at DEBUG what happens before that.

    POST /chat/completions model=gpt-4o-mini status=200 verdict=done by=[DONE] reason=stop ... total_ms=1843 call=17

A line never has a key, a header, a query, or a word of a prompt or an answer. What the server says is shown only if it
is one short word, such as a finish reason, and without the secrets of the call.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from trio_openai.errors import APIError

from .lines import write_line
from .records import (
    AttemptStarted,
    CallEnded,
    CallRecord,
    CallStarted,
    FirstContent,
    FirstEvent,
    HeadersReceived,
    LimiterWaited,
    Observer,
    RetryPlanned,
)

_WORD = re.compile(r"[\w.:/-]{1,64}", re.ASCII)


class LogObserver(Observer):
    """An observer that writes a line when a call ends.

    Args:
        log: the logger to write to.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def ended(self, record: CallEnded, /) -> None:
        """Write the line of the call."""
        values = {
            "model": record.model,
            "status": record.status,
            **_verdict(record),
            **_error(record.error),
            "attempts": record.attempt,
            "request_id": record.request_id,
            **{f"{phase}_ms": seconds for phase, seconds in record.phases.items()},
            "total_ms": record.seconds,
            **_usage(record),
            "server": record.server,
            "call": record.call_id,
        }
        fields = {"method": record.method, "path": record.path, "endpoint": record.endpoint}
        words = f"{record.method} {record.path.replace(' ', '%20')}"
        write_line(self._log, logging.INFO, words, event="call ended", fields=fields, **values)


class DebugLogObserver(LogObserver):
    """An observer that also writes what happens before a call ends."""

    def started(self, record: CallStarted, /) -> None:
        """Write that a call has started. From here on it may wait for the limiter."""
        self._write("call started", record, method=record.method, path=record.path, model=record.model)

    def limiter_wait(self, record: LimiterWaited, /) -> None:
        """Write how long the limiter made an attempt wait."""
        self._write("limiter permits", record, waited_ms=record.seconds)

    def attempt(self, record: AttemptStarted, /) -> None:
        """Write that an attempt is about to be sent. From here on it may wait for a connection."""
        self._write("attempt", record, attempt=record.attempt, server=record.server)

    def headers(self, record: HeadersReceived, /) -> None:
        """Write that the head of a response has arrived."""
        self._write("headers", record, status=record.status, request_id=record.request_id, after_ms=_last(record))

    def first_event(self, record: FirstEvent, /) -> None:
        """Write that the first event has arrived."""
        self._write("first event", record, after_ms=_last(record))

    def first_content(self, record: FirstContent, /) -> None:
        """Write that the first content has arrived."""
        self._write("first content", record, after_ms=_last(record))

    def retry(self, record: RetryPlanned, /) -> None:
        """Write that an attempt has failed, and when the next one comes."""
        about = {"status": record.status, "request_id": record.request_id, "wait_ms": record.seconds}
        self._write("retry", record, attempt=record.attempt, **_error(record.error), **about)

    def _write(self, words: str, record: CallRecord, **values: Any) -> None:
        write_line(self._log, logging.DEBUG, words, call=record.call_id, **values)


def _last(record: CallRecord) -> float:
    """Return the time of the phase that has just ended."""
    return max(record.phases.values(), default=0.0)


def _verdict(record: CallEnded) -> dict[str, str | None]:
    verdict = record.verdict
    reason = record.hidden(verdict.reason) if verdict.reason else ""
    return {"verdict": verdict.state, "by": verdict.by, "reason": reason if _WORD.fullmatch(reason) else None}


def _error(error: BaseException | None) -> dict[str, str | None]:
    """Return the class of an error, and the phase of a deadline. Its message may quote the prompt."""
    if error is None:
        return {}
    phase: str | None = getattr(error, "phase", None) if isinstance(error, APIError) else None
    return {"error": type(error).__name__, "phase": phase}


def _usage(record: CallEnded) -> dict[str, int | None]:
    usage = record.usage
    if usage is None:
        return {}
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens or None,
        "reasoning_tokens": usage.reasoning_tokens or None,
    }
