"""Content codings: decompress a gzip or deflate body while it is read, in small steps and up to a limit.

Streams ask for no compression (`accept-encoding: identity`), because a compressor may hold events back. Plain responses
may be compressed, and some servers and proxies compress whatever they are asked.

A few compressed bytes can expand to a thousand times as many. A hostile or broken server must neither fill the memory
nor block the scheduler (promises 6 and 7). So each step decompresses at most 64 KiB and has a checkpoint, and the
entire body may expand to `max_event_bytes`, or to twenty times its compressed size if that is more.

Bodies in the wild differ from the standard in two ways, and both are accepted: "deflate" without the zlib header that
RFC 9110, section 8.4.1.2, demands, and gzip of several members (RFC 1952, section 2.2).
"""

from __future__ import annotations

import codecs
import zlib

import trio

from trio_openai._httpx import httpx
from trio_openai.errors import APIResponseValidationError

from .body import ReadableBody

ACCEPTED_CODINGS = "gzip, deflate"
_MOST_CODINGS = 3  # each coding can multiply the size by a thousand

_BY_HEADER = zlib.MAX_WBITS | 32  # tell zlib to recognise gzip or zlib by the first bytes
_FED_AT_ONCE = 16 * 1024  # bytes; they can contain 800 empty gzip members, and each takes a few microseconds
_INFLATED_AT_ONCE = 64 * 1024  # bytes; decompressing and parsing them takes less than a millisecond
_USUAL_RATIO = 20  # JSON with real content seldom compresses better than this


class _DecodingBody:
    """Base class of a body around another one, which closes when this one is closed."""

    def __init__(self, body: ReadableBody) -> None:
        self._body = body

    async def aclose(self, *, park: bool = False) -> None:
        """Give up the connection."""
        await self._body.aclose(park=park)

    def close_soon(self) -> None:
        """Give up the connection without waiting."""
        self._body.close_soon()


class InflatedBody(_DecodingBody):
    """A body that decompresses another one while it is read.

    Args:
        body: the compressed body: gzip with one or more members, or deflate with or without the zlib header.
        most: the number of bytes that the body may expand to, or twenty times its compressed size if that is more.
    """

    def __init__(self, body: ReadableBody, most: int) -> None:
        super().__init__(body)
        self._most = most
        self._inflater = zlib.decompressobj(_BY_HEADER)
        self._is_new = True  # True until the current inflater has been fed
        self._held = b""  # compressed bytes that the inflater returned unused
        self._waiting = memoryview(b"")  # compressed bytes that have not been fed yet
        self._is_full = False  # True if the inflater may have more output without more input
        self._received = self._inflated = 0

    async def read(self) -> bytes:
        """Return the next decompressed bytes, or `b""` at the end. If this is cancelled, nothing is lost.

        Raises:
            APIResponseValidationError: the body is not compressed as its header says, or it expands to too many bytes.
            httpx.ReadError: the body ended in the middle of the compressed data.
        """
        while True:
            has_ended = await self._feed()
            data = self._inflate(self._held)
            self._inflated += len(data)
            self._is_full = len(data) == _INFLATED_AT_ONCE
            if self._inflated > self._most:
                self._check_ratio()
            if data:
                return data
            if has_ended:
                break
        if not (self._inflater.eof or self._is_new):
            raise httpx.ReadError("the connection ended in the middle of the compressed body")
        return b""

    async def _feed(self) -> bool:
        """Prepare a limited number of bytes for the inflater. Return True at the end of the body."""
        if self._held or self._waiting or self._is_full:
            await trio.lowlevel.checkpoint()
        else:
            data = await self._body.read()
            self._received += len(data)
            self._waiting = memoryview(data)
            if not data:
                return True
        if not self._held:
            self._held, self._waiting = bytes(self._waiting[:_FED_AT_ONCE]), self._waiting[_FED_AT_ONCE:]
        return False

    @property
    def received(self) -> int:
        """The number of bytes received, before any decompression."""
        return self._body.received if isinstance(self._body, InflatedBody) else self._received

    def _check_ratio(self) -> None:
        """Raise an error if the body expands to far more bytes than usual."""
        if self._inflated > _USUAL_RATIO * self.received:
            raise APIResponseValidationError(
                f"the first {self.received} bytes of the compressed response expand to more than {self._most} bytes; "
                "if that is expected, create the client with a larger max_event_bytes=..."
            )

    def _inflate(self, compressed: bytes) -> bytes:
        if self._inflater.eof and compressed:  # another gzip member follows
            self._inflater, self._is_new = zlib.decompressobj(_BY_HEADER), True
        try:
            data = self._inflater.decompress(compressed, _INFLATED_AT_ONCE)
        except zlib.error as error:
            # RFC 1950, section 2.2: a zlib header has 8 in its low four bits. So this may be deflate without one.
            if self._is_new and (compressed[0] & 0x0F) != 8:
                self._inflater, self._is_new = zlib.decompressobj(-zlib.MAX_WBITS), False
                return self._inflate(compressed)
            raise APIResponseValidationError(
                f"the response is not compressed as its content-encoding says: {error}"
            ) from error
        self._is_new = self._is_new and not compressed
        self._held = self._inflater.unconsumed_tail or self._inflater.unused_data
        return data


class UndecodableBody(_DecodingBody):
    """A body in a coding that is not supported. Reading it raises an error unless it is empty.

    Args:
        body: the body.
        how: how it is encoded, for the error message.
    """

    def __init__(self, body: ReadableBody, how: str) -> None:
        super().__init__(body)
        self._how = how

    async def read(self) -> bytes:  # noqa: ASYNC910 - has the checkpoints of the body below
        """Return `b""` if the body is empty.

        Raises:
            APIResponseValidationError: the body is not empty; the message names the coding.
        """
        if await self._body.read():
            raise APIResponseValidationError(
                f"the response is encoded {self._how} (content-encoding), which is not supported; trio_openai asks for "
                f"{ACCEPTED_CODINGS} or no coding, so a proxy or the server ignores accept-encoding"
            )
        return b""  # noqa: ASYNC910


def decoded(body: ReadableBody, header: str, most: int) -> ReadableBody:
    """Return a body that undoes the codings in a `content-encoding` header, last coding first (RFC 9110, section 8.4).

    Args:
        body: the body as it is received.
        header: the value of the header.
        most: the number of bytes that the body may expand to.
    """
    codings = [coding for item in header.split(",") if not _is_no_coding(coding := item.strip().lower())]
    if len(codings) > _MOST_CODINGS:
        return UndecodableBody(body, f"{len(codings)} times ({header[:50]}...)")
    for coding in reversed(codings):
        if coding not in ("gzip", "x-gzip", "deflate"):
            return UndecodableBody(body, f"as {coding!r}")
        body = InflatedBody(body, most)
    return body


def _is_no_coding(coding: str) -> bool:
    """Return whether a coding means "none", or is a charset that a server has put into the wrong header."""
    if coding in ("", "identity", "none", "binary", "7bit", "8bit"):
        return True
    try:
        return codecs.lookup(coding)._is_text_encoding  # pyright: ignore[reportPrivateUsage]
    except (LookupError, ValueError):
        return False
