"""Text of servers and models: surrogate halves (see `types/_text.py`), fences around JSON, names in URLs."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from trio_openai.types._text import Printable, has_lone_half, join_text, printable, utf8

__all__ = [
    "Printable",
    "after_fence",
    "has_lone_half",
    "is_beginning",
    "join_text",
    "path_segment",
    "printable",
    "printable_values",
    "quoted_path",
    "rest_after",
    "unfenced",
    "utf8",
]


def is_beginning(text: str, pieces: Sequence[str]) -> bool:
    """Return whether pieces of text begin with this one. Looks no further than the text is long."""
    at = 0
    for piece in pieces:
        if at >= len(text):
            break
        if not text.startswith(piece[: len(text) - at], at):
            return False
        at += len(piece)
    return at >= len(text)


def rest_after(pieces: Iterable[str], whole: str) -> str:
    """Return what a text has after pieces of it; nothing if it does not begin with them."""
    at = 0
    for piece in pieces:
        if not whole.startswith(piece, at):
            return ""
        at += len(piece)
    return whole[at:]


def path_segment(name: str) -> str:
    """Quote a name so that it stays one segment of a URL's path, whatever a server or a user put in it. Never raises.

    Slashes and everything that is not ASCII are quoted. So are the dots of `.` and `..`, which would lead elsewhere.
    """
    return quote(utf8(name), safe="") if name.strip(".") else "%2E" * len(name)


def quoted_path(path: str) -> bytes:
    """Quote what is not ASCII, and nothing else."""
    return quote(utf8(path), safe=string.punctuation).encode() if not path.isascii() else path.encode()


def printable_values(value: Any) -> Any:
    """Return the values of a query with lone surrogate halves replaced, which no URL can contain."""
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {printable(name): printable_values(member) for name, member in members.items()}
    if isinstance(value, list | tuple):
        return [printable_values(item) for item in cast("list[Any]", value)]
    return printable(value) if isinstance(value, str) else value


_FENCE = re.compile(r"[\ufeff \t\r\n]*(?:(```+|~~~+)[^\n`{\[]*)?[\ufeff \t\r\n]*")


def after_fence(text: str) -> tuple[str, str]:
    """Return the text after a byte-order mark and the beginning of a Markdown fence, and the fence's marks, if any."""
    opening = _FENCE.match(text)
    assert opening is not None  # it matches the empty text too
    return text[opening.end() :], opening[1] or ""


def unfenced(text: str) -> str:
    """Return JSON without a byte-order mark and without the Markdown fence that models write around it.

    Only one fence around everything is removed. Its end may be missing: it is a usual stop sequence.
    """
    text, fence = after_fence(text)
    inner = text.rstrip(" \t\r\n")
    body = inner.rstrip(fence[0]) if fence else inner
    return body if len(inner) - len(body) >= len(fence) else text
