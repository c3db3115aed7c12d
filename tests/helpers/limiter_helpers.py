"""Replies and prompts for the tests of limiters."""

from __future__ import annotations

from typing import Any

from trio_openai.testing import Pause, RecordedRequest, Reply

USAGE = {"prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100}


def prompt(text: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": str(text)}]


def prompt_of(request: RecordedRequest) -> str:
    return str(request.json()["messages"][0]["content"])


def answer(seconds: float, headers: dict[str, str] | None = None, usage: dict[str, int] = USAGE) -> Reply:
    """Return a stream that takes this long."""
    text = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    end = {"id": "c", "choices": [], "usage": usage}
    return Reply.sse(text, Pause(seconds), end, headers=headers or {})
