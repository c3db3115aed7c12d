"""Turn the log on as the environment variable `TRIO_OPENAI_LOG` says. Imported only if it is set."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import TextIO

_LEVELS = ("debug", "info", "warning", "error", "critical")  # as `OPENAI_LOG` has them
_FORMAT = "[%(asctime)s - %(name)s - %(levelname)s] %(message)s"


class _Fallback(logging.StreamHandler[TextIO]):
    """Writes to stderr as long as the program has no handler of its own for the lines.

    `logging.basicConfig` would do nothing anymore in a program whose root logger has a handler of ours.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless the program's own handlers get it too."""
        if not _has_other(logging.getLogger(record.name), self):
            self.stream = sys.stderr  # as of now, since programs replace it
            super().emit(record)


def _has_other(logger: logging.Logger | None, handler: logging.Handler) -> bool:
    """Return whether a logger, or one that it passes its lines on to, has another handler."""
    while logger is not None:
        if any(one is not handler for one in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def set_up_log(value: str) -> None:
    """Let the logger `trio_openai` write lines from a level on.

    Args:
        value: the level, such as `info`. Warns if it is none.
    """
    level = value.strip().lower()
    if level not in _LEVELS:
        warnings.warn(
            f"TRIO_OPENAI_LOG is {value!r}, which is not a level, so nothing is logged: use info or debug",
            RuntimeWarning,
            stacklevel=3,
        )
        return
    logger = logging.getLogger("trio_openai")
    logger.setLevel(level.upper())
    handler = _Fallback()
    handler.setFormatter(logging.Formatter(_FORMAT, datefmt="%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
