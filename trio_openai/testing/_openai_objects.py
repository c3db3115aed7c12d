"""OpenAI's JSON objects and events for one chat completion and one response, as plain dicts.

Everything is deterministic (ids, times, token counts), so that tests can compare whole objects. One word is one token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

CREATED = 1_700_000_000
_FINGERPRINT = "fp_scripted"


def words(text: str) -> list[str]:
    """Split text into words, each with the white space after it. Joined, they give the text again."""
    return re.findall(r"\S+\s*|\s+", text)


def chat_usage(prompt_tokens: int, completion_tokens: int) -> Json:
    """Return the `usage` object of a chat completion."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat_completion(text: str, *, completion_id: str, model: str, finish_reason: str, prompt_tokens: int) -> Json:
    """Return a chat completion that is not streamed."""
    message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": chat_usage(prompt_tokens, len(words(text))),
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }


def chat_chunks(
    text: str, *, completion_id: str, model: str, finish_reason: str, prompt_tokens: int, usage: bool
) -> Iterator[Json]:
    """Yield the chunks of a streamed chat completion: the role, one chunk per word, the finish reason, the usage.

    As OpenAI does, set `usage` to null on every chunk before the last if usage was requested, and leave it out if not.
    """
    base: Json = {
        "id": completion_id,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }
    null_usage: Json = {"usage": None} if usage else {}

    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**base, "choices": [choice], **null_usage}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for word in words(text):
        yield chunk({"content": word})
    yield chunk({}, finish_reason)
    if usage:
        yield {**base, "choices": [], "usage": chat_usage(prompt_tokens, len(words(text)))}


def response_usage(input_tokens: int, output_tokens: int) -> Json:
    """Return the `usage` object of a response."""
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }


def response_object(*, response_id: str, model: str, status: str, output: list[Json], usage: Json | None) -> Json:
    """Return a Response in the given status."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }


def _text_part(text: str) -> Json:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _message_item(response_id: str, status: str, content: list[Json]) -> Json:
    return {"id": _item_id(response_id), "type": "message", "status": status, "role": "assistant", "content": content}


def _item_id(response_id: str) -> str:
    return "msg_" + response_id.removeprefix("resp_")


def whole_response(text: str, *, response_id: str, model: str, prompt_tokens: int) -> Json:
    """Return a completed Response whose output is one message with one text."""
    return response_object(
        response_id=response_id,
        model=model,
        status="completed",
        output=[_message_item(response_id, "completed", [_text_part(text)])],
        usage=response_usage(prompt_tokens, len(words(text))),
    )


def response_events(text: str, *, response_id: str, model: str, prompt_tokens: int) -> Iterator[Json]:
    """Yield the events of a streamed Response with one message, numbered from 0."""
    for number, event in enumerate(_unnumbered_events(text, response_id, model, prompt_tokens)):
        yield {"type": event.pop("type"), "sequence_number": number, **event}


def _unnumbered_events(text: str, response_id: str, model: str, prompt_tokens: int) -> Iterator[Json]:
    started = response_object(response_id=response_id, model=model, status="in_progress", output=[], usage=None)
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    item = _message_item(response_id, "in_progress", [])
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield from _text_events(text, _item_id(response_id))
    completed = whole_response(text, response_id=response_id, model=model, prompt_tokens=prompt_tokens)
    yield {"type": "response.output_item.done", "output_index": 0, "item": completed["output"][0]}
    yield {"type": "response.completed", "response": completed}


def _text_events(text: str, item_id: str) -> Iterator[Json]:
    place = {"item_id": item_id, "output_index": 0, "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _text_part("")}
    for word in words(text):
        yield {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _text_part(text)}
