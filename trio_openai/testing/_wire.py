"""A reply as what is written: its head, its body's steps in their framing, its end. Pure; nothing here waits."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from trio_openai.testing._replies import Framing, Pause, Reply, Step
from trio_openai.testing._requests import Incoming

_END_OF_CHUNKS = b"0\r\n\r\n"


def wire_steps(reply: Reply, incoming: Incoming) -> Iterator[Step]:
    """What to do for a reply, each `bytes` being one write.

    The end of a chunked body goes out in the write of the last step if that is `bytes`, so a peer that has read the
    last event has been sent the whole reply and may leave without that being a disconnect.
    """
    if reply.delay:
        yield Pause(reply.delay)
    framing = _framing(reply, incoming)
    if framing != "raw":
        yield _head(reply, framing, incoming)
    if framing == "raw" or _has_body(reply, incoming):
        yield from _chunked(reply.body) if framing == "chunked" else _plain(reply.body)


def keeps_connection(reply: Reply, incoming: Incoming) -> bool:
    """Whether another request may come over the same connection once the reply has been written to its end."""
    said_close = any(name.lower() == "connection" and "close" in value.lower() for name, value in reply.headers)
    framing = _framing(reply, incoming)
    return incoming.keep_alive and framing != "close" and not reply.close_after and not said_close


def _framing(reply: Reply, incoming: Incoming) -> Framing:
    """HTTP/1.0 has no chunks."""
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
    steps = list(_plain(body))  # without the empty ones: a chunk of no bytes would end the body
    for number, step in enumerate(steps, start=1):
        end = _END_OF_CHUNKS if number == len(steps) else b""
        yield b"%x\r\n%b\r\n%b" % (len(step), step, end) if isinstance(step, bytes) else step
    if not steps or not isinstance(steps[-1], bytes):
        yield _END_OF_CHUNKS
