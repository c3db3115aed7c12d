"""A request as bytes, for our own transport alone.

An `httpx.Request` passes through any HTTP client, but building and sending one takes 200 µs of CPU: half of a short
call. Nearly all of its head is the same for every call of a client to one endpoint. So a `RawHead` is made once, from
an `httpx.Request`, and each call adds the key, the length and the body. What the server gets is the same.

A request to a foreign client, through a proxy, or with headers or a query of its own is an `httpx.Request`.
`content_of` and `origin_of` take either kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import attrs

from trio_openai._httpx import httpx, is_in_memory

from .byte_streams import Origin
from .http1 import Headers, check_headers, serialize


class HiddenPairs(tuple[tuple[bytes, bytes], ...]):
    """Headers as pairs of bytes, whose `repr` shows only their names: one of them may be the key."""

    __slots__ = ()

    @property
    def raw(self) -> Headers:
        """The headers, in the form of `httpx.Headers.raw`."""
        return list(self)

    def __repr__(self) -> str:
        return f"<headers {', '.join(repr(name) for name, _ in self)}>"


@attrs.frozen(eq=False, repr=False)
class RawHead:
    """The part of a request's head that is the same for every call of a client to one endpoint.

    Attributes:
        method: the HTTP method.
        url: the URL.
        origin: the server.
        headers: all headers except the key's and the length's.
        has_body: whether the request has a body, whose length is a header.
        start: the request line and these headers, as bytes.
        names: the names of these headers, in lower case.
    """

    method: str
    url: httpx.URL
    origin: Origin
    headers: HiddenPairs
    has_body: bool
    start: memoryview  # the repr of a memoryview does not show what may be secret
    names: frozenset[bytes]

    @classmethod
    def of(cls, request: httpx.Request, *, has_body: bool) -> RawHead:
        """Make the head of a request without its key, from one request.

        Raises:
            ValueError: a header or the URL has a character that HTTP forbids.
        """
        pairs = HiddenPairs(
            pair for pair in request.headers.raw if not (has_body and pair[0].lower() == b"content-length")
        )
        start = memoryview(serialize(request.method, request.url.raw_path, pairs))[:-2]
        names = frozenset(name.lower() for name, _ in pairs)
        return cls(request.method, request.url, origin_of(request), pairs, has_body, start, names)

    def has(self, name: str) -> bool:
        """Return whether there is a header of this name."""
        return name.lower().encode() in self.names

    def as_httpx(self, length: int) -> httpx.Request:
        """Return an `httpx.Request` with this head, without a body and a key."""
        more = [(b"Content-Length", b"%d" % length)] if self.has_body else []
        return httpx.Request(self.method, self.url, headers=[*self.headers, *more])


class RawRequest:
    """A request that `TrioTransport.open` sends.

    Attributes:
        head: what it shares with other requests.
        content: the body.
        extensions: as those of an `httpx.Request`.
    """

    __slots__ = ("_key", "content", "extensions", "head")

    def __init__(self, head: RawHead, key: HiddenPairs, content: bytes, extensions: dict[str, Any]) -> None:
        check_headers(key)
        self.head: RawHead = head
        self._key = key  # no pair, or one
        self.content: bytes = content
        self.extensions: dict[str, Any] = extensions

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.head.method

    @property
    def url(self) -> httpx.URL:
        """The URL."""
        return self.head.url

    def as_httpx(self) -> httpx.Request:
        """Return the same request as an `httpx.Request`."""
        length = [(b"Content-Length", b"%d" % len(self.content))] if self.head.has_body else []
        headers = [*self.head.headers, *length, *self._key]
        return httpx.Request(self.method, self.url, headers=headers, content=self.content)

    def serialized(self) -> memoryview:
        """Return the head as bytes."""
        length = b"Content-Length: %d\r\n" % len(self.content) if self.head.has_body else b""
        key = [b"%b: %b\r\n" % pair for pair in self._key]
        return memoryview(b"".join((self.head.start, length, *key, b"\r\n")))


def content_of(request: httpx.Request | RawRequest) -> bytes | None:
    """Return the body of a request, or None if it is produced while it is sent."""
    if isinstance(request, RawRequest):
        return request.content
    return b"".join(cast("Iterable[bytes]", request.stream)) if is_in_memory(request) else None


def origin_of(request: httpx.Request | RawRequest) -> Origin:
    """Return the scheme, host and port that a request goes to."""
    if isinstance(request, RawRequest):
        return request.head.origin
    url = request.url
    return url.raw_scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80)
