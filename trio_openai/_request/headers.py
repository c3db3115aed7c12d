"""Headers that a program adds to requests. They may be secret, so tracebacks show only their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from trio_openai._http.http1 import check_headers
from trio_openai._httpx import httpx

_FRAMING = frozenset({"content-length", "transfer-encoding"})  # another value would split the request in two


class HiddenHeaders(dict[str, str]):
    """Headers whose `repr` shows only their names."""

    @classmethod
    def of(cls, given: Any, parameter: str) -> HiddenHeaders:
        """Return the headers given as a parameter, which may be None.

        Raises:
            TypeError: They are not a mapping.
        """
        if not isinstance(given, Mapping | None):
            raise TypeError(f"{parameter} takes a dictionary of strings, not {type(given).__name__}")
        return cls(cast("Mapping[str, str]", given or {}))

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """The headers as bytes, in the form of `httpx.Headers.raw`."""
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in self.items()]

    def __repr__(self) -> str:
        return f"<headers {', '.join(map(repr, self))}>"


def hide_headers(params: dict[str, Any]) -> None:
    """Hide `extra_headers` in place, since the frames of all callers hold the same dictionary of parameters."""
    params["extra_headers"] = HiddenHeaders.of(params.get("extra_headers"), "extra_headers")


def add_headers(headers: httpx.Headers, given: HiddenHeaders) -> None:
    """Add a program's headers to ours. They win over ours of the same names.

    Raises:
        TypeError: A value is not a string.
        ValueError: A name or value has a character that HTTP forbids, or the header gives the length of the body. The
            value, which may be a secret, is not shown.
    """
    if bad := [name for name, value in given.items() if not isinstance(value, str)]:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the value of the header {bad[0]!r} is not a string")
    if bad := [name for name, value in given.items() if not (name.isascii() and value.isascii())]:
        raise ValueError(f"the header {bad[0]!r} has a character that cannot be sent: encode it in ASCII")
    if bad := [name for name in given if name.lower() in _FRAMING]:
        raise ValueError(f"the header {bad[0]!r} cannot be set, because it is computed from the body")
    check_headers(given)
    headers.update(given)
