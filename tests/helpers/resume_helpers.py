"""A background response whose connection breaks, and which can be resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trio_openai.testing import Cut, RecordedRequest, Reply

ASK: dict[str, Any] = {"model": "m", "input": "Hi", "background": True}

WORDS = [f"word{number} " for number in range(8)]


def events() -> list[dict[str, Any]]:
    """Return the events of a complete stream. `sequence_number` counts from 0."""
    item = {"id": "i", "type": "message", "role": "assistant", "content": []}
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    made: list[dict[str, Any]] = [
        {"type": "response.created", "response": {"id": "resp_1", "status": "queued", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        *({"type": "response.output_text.delta", "delta": word, **place} for word in WORDS),
        {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": []}},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(made)]


ALL = events()


def server_that_breaks(*cuts: int, fault: Any = None, back: int = 0) -> Callable[[RecordedRequest], Reply]:
    """Return a script that breaks each reply after so many events. A resumed reply begins `back` events too early."""
    left = list(cuts)

    def script(request: RecordedRequest) -> Reply:
        begin = 0
        if request.method == "GET":
            path, _, query = request.target.partition("?")
            assert path == "/v1/responses/resp_1"
            assert "stream=true" in query
            begin = max(0, int(query.partition("starting_after=")[2]) + 1 - back)
        rest = ALL[begin:]
        if not left:
            return Reply.sse(*rest, done=False)
        return Reply.sse(*rest[: left.pop(0)], fault or Cut())

    return script
