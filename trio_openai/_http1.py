"""HTTP/1.1 for one request and its response, without I/O: `serialize` writes the one, `ResponseParser` reads the other.

This is the seam behind which a parser library sits. It is httptools (llhttp, the parser of Node.js); `docs/design.md`
has the figures beside h11, which `benchmarks/h11_parser.py` puts behind the same seam.
"""

from __future__ import annotations

import re
from typing import Protocol

import httptools

MAX_HEADER_BYTES = 100 * 1024

Headers = list[tuple[bytes, bytes]]

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(rb"[\x21-\x7e]+")


class ProtocolError(Exception):
    """The peer sent what is not HTTP/1.1, or broke off in the middle of it."""


class RawHeaders(Protocol):
    """An `httpx.Headers`, passed on as it is: its `repr` masks the key, which a traceback then does not show."""

    @property
    def raw(self) -> Headers: ...


def check_headers(headers: RawHeaders) -> None:
    """Raise `ValueError` if a name or value has a byte that HTTP forbids (RFC 9110, section 5), such as a newline.

    The message names the header and not its value, which may be a secret.
    """
    bad = [name for name, value in headers.raw if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value))]
    if bad:
        raise ValueError(
            f"the header {bad[0].decode('latin-1')!r} has a character that cannot be sent, such as a newline"
        )


def serialize(method: str, target: bytes, headers: RawHeaders) -> bytes:
    """The head of a request.

    Raises:
        ValueError: it has a byte that HTTP forbids.
    """
    check_headers(headers)
    if not (_NAME.fullmatch(method.encode()) and _TARGET.fullmatch(target)):
        raise ValueError("the request's method or URL has a character that HTTP forbids")
    lines = [name + b": " + value for name, value in headers.raw]
    return b"\r\n".join([method.encode() + b" " + target + b" HTTP/1.1", *lines, b"", b""])


class ResponseParser:
    """Reads one response: `receive_data`, `receive_eof`, and what they leave in the attributes.

    Args:
        max_header_bytes: bytes that the head may have, and a trailer.
        has_body: False for the response to a HEAD request.

    Attributes:
        status: the status of the final response, None until its head is whole; 1xx responses are passed over.
        until_close: whether the body ends when the connection does, since the head does not say how long it is.
        http_version: `1.1` or `1.0`.
        complete: whether the whole message has arrived.
        keep_alive: whether the connection can carry another request, once the message is complete.
        started: whether any byte of a response has arrived.
    """

    def __init__(self, *, max_header_bytes: int = MAX_HEADER_BYTES, has_body: bool = True) -> None:
        self.status: int | None = None
        self.until_close = False
        self.http_version = "1.1"
        self.complete = False
        self.keep_alive = False
        self.started = False
        self._has_body = has_body
        self._headers: Headers = []
        self._body: list[bytes] = []
        self.on_body = self._body.append  # httptools calls it for every chunk: so no Python function is called
        self._whole = 0  # pieces of the body that there were at the end of the message
        self._most_header_bytes = max_header_bytes
        self._header_bytes = 0  # of the head, and later since the last byte of the body: trailers are headers too
        self._error: str | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def take_headers(self) -> Headers:
        """The headers of the final response, as they came. They are not kept."""
        headers, self._headers = self._headers, []
        return headers

    def take_body(self) -> bytes:
        """The bytes of the body that have arrived since the last call."""
        if len(self._body) == 1:
            return self._body.pop()
        data = b"".join(self._body)
        self._body.clear()
        return data

    def receive_data(self, data: bytes | bytearray) -> None:
        """Take bytes from the peer. If they are wrong, `check` raises, once the body before them has been taken."""
        self.started = True
        while data and self._parser is not None and self._error is None:
            room = self._most_header_bytes - self._header_bytes + 1
            piece, data = (data[:room], data[room:]) if self.status is None else (data, b"")
            self._header_bytes += len(piece)
            self._feed(self._parser, piece)
            if self._header_bytes > self._most_header_bytes and not self.complete:
                self._fail("the header of the response, or its trailer, is too large")
        if data:
            self.keep_alive = False  # bytes that nobody asked for

    def _feed(self, parser: httptools.HttpResponseParser, data: bytes | bytearray) -> None:
        before = len(self._body)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server wants to switch protocols")
        except httptools.HttpParserError as error:
            self._fail(str(error))
        if len(self._body) > before:
            self._header_bytes = 0
        if self.complete:
            del self._body[self._whole :]  # what follows the message does not belong to it

    def receive_eof(self) -> None:
        """Take the end of the connection."""
        self.keep_alive = False
        if not self.complete:
            if self.status is not None and self.until_close and not self._error:
                self.complete = True
            else:
                self._fail("the connection ended before the response did")

    def check(self) -> None:
        """Raise `ProtocolError` if something was wrong with the response."""
        if self._error is not None:
            raise ProtocolError(self._error)

    def close(self) -> None:
        """Let go of the library's parser, which refers back to this one."""
        self._parser = None

    def _fail(self, reason: str) -> None:
        self.keep_alive = False
        if not self.complete:  # what comes after a whole message does not make it less whole
            self._error = self._error or reason

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self.keep_alive = False  # a second response, to a request that was never made
        elif self.status is None:
            self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status is None:  # later ones are trailers, of no use here
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status >= 200 and self.status is None:
            self.status = status
            names = {name.lower() for name, _ in self._headers}
            self.until_close = names.isdisjoint((b"content-length", b"transfer-encoding"))
            self.http_version = self._parser.get_http_version()
            self._header_bytes = 0
            if not self._has_body:
                self.on_message_complete()

    def on_message_complete(self) -> None:
        if self.status is not None and not self.complete:
            assert self._parser is not None
            self.complete = True
            self._whole = len(self._body)
            self.keep_alive = self._parser.should_keep_alive()
