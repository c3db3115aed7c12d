"""The requests that reached the server: the record that a test reads, and the bounded parser that makes it.

The parser keeps what was whole before an error: requests that arrived in front of garbage are still answered.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import attrs
import httptools

MAX_HEADER = 100 * 1024
MAX_BODY = 64 * 1024 * 1024


@attrs.frozen
class RecordedRequest:
    """A request as it came over the wire.

    Attributes:
        method: Such as "POST".
        target: The path with its query, as written.
        headers: Name and value pairs in their order; the names are in lower case.
        body: The body's bytes, without their framing.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def json(self) -> Any:
        """The body, decoded.

        Raises:
            ValueError: It is not JSON.
        """
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The first header of that name in any case, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)


@attrs.frozen
class Incoming:
    """A request and what its sender's HTTP is capable of."""

    request: RecordedRequest
    http11: bool
    keep_alive: bool


@attrs.frozen
class Refusal:
    """Why no further request can be read from a connection."""

    status: int
    message: str


class RequestParser:
    """Bytes in, requests out; pull them from `complete`, and look at `refusal` when that is empty."""

    def __init__(self) -> None:
        self.complete: deque[Incoming] = deque()
        self.refusal: Refusal | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._in_header = False
        self._fed_in_header = 0
        self.on_message_begin()

    def feed(self, data: bytes | bytearray) -> None:
        """Take bytes from the peer; what follows an error is ignored."""
        if self.refusal is not None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request itself is whole and gets a plain answer: a server need not upgrade
        except httptools.HttpParserError as error:
            self._refuse(400, f"That is not HTTP/1.1: {error}")
        # The parser hands over a header when it is whole, so one that never ends is seen only by counting here.
        self._fed_in_header = self._fed_in_header + len(data) if self._in_header else 0
        if self._fed_in_header > MAX_HEADER:
            self._refuse(431, "The header is too large.")

    def _refuse(self, status: int, message: str) -> None:
        if self.refusal is None:
            self.refusal = Refusal(status, message)

    # From here on: the callbacks of httptools.

    def on_message_begin(self) -> None:
        self._target = bytearray()
        self._headers: list[tuple[str, str]] = []
        self._header_size = 0
        self._body: list[bytes] = []
        self._body_size = 0
        self._in_header = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_size += len(name) + len(value)
        if self._header_size + len(self._target) > MAX_HEADER:
            self._refuse(431, "The header is too large.")
            return
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self._in_header = False

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size > MAX_BODY:
            self._refuse(413, "The body is too large.")
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self.refusal is not None:
            return
        parser = self._parser
        target = self._target.decode("latin-1")
        request = RecordedRequest(parser.get_method().decode(), target, self._headers, b"".join(self._body))
        http11 = parser.get_http_version() == "1.1"
        keep_alive = http11 and parser.should_keep_alive() and not parser.should_upgrade()
        self.complete.append(Incoming(request, http11, keep_alive))
