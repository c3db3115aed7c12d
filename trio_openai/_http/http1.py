"""HTTP/1.1 without I/O: `serialize` writes a request, and `ResponseParser` reads its response.

The parser underneath is httptools, a binding of llhttp, which Node.js uses. Every read of a stream passes through
it, so its cost per chunk counts; `docs/design.md` compares it with h11, which `benchmarks/h11_parser.py` puts behind
the same interface. httptools calls methods of `ResponseParser` (`on_header`, `on_body`, ...) while bytes are fed.
Those methods only record; callers pull what was recorded afterwards. Errors are recorded too, and `check` raises
them, so that the bytes before an error can be delivered first (promise 5).

Leniency. Gateways send sloppy HTTP, and a client that refuses it is useless with them. Whatever has only one possible
meaning is accepted: bare LF as line end, folded header lines, a length beside chunks (the chunks win, RFC 9112, section
6.3). What llhttp does not accept in this spirit, `lenient.py` repairs. Whatever is ambiguous is an error, because an
ambiguity is how request smuggling works: different lengths, or an unknown transfer coding. After chunks with a length
beside them, or with bare LF, the connection is not reused: a proxy on the way may have seen another end of the body.

Limits. The head may have `max_header_bytes`, and so may the bytes between body bytes, which are chunk headers and
trailers. So a server cannot make the client buffer without end. The body itself is not limited here: it is handed
out as it arrives.

Where the body ends (RFC 9112, section 6.3): after the last chunk, after `content-length` bytes, with the connection
(`until_close`), or at once for a response to HEAD. `complete` says that the end has been seen. A connection that
ends before that is a `ConnectionEndedError`, which is how a truncated stream is recognised (promise 4).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import httptools

from .lenient import LineEnds, repeats_length, split_head, with_one_length

MAX_HEADER_BYTES = 100 * 1024

Headers = list[tuple[bytes, bytes]]

# A token, a field value and a request target (RFC 9110, sections 5.6.2 and 5.5; RFC 9112, section 3.2).
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(rb"[\x21-\x7e]+")


class ProtocolError(Exception):
    """The server sent something that is not HTTP/1.1. A retry would get the same."""


class ConnectionEndedError(ProtocolError):
    """The connection ended before the response did. A retry may succeed."""


class RawHeaders(Protocol):
    """The headers of an `httpx.Headers`, whose `repr` masks the API key if a traceback shows it."""

    @property
    def raw(self) -> Headers: ...


def check_headers(headers: RawHeaders) -> None:
    """Raise `ValueError` if a name or value contains a character that HTTP forbids, such as a newline.

    See RFC 9110, section 5. The message names the header but not its value, which may be secret.
    """
    bad = [name for name, value in headers.raw if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value))]
    if bad:
        raise ValueError(
            f"the header {bad[0].decode('latin-1')!r} contains a character that HTTP forbids, such as a newline"
        )


def serialize(method: str, target: bytes, headers: RawHeaders) -> bytes:
    """Return the head of a request as bytes.

    Raises:
        ValueError: the method, the target or a header contains a character that HTTP forbids.
    """
    check_headers(headers)
    if not (_NAME.fullmatch(method.encode()) and _TARGET.fullmatch(target)):
        raise ValueError("the request's method or URL contains a character that HTTP forbids")
    lines = [name + b": " + value for name, value in headers.raw]
    return b"\r\n".join([method.encode() + b" " + target + b" HTTP/1.1", *lines, b"", b""])


class ResponseParser:
    """A parser for one response: feed it with `receive_data` and `receive_eof`, read its attributes and `take_body`.

    Args:
        max_header_bytes: the largest head, and the largest trailer, to accept.
        has_body: False for the response to a HEAD request.

    Attributes:
        status: the status of the final response, or None until its head is complete. 1xx responses are skipped.
        until_close: True if the body ends with the connection, because the head gives no length.
        http_version: `1.1` or `1.0`.
        complete: True once the entire response has arrived.
        keep_alive: True if the connection can carry another request after this response.
        started: True once a byte of a response has arrived.
    """

    def __init__(self, *, max_header_bytes: int = MAX_HEADER_BYTES, has_body: bool = True) -> None:
        self.status: int | None = None
        self.until_close: bool = False
        self.http_version: str = "1.1"
        self.complete: bool = False
        self.keep_alive: bool = False
        self.started: bool = False
        self._has_body = has_body
        self._headers: Headers = []
        self._body: list[bytes] = []
        # httptools calls this for every chunk, and `append` is no Python function.
        self.on_body: Callable[[bytes], None] = self._body.append
        self._complete_count = 0  # len(self._body) at the end of the response; later bytes do not belong to it
        self._most_header_bytes = max_header_bytes
        self._header_bytes = 0  # bytes of the head; later, bytes since the last byte of the body
        self._error: str | None = None
        self._was_cut = False
        self._parser: httptools.HttpResponseParser | None = _lenient_parser(self)
        self._raw = b""  # an incomplete head, or the incomplete first line of a chunked body
        self._needs_repair = False  # True while the rest of a head is awaited that can then be repaired
        self._is_chunked = False
        self._knows_line_ends = False  # True once it is known how the lines of a chunked body end
        self._line_ends: LineEnds | None = None  # rewrites the lines of a chunked body that end with LF alone
        self._is_direct = False  # True once bytes of the body go to httptools unchanged
        self._is_ambiguous = False  # True if there is a length beside the chunks: an intermediary may use the length

    def take_headers(self) -> Headers:
        """Return the headers of the final response, as they were sent, and forget them."""
        headers, self._headers = self._headers, []
        return headers

    @property
    def needs_data(self) -> bool:
        """True if there is nothing to take and nothing to check before more bytes come."""
        return not (self._body or self.complete or self._error)

    def take_body(self) -> bytes:
        """Return the bytes of the body that have arrived since the last call."""
        if len(self._body) == 1:  # the usual case for a stream: no copy
            return self._body.pop()
        data = b"".join(self._body)
        self._body.clear()
        return data

    def receive_data(self, data: bytes | bytearray) -> None:
        """Parse bytes from the server.

        If they are invalid, `check` raises an error, and `take_body` still returns the bytes before them.
        """
        self.started = True
        while data and self._parser is not None and self._error is None:
            room = self._most_header_bytes - self._header_bytes + 1  # one more byte is enough to notice the excess
            piece, data = (data[:room], data[room:]) if self.status is None else (data, b"")
            self._header_bytes += len(piece)
            self._feed(piece)
            if self._header_bytes > self._most_header_bytes and not self.complete:
                self._fail(f"the response header or trailer is too large (more than {self._most_header_bytes} bytes)")
        if data:
            self.keep_alive = False  # the server sent more than one response to one request

    def _feed(self, data: bytes | bytearray) -> None:
        """Parse bytes, taking the slower way while the head or the first line of a chunked body is incomplete."""
        before = len(self._body)
        if self._is_direct:
            self._parse(data)
        else:
            if self.status is None:
                data = self._take_head(data)
            if data and self._error is None:
                self._take_content(data)
        if len(self._body) > before:
            self._header_bytes = 0
        if self.complete:
            del self._body[self._complete_count :]  # bytes after the response do not belong to it

    def _take_head(self, data: bytes | bytearray) -> bytes | bytearray:
        """Parse the bytes that belong to the head, and return the rest.

        If httptools fails on a head that may be repairable, wait for the end of the head and parse the repaired
        version.
        """
        self._raw += data
        parts = split_head(self._raw)
        head, rest = (data[: len(data) - len(parts[1])], parts[1]) if parts else (data, b"")
        if not self._needs_repair:
            self._parse(head)
        if self._needs_repair and parts:
            self._needs_repair, self._raw = False, b""
            self._parser = _lenient_parser(self)
            self._parse(with_one_length(parts[0]))
        if parts:
            self._raw = b""
        return rest

    def _take_content(self, data: bytes | bytearray) -> None:
        """Parse bytes of the body. The first line of a chunked body shows how its lines end."""
        if self._is_chunked and not self._knows_line_ends:
            self._raw += data
            if (end := self._raw.find(b"\n")) < 0:
                return
            data, self._raw, self._knows_line_ends = self._raw, b"", True
            if data[end - 1 : end] != b"\r":
                self._line_ends = LineEnds()
        self._is_direct = self._line_ends is None
        self._parse(data if self._line_ends is None else self._line_ends.fixed(bytes(data)))

    def _parse(self, data: bytes | bytearray) -> None:
        """Feed httptools, and record its errors."""
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server wants to switch to another protocol, which was not requested")
        except httptools.HttpParserError as error:
            if self.status is None and repeats_length(self._raw):
                self._needs_repair = True
            else:
                self._fail(str(error))

    def receive_eof(self) -> None:
        """Record the end of the connection, which completes the response or truncates it."""
        self.keep_alive = False
        if not self.complete:
            if self.status is not None and self.until_close and not self._error:
                self.complete = True
            elif self._error is None:
                self._was_cut = True
                self._fail("the connection ended before the response did")

    def check(self) -> None:
        """Raise `ProtocolError` if the response is invalid, `ConnectionEndedError` if it is truncated."""
        if self._error is not None:
            raise (ConnectionEndedError if self._was_cut else ProtocolError)(self._error)

    def close(self) -> None:
        """Release httptools' parser.

        It refers back to this object, and such a cycle would stay in memory until the garbage collector runs.
        """
        self._parser = None

    def _fail(self, reason: str) -> None:
        self.keep_alive = False
        if not self.complete:  # garbage after a complete response does not make the response invalid
            self._error = self._error or reason

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        if self.complete:
            self.keep_alive = False  # a second response to the same request
        elif self.status is None:
            self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status is None:  # later headers are trailers, which nobody reads
            # RFC 9110, section 5.5: a recipient replaces NUL with a space.
            self._headers.append((name, value.replace(b"\0", b" ") if b"\0" in value else value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        # RFC 9110, section 15.2: any number of 1xx responses may precede the final one.
        if status >= 200 and self.status is None:
            self.status = status
            self._find_framing()
            self.http_version = self._parser.get_http_version()
            self._header_bytes = 0
            if not self._has_body:
                self.on_message_complete()

    def _find_framing(self) -> None:
        """Find out where the body ends (RFC 9112, section 6.3)."""
        has_length, codings = False, b""
        for name, value in self._headers:
            lowered = name.lower()
            if lowered == b"content-length":
                has_length = True
            elif lowered == b"transfer-encoding":
                codings += value.lower() + b","
        if codings:
            self._check_codings({coding.strip() for coding in codings.split(b",")} - {b"", b"identity"})
        self._is_ambiguous = has_length and bool(codings)
        self.until_close = not has_length and not self._is_chunked

    def _check_codings(self, codings: set[bytes]) -> None:
        """Accept only `chunked`. The end of a body in another transfer coding cannot be known."""
        self._is_chunked = b"chunked" in codings
        if others := codings - {b"chunked"}:
            names = b", ".join(sorted(others)).decode("latin-1")
            self._fail(f"the response uses a transfer-encoding that is not supported: {names}")

    def on_message_complete(self) -> None:
        if self.status is not None and not self.complete:
            assert self._parser is not None
            self.complete = True
            self._complete_count = len(self._body)
            self.keep_alive = self._parser.should_keep_alive() and not self._is_ambiguous and self._line_ends is None


def _lenient_parser(protocol: ResponseParser) -> httptools.HttpResponseParser:
    """Return a parser that accepts whatever sloppy gateways send, as long as it has only one meaning."""
    parser = httptools.HttpResponseParser(protocol)
    parser.set_dangerous_leniencies(
        lenient_headers=True,  # control characters in a value, and folded lines
        lenient_chunked_length=True,  # a length beside chunks; the chunks win (RFC 9112, section 6.3)
        lenient_version=True,
        lenient_optional_cr_before_lf=True,
        lenient_spaces_after_chunk_size=True,
    )
    return parser
