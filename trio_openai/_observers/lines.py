"""The form of the log lines: a few words, and then `name=value` pairs, as `shlex.split` and logfmt parsers read them.

    POST /chat/completions model=gpt-4o-mini status=200 verdict=done by=[DONE] total_ms=1843

Each value is also an attribute of the `LogRecord`, for formatters that write JSON, as `openai_model` and so on. The
prefix keeps them apart from attributes that programs add to all records, such as `request_id`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

_PLAIN = re.compile(r"[^\s\"'\\=]+")
_MOST = 200  # characters of one value: a server may send anything as its request id


def write_line(
    log: logging.Logger,
    level: int,
    words: str,
    *,
    event: str | None = None,
    fields: Mapping[str, object] | None = None,
    **values: object,
) -> None:
    """Write a line to the log.

    Args:
        log: the logger.
        level: the level of the line.
        words: how the line begins.
        event: the `openai_event` of the record. By default `words`.
        fields: more attributes of the record, which the line does not repeat.
        values: the pairs. Those that are None are left out, and those named `..._ms` are given in seconds.
    """
    known = {
        name: _in_ms(value) if name.endswith("_ms") else value for name, value in values.items() if value is not None
    }
    pairs = [f"{name}={_text(value)}" for name, value in known.items()]
    extra = {f"openai_{name}": value for name, value in {"event": event or words, **(fields or {}), **known}.items()}
    log.log(level, "%s", " ".join([_one_line(words), *pairs]), extra=extra)


def _in_ms(seconds: object) -> object:
    return round(seconds * 1000) if isinstance(seconds, int | float) else seconds


def _text(value: object) -> str:
    """Return a value as text, in quotes if it needs them."""
    if isinstance(value, int):
        return str(value)
    text = _one_line(str(value))
    if _PLAIN.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _one_line(text: str) -> str:
    """Return the beginning of a text, without what could start another line or control a terminal."""
    text = text[:_MOST]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
