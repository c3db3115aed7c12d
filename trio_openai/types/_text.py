r"""Text with surrogate halves in it.

JSON writes a character outside the basic plane as two halves, `\ud83d\ude00`. Servers and proxies that cut strings in
UTF-16 units send one half in one event and the other in the next. Python accepts a lone half in a `str`, but cannot
encode it: printing it or sending it raises `UnicodeEncodeError`.
"""

from __future__ import annotations

from collections.abc import Iterable


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


class Printable:
    r"""Makes text that arrives in pieces printable.

    It holds back a half at the end of a piece until the other one arrives. A half whose other one never comes becomes
    `\ufffd`.
    """

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """Take a piece. Returns what can be printed now, which may be empty."""
        if not piece or (not self._half and piece.isascii()):
            return piece
        text = self._half + piece
        self._half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
        return printable(text.removesuffix(self._half))

    @property
    def holds(self) -> bool:
        """Return whether a half is held back."""
        return bool(self._half)

    def end(self) -> str:
        """Return what was held back. A second time it is empty."""
        half, self._half = self._half, ""
        return printable(half)
