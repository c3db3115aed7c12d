"""Write one log line for each call: what it was, how it ended, and how long its phases took."""

from __future__ import annotations

import logging

from .records import CallEnded, Observer


class LogObserver(Observer):
    """An observer that writes an INFO line when a call ends.

    The line has the method, the path, the model, the request id, the attempts, the phases, the verdict and the usage.
    It has no key and no content.

    Args:
        log: the logger to write to.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def ended(self, record: CallEnded, /) -> None:
        """Write the line."""
        self._log.info("%s", line_of(record))


def line_of(record: CallEnded) -> str:
    """Return the log line of a call."""
    attempts = "1 attempt" if record.attempt == 1 else f"{record.attempt} attempts"
    phases = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in record.phases.items())
    parts = [
        f"{record.method} {record.path}",
        record.model,
        record.request_id,
        attempts,
        phases,
        str(record.verdict),
        record.usage and f"{record.usage.input_tokens}+{record.usage.output_tokens} tokens",
        record.error and type(record.error).__name__,
    ]
    return " | ".join(part for part in parts if part)
