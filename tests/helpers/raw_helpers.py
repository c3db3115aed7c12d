"""Chunks and bodies for the tests of raw responses."""

from __future__ import annotations

from typing import Any

from trio_openai.testing import Reply

OVERLOADED = {"error": {"message": "busy", "type": "overloaded_error", "code": "overloaded_error"}}


def chunk(text: str | None = None, finish: str | None = None) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def body(*parts: Any) -> Reply:
    """Return a streaming reply with the given steps."""
    return Reply(headers={"content-type": "text/event-stream", "x-request-id": "req_1"}, body=parts)
