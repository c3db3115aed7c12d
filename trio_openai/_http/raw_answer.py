"""The response to a raw request: its head as the parser returned it, and its body."""

from __future__ import annotations

from typing import Any

from trio_openai._httpx import httpx

from .body import Body
from .http1 import Headers


class RawAnswer:
    """The head of a response of `TrioTransport.open`, and its body.

    Attributes:
        status: the HTTP status.
        headers: the headers, as they were sent.
        http_version: `1.1` or `1.0`.
        body: the body, which holds the connection.
    """

    __slots__ = ("body", "headers", "http_version", "status")

    def __init__(self, status: int, headers: Headers, http_version: str, body: Body) -> None:
        self.status: int = status
        # The garbage collector need not visit a tuple of bytes.
        self.headers: tuple[tuple[bytes, bytes], ...] = tuple(headers)
        self.http_version: str = http_version
        self.body: Body = body

    def header(self, name: str) -> str | None:
        """Return the value of a header, whose name is given in lower case, or None."""
        wanted = name.encode()
        values = [value for each, value in self.headers if each.lower() == wanted]
        if not values:
            return None
        if len(values) == 1 and values[0].isascii():
            return values[0].decode()
        joined: str = httpx.Headers(list(self.headers))[name]
        return joined

    def as_httpx(self, extensions: dict[str, Any]) -> httpx.Response:
        """Return the same response as an `httpx.Response`."""
        version = b"HTTP/" + self.http_version.encode()
        extensions = {"http_version": version, **extensions}
        return httpx.Response(self.status, headers=list(self.headers), stream=self.body, extensions=extensions)
