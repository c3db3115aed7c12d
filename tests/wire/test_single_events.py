"""Events that come alone take a shorter way, with the same result as all other ways."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from streams import DONE, chunk, sse

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai._wire.decoder import END, NEED_DATA, Decoder
from trio_openai._wire.lifecycle import Decision, Lifecycle
from trio_openai.errors import APIConnectionError, APIError

FIRST = sse(chunk("first"))
USUAL = sse(chunk("usual"))
PIECES = {
    "usual": USUAL,
    "named": sse(chunk("named"), "chat.completion.chunk"),
    "with CRLF": USUAL.replace(b"\n", b"\r\n"),
    "with CR": USUAL.replace(b"\n", b"\r"),
    "without a space": USUAL.replace(b"data: ", b"data:"),
    "with an id": b"id: 7\n" + USUAL,
    "of two lines": b"data: {\ndata: }\n\n",
    "a comment": b": ping\n\n",
    "empty lines": b"\n\n",
    "null": b"data: null\n\n",
    "the end": DONE,
    "an error": sse({"error": {"message": "no"}}),
    "an error after a choice": sse(chunk("!", finish="error", error={"code": 502, "message": "gone"})),
    "a long integer": sse(chunk("big", created=2**70)),
    "not JSON": b"data: {]\n\n",
    "two": USUAL + USUAL,
    "two with a name": 2 * sse(chunk("named"), "chat.completion.chunk"),
    "two with other names": sse(chunk("named"), "chat.completion.chunk") + sse(chunk("other"), "other"),
    "three, of which one has two lines": USUAL + b"data: {\ndata: }\n\n" + USUAL,
    "the end of one and the beginning of another": USUAL + USUAL + USUAL[:20],
    "the beginning of one": USUAL[:20],
    "one and the beginning of another": USUAL + USUAL[:20],
    "words of a proxy": b"upstream failed\n\n",
}


def outcome(
    pieces: list[bytes], pull: Callable[[Decoder[Any], int], bool], protocol: Callable[[], Any]
) -> list[object]:
    """Return the events and the end of a body whose events are pulled as `pull` says, and all of them at the end."""
    decoder: Decoder[Any] = Decoder(protocol(), content_type="text/event-stream")
    seen: list[object] = []
    for number, piece in enumerate(pieces):
        decoder.receive_data(piece)
        if pull(decoder, number):
            _pull(decoder, seen)
    decoder.receive_end()
    _pull(decoder, seen)
    return [*seen, decoder.protocol.snapshot().raw, decoder.ended_by]


def _pull(decoder: Decoder[Any], seen: list[object]) -> None:
    while not (seen and isinstance(seen[-1], str)):
        try:
            event = decoder.next_event()
        except APIError as error:
            seen.append(f"{type(error).__name__}: {error}")
            return
        if event is END or (event is NEED_DATA and not decoder.has_more):
            return
        if event is not NEED_DATA:
            seen.append(event.raw)


@pytest.mark.promise(n=5)
@pytest.mark.parametrize("kinds", list(itertools.product(PIECES, repeat=2)), ids=" then ".join)
def test_result_does_not_depend_on_when_events_are_pulled(kinds: tuple[str, ...]) -> None:
    pieces = [FIRST, *(PIECES[kind] for kind in kinds), USUAL]
    at_once = outcome([b"".join(pieces)], lambda *_: True, ChatProtocol)
    assert outcome(pieces, lambda *_: True, ChatProtocol) == at_once
    assert outcome(pieces, lambda decoder, number: number % 2 == 0, ChatProtocol) == at_once
    assert outcome(pieces, lambda *_: False, ChatProtocol) == at_once


@pytest.mark.promise(n=4)
def test_terminal_event_that_comes_alone_ends_the_stream() -> None:
    created = sse({"type": "response.created", "response": {"id": "r1", "output": []}}, "response.created")
    completed = sse({"type": "response.completed", "response": {"id": "r1", "output": []}}, "response.completed")
    at_once = outcome([created + completed], lambda *_: True, ResponseProtocol)
    assert outcome([created, completed], lambda *_: True, ResponseProtocol) == at_once
    assert at_once[-1] == "terminal_event"


def test_lifecycle_reads_at_once_after_an_event_that_came_alone() -> None:
    lifecycle: Lifecycle[Any, Any] = Lifecycle(ChatProtocol)
    lifecycle.receive_head("text/event-stream")
    lifecycle.receive_data(FIRST)
    assert lifecycle.next().raw == chunk("first")
    lifecycle.receive_data(USUAL)
    assert lifecycle.next().raw == chunk("usual")
    assert lifecycle.decoder.is_dry
    assert lifecycle.next() is Decision.READ
    lifecycle.receive_data(USUAL)
    lifecycle.fail(APIConnectionError("late"))
    assert lifecycle.next() is Decision.RELEASE
    lifecycle.released(0.0, 0.0, 0.0)
    assert lifecycle.next() is Decision.FAIL
    assert lifecycle.decoder.events == 2
