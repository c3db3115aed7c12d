"""The form of the log lines: a few words, and then `name=value` pairs, as `shlex.split` and logfmt parsers read them.

    POST /chat/completions model=gpt-4o-mini status=200 verdict=done by=[DONE] total_ms=1843

Each value is also an attribute of the `LogRecord`, for formatters that write JSON, as `openai_model` and so on. The
prefix keeps them apart from attributes that programs add to all records, such as `request_id`.
"""

from __future__ import annotations

import logging
import re

_PLAIN = re.compile(r"[^\s\"'\\=]+")
_MOST = 200  # characters of one value: a server may send anything as its request id


def write_line(log: logging.Logger, level: int, words: str, **values: object) -> None:
    """Write a line to the log.

    Args:
        log: the logger.
        level: the level of the line.
        words: what the line is about.
        values: the pairs. Those that are None are left out, and those named `..._ms` are given in seconds.
    """
    known = {
        name: _in_ms(value) if name.endswith("_ms") else value for name, value in values.items() if value is not None
    }
    pairs = " ".join(f"{name}={_text(value)}" for name, value in known.items())
    fields = {f"openai_{name}": value for name, value in known.items()}
    log.log(level, "%s", f"{words} {pairs}" if pairs else words, extra={"openai_event": words, **fields})


def _in_ms(seconds: object) -> object:
    return round(seconds * 1000) if isinstance(seconds, int | float) else seconds


def _text(value: object) -> str:
    """Return a value as text on one line, in quotes if it needs them."""
    text = str(value)[:_MOST]
    text = "".join(c if c.isprintable() else "?" for c in text)
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
