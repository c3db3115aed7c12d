"""HTTP/1.1 for one request and its response, without I/O: `serialize` writes the one, `ResponseParser` reads the other.

This is the seam behind which a parser library sits. It is httptools (llhttp, the parser of Node.js); `docs/design.md`
has the figures beside h11, which `benchmarks/h11_parser.py` puts behind the same seam.
"""

from __future__ import annotations

import re
from typing import Protocol

import httptools

from .lenient import LineEnds, repeats_length, split_head, with_one_length

MAX_HEADER_BYTES = 100 * 1024

Headers = list[tuple[bytes, bytes]]

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(rb"[\x21-\x7e]+")


class ProtocolError(Exception):
    """The peer sent something that is not HTTP/1.1. It would do so again."""


class ConnectionEndedError(ProtocolError):
    """The connection ended before the response did. Another attempt may succeed."""


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
        self._was_cut = False
        self._parser: httptools.HttpResponseParser | None = _lenient_parser(self)
        self._raw = b""  # the head, or the first line of the body, until it is complete
        self._is_waiting = False  # for the rest of a head that needs a repair
        self._is_chunked = False
        self._has_line_ends = False  # whether it is known how the lines of a chunked body end
        self._line_ends: LineEnds | None = None  # if they end with LF alone
        self._goes_straight = False  # whether bytes of the body go to the parser as they are
        self._is_ambiguous = False  # there is a length beside the chunks: the next peer may read it otherwise

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
            self._feed(piece)
            if self._header_bytes > self._most_header_bytes and not self.complete:
                self._fail("the header of the response, or its trailer, is too large")
        if data:
            self.keep_alive = False  # bytes that nobody asked for

    def _feed(self, data: bytes | bytearray) -> None:
        before = len(self._body)
        if self._goes_straight:
            self._parse(data)
        else:
            if self.status is None:
                data = self._take_head(data)
            if data and self._error is None:
                self._take_content(data)
        if len(self._body) > before:
            self._header_bytes = 0
        if self.complete:
            del self._body[self._whole :]  # what follows the message does not belong to it

    def _take_head(self, data: bytes | bytearray) -> bytes | bytearray:
        """Parse the bytes that belong to the head. Return those of the body."""
        self._raw += data
        parts = split_head(self._raw)
        head, rest = (data[: len(data) - len(parts[1])], parts[1]) if parts else (data, b"")
        if not self._is_waiting:
            self._parse(head)
        if self._is_waiting and parts:
            self._is_waiting, self._raw = False, b""
            self._parser = _lenient_parser(self)
            self._parse(with_one_length(parts[0]))
        if parts:
            self._raw = b""
        return rest

    def _take_content(self, data: bytes | bytearray) -> None:
        """Parse bytes of the body. The first line of a chunked one tells how its lines end."""
        if self._is_chunked and not self._has_line_ends:
            self._raw += data
            if (end := self._raw.find(b"\n")) < 0:
                return
            data, self._raw, self._has_line_ends = self._raw, b"", True
            if data[end - 1 : end] != b"\r":
                self._line_ends = LineEnds()
        self._goes_straight = self._line_ends is None
        self._parse(data if self._line_ends is None else self._line_ends.fixed(bytes(data)))

    def _parse(self, data: bytes | bytearray) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server wants to switch protocols")
        except httptools.HttpParserError as error:
            if self.status is None and repeats_length(self._raw):
                self._is_waiting = True  # for the rest of the head, which is then repaired
            else:
                self._fail(str(error))

    def receive_eof(self) -> None:
        """Take the end of the connection."""
        self.keep_alive = False
        if not self.complete:
            if self.status is not None and self.until_close and not self._error:
                self.complete = True
            elif self._error is None:
                self._was_cut = True
                self._fail("the connection ended before the response did")

    def check(self) -> None:
        """Raise `ProtocolError` if something was wrong with the response."""
        if self._error is not None:
            raise (ConnectionEndedError if self._was_cut else ProtocolError)(self._error)

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
            self._headers.append((name, value.replace(b"\0", b" ") if b"\0" in value else value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status >= 200 and self.status is None:
            self.status = status
            self._find_framing()
            self.http_version = self._parser.get_http_version()
            self._header_bytes = 0
            if not self._has_body:
                self.on_message_complete()

    def _find_framing(self) -> None:
        """Find out what ends the body (RFC 9112, section 6.3)."""
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
        self._is_chunked = b"chunked" in codings
        if others := codings - {b"chunked"}:
            names = b", ".join(sorted(others)).decode("latin-1")
            self._fail(f"the response has a transfer-encoding that is not supported: {names}")

    def on_message_complete(self) -> None:
        if self.status is not None and not self.complete:
            assert self._parser is not None
            self.complete = True
            self._whole = len(self._body)
            self.keep_alive = self._parser.should_keep_alive() and not self._is_ambiguous and self._line_ends is None


def _lenient_parser(protocol: ResponseParser) -> httptools.HttpResponseParser:
    """Return a parser that accepts what real gateways send, as long as its meaning is clear."""
    parser = httptools.HttpResponseParser(protocol)
    parser.set_dangerous_leniencies(
        lenient_headers=True,  # control characters in a value, and folded lines
        lenient_chunked_length=True,  # a length beside the chunks, which win
        lenient_version=True,
        lenient_optional_cr_before_lf=True,
        lenient_spaces_after_chunk_size=True,
    )
    return parser
