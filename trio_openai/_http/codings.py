"""Decode the content codings of a body while it is read: gzip and deflate, in small steps and within a bound.

A few compressed bytes can stand for a thousand times as many. So each step is small and passes a checkpoint, and what a
body may inflate to is bounded.
"""

from __future__ import annotations

import codecs
import zlib

import httpx
import trio

from trio_openai.errors import APIResponseValidationError

from .body import ReadableBody

ACCEPTED_CODINGS = "gzip, deflate"
_MOST_CODINGS = 3  # each can stand for a thousand times as many bytes

_BY_HEADER = zlib.MAX_WBITS | 32  # gzip or zlib, by their first bytes
_FED_AT_ONCE = 16 * 1024  # bytes: they can hold 800 empty members, each of which costs some microseconds
_INFLATED_AT_ONCE = 64 * 1024  # bytes: less than a millisecond, also for whoever gets them
_USUAL_RATIO = 20  # JSON and events that say something seldom compress better


class InflatedBody:
    """A compressed body, decompressed as it is read: gzip, of one member or several, or deflate, also without zlib.

    A few compressed bytes can stand for a thousand times as many. So each step inflates a bounded number of bytes and
    has a checkpoint, and the whole may become `most` bytes, or twenty times what was received if that is more.
    """

    def __init__(self, body: ReadableBody, most: int) -> None:
        self._body = body
        self._most = most
        self._inflater = zlib.decompressobj(_BY_HEADER)
        self._is_new = True  # whether this inflater has not seen a byte yet
        self._held = b""  # given back by the inflater
        self._waiting = memoryview(b"")  # received, and not yet fed
        self._is_full = False  # the inflater may have more, without being fed
        self._received = self._inflated = 0

    async def read(self) -> bytes:
        """Return the next bytes, `b""` at the end. If this is cancelled, nothing is lost.

        Raises:
            APIResponseValidationError: it is not compressed as its header says, or inflates to too much.
            httpx.ReadError: it ended in the middle.
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
        """Have a bounded number of bytes ready for the inflater. Return whether the body has ended."""
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
        """How many bytes came, before any decompression."""
        return self._body.received if isinstance(self._body, InflatedBody) else self._received

    def _check_ratio(self) -> None:
        if self._inflated > _USUAL_RATIO * self.received:
            raise APIResponseValidationError(
                f"the response is compressed, and its first {self.received} bytes inflate to more than {self._most}; "
                "if they may, make the client with a larger max_event_bytes=..."
            )

    def _inflate(self, compressed: bytes) -> bytes:
        if self._inflater.eof and compressed:  # another member
            self._inflater, self._is_new = zlib.decompressobj(_BY_HEADER), True
        try:
            data = self._inflater.decompress(compressed, _INFLATED_AT_ONCE)
        except zlib.error as error:
            if self._is_new and (compressed[0] & 0x0F) != 8:
                self._inflater, self._is_new = zlib.decompressobj(-zlib.MAX_WBITS), False
                return self._inflate(compressed)
            raise APIResponseValidationError(f"the answer is not compressed as its header says: {error}") from error
        self._is_new = self._is_new and not compressed
        self._held = self._inflater.unconsumed_tail or self._inflater.unused_data
        return data

    async def aclose(self, *, park: bool = False) -> None:
        """Give up the connection."""
        await self._body.aclose(park=park)

    def close_soon(self) -> None:
        """Give up the connection without waiting."""
        self._body.close_soon()


class UndecodableBody:
    """A body in a coding that is not supported. Reading it raises an error, unless it is empty."""

    def __init__(self, body: ReadableBody, how: str) -> None:
        self._body = body
        self._how = how

    async def read(self) -> bytes:  # noqa: ASYNC910 - as the body below
        """Raise `APIResponseValidationError`, which names the coding."""
        if await self._body.read():
            raise APIResponseValidationError(
                f"the response is encoded {self._how} (content-encoding), which is not supported; trio_openai asks for "
                f"{ACCEPTED_CODINGS} or none, so a proxy or the server ignores accept-encoding"
            )
        return b""  # noqa: ASYNC910

    async def aclose(self, *, park: bool = False) -> None:
        """Give up the connection."""
        await self._body.aclose(park=park)

    def close_soon(self) -> None:
        """Give up the connection without waiting."""
        self._body.close_soon()


def decoded(body: ReadableBody, header: str, most: int) -> ReadableBody:
    """Return a body without the codings of its `content-encoding` header, the last of which was applied last.

    Args:
        body: the body as it is received.
        header: the header's value.
        most: bytes that it may inflate to.
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
    """Return whether this is no coding at all, or a charset that a server has put into the wrong header."""
    if coding in ("", "identity", "none", "binary", "7bit", "8bit"):
        return True
    try:
        return codecs.lookup(coding)._is_text_encoding  # pyright: ignore[reportPrivateUsage]
    except (LookupError, ValueError):
        return False
