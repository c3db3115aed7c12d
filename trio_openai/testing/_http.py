"""HTTP/1.1 as the server speaks it: bytes to requests, and a reply to bytes. Nothing here does I/O or waits.

Reading: `RequestParser` takes bytes and hands out requests. Its limits keep a broken test from filling the memory. What
was complete before an error is kept, so requests that arrived in front of garbage are still answered.

Writing: `wire_steps` turns a `Reply` into the steps that the server carries out; each `bytes` is one write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from http import HTTPStatus

import attrs
import httptools

from trio_openai.testing._replies import Framing, Reply
from trio_openai.testing._requests import RecordedRequest
from trio_openai.testing._steps import Pause, Step

MAX_HEADER = 100 * 1024
MAX_BODY = 64 * 1024 * 1024
_END_OF_CHUNKS = b"0\r\n\r\n"


@attrs.frozen
class Incoming:
    """A request, the HTTP version of its sender, and whether the connection can be reused."""

    request: RecordedRequest
    http11: bool
    keep_alive: bool


@attrs.frozen
class Refusal:
    """The error reply to a connection from which no further request can be read."""

    status: int
    message: str


class RequestParser:
    """A pulled parser: feed it bytes, take requests from `complete`, and check `refusal` when that is empty."""

    def __init__(self) -> None:
        self.complete: deque[Incoming] = deque()
        self.refusal: Refusal | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._in_header = False
        self._fed_in_header = 0
        self.on_message_begin()

    def feed(self, data: bytes | bytearray) -> None:
        """Parse bytes from the peer. Bytes after an error are ignored."""
        if self.refusal is not None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request itself is complete and gets a plain reply: a server need not upgrade
        except httptools.HttpParserError as error:
            self._refuse(400, f"That is not HTTP/1.1: {error}")
        # httptools reports a header only when it is complete, so count bytes to notice an endless one.
        self._fed_in_header = self._fed_in_header + len(data) if self._in_header else 0
        if self._fed_in_header > MAX_HEADER:
            self._refuse(431, "The header is too large.")

    def _refuse(self, status: int, message: str) -> None:
        if self.refusal is None:
            self.refusal = Refusal(status, message)

    # The callbacks of httptools.

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


def wire_steps(reply: Reply, incoming: Incoming) -> Iterator[Step]:
    """Return the steps that write a reply; each `bytes` is one write.

    The end of a chunked body is written together with the last step if that is `bytes`. So a peer that has read the
    last event has been sent the whole reply, and may leave without counting as a disconnect.
    """
    if reply.delay:
        yield Pause(reply.delay)
    framing = _framing(reply, incoming)
    if framing != "raw":
        yield _head(reply, framing, incoming)
    if framing == "raw" or _has_body(reply, incoming):
        yield from _chunked(reply.body) if framing == "chunked" else _plain(reply.body)


def keeps_connection(reply: Reply, incoming: Incoming) -> bool:
    """Return whether the connection can carry another request after this reply has been written completely."""
    said_close = any(name.lower() == "connection" and "close" in value.lower() for name, value in reply.headers)
    framing = _framing(reply, incoming)
    return incoming.keep_alive and framing != "close" and not reply.close_after and not said_close


def _framing(reply: Reply, incoming: Incoming) -> Framing:
    """Return the framing to use. HTTP/1.0 has no chunks, so there the end of the connection ends the body."""
    return "close" if reply.framing == "chunked" and not incoming.http11 else reply.framing


def _has_body(reply: Reply, incoming: Incoming) -> bool:
    return incoming.request.method != "HEAD" and reply.status not in (204, 304)


def _head(reply: Reply, framing: Framing, incoming: Incoming) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {_reason(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    if framing == "close" or not incoming.keep_alive:
        lines.append("connection: close")
    if framing == "chunked" and _has_body(reply, incoming):
        lines.append("transfer-encoding: chunked")
    elif framing == "length" and _has_body(reply, incoming):
        lines.append(f"content-length: {reply.length() if reply.content_length is None else reply.content_length}")
    return "\r\n".join([*lines, "", ""]).encode()


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _plain(body: tuple[Step, ...]) -> Iterator[Step]:
    yield from (step for step in body if step != b"")


def _chunked(body: tuple[Step, ...]) -> Iterator[Step]:
    steps = list(_plain(body))  # without empty steps, because an empty chunk would end the body
    for number, step in enumerate(steps, start=1):
        end = _END_OF_CHUNKS if number == len(steps) else b""
        yield b"%x\r\n%b\r\n%b" % (len(step), step, end) if isinstance(step, bytes) else step
    if not steps or not isinstance(steps[-1], bytes):
        yield _END_OF_CHUNKS
