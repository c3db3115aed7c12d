r"""Text with surrogate halves in it.

JSON writes a character outside the basic plane as two halves, `\ud83d\ude00`. Servers and proxies that cut strings in
UTF-16 units send one half in one event and the other in the next. Python accepts a lone half in a `str`, but cannot
encode it: printing it or sending it raises `UnicodeEncodeError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote


def join_text(pieces: Iterable[str]) -> str:
    """Join pieces of text; two halves of one character that meet become that character.

    A half that meets no other half stays as it is.
    """
    text = "".join(pieces)
    if text.isascii() or not has_lone_half(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def has_lone_half(text: str) -> bool:
    """Return whether the text contains half a character, so that it cannot be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def printable(text: str) -> str:
    r"""Return the text with halves joined where they meet, and `\ufffd` in place of each half that stays alone."""
    if text.isascii() or not has_lone_half(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def utf8(text: str) -> bytes:
    """Encode text as UTF-8, also if it contains lone halves. Never raises."""
    return printable(text).encode()


def path_segment(name: str) -> str:
    """Quote a name so that it stays one segment of a URL's path, whatever a server or a user put in it. Never raises.

    Slashes and everything that is not ASCII are quoted. So are the dots of `.` and `..`, which would lead elsewhere.
    """
    return quote(utf8(name), safe="") if name.strip(".") else "%2E" * len(name)


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
