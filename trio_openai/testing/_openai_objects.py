"""OpenAI's JSON objects and events for one chat completion and one response, as plain dicts.

Everything is deterministic (ids, times, token counts), so that tests can compare whole objects. One word is one token.
An `Answer` is what the model says: text, calls of functions, or both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import attrs

Json: TypeAlias = dict[str, Any]
CallItem: TypeAlias = tuple[str, Mapping[str, Any] | str] | tuple[str, Mapping[str, Any] | str, str]
"""A call of a function: its name, its arguments (an object, or the JSON text itself), and maybe its id."""

CREATED = 1_700_000_000
_FINGERPRINT = "fp_scripted"


def words(text: str) -> list[str]:
    """Split text into words, each with the white space after it. Joined, they give the text again."""
    return re.findall(r"\S+\s*|\s+", text)


@attrs.frozen
class ScriptedCall:
    """A call of a function, as a model makes it.

    Attributes:
        name: The name of the function.
        arguments: Its arguments as JSON text, which need not be valid.
        id: The id that the result must name.
    """

    name: str
    arguments: str
    id: str


@attrs.frozen
class Answer:
    """The answer of a model: a text, then calls."""

    text: str
    calls: tuple[ScriptedCall, ...] = ()

    def tokens(self) -> int:
        """Return the number of words, including those of the arguments."""
        return sum(len(words(text)) for text in (self.text, *(call.arguments for call in self.calls)))


_CALL_EXAMPLE = 'such as Reply.tool_calls(("add", {"a": 1, "b": 2}))'


def made_calls(items: tuple[CallItem, ...]) -> tuple[ScriptedCall, ...]:
    """Check calls, and return them with their arguments as text.

    Raises:
        TypeError, ValueError: There is no call, or one has another form.
    """
    if not items:
        raise ValueError(f"tool_calls needs a call, {_CALL_EXAMPLE}")
    return tuple(_made_call(number, item) for number, item in enumerate(items, start=1))


def _made_call(number: int, item: Any) -> ScriptedCall:
    given: tuple[Any, ...] = item if isinstance(item, tuple) else ()  # pyright: ignore[reportUnknownVariableType]
    if len(given) not in (2, 3):
        raise TypeError(f"a call is a tuple of a name and arguments, {_CALL_EXAMPLE}, not {item!r}")
    name, arguments, call_id = (*given, f"call_{number}")[:3]
    if not isinstance(arguments, (str, Mapping)):
        raise TypeError(f"the arguments of a call are a mapping or text, {_CALL_EXAMPLE}, not {arguments!r}")
    return ScriptedCall(name, arguments if isinstance(arguments, str) else json.dumps(arguments), call_id)


def _pieces(arguments: str) -> list[str]:
    """Split arguments the way they are streamed: a few characters at a time."""
    return re.findall(r"(?s).{1,8}", arguments)


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


def chat_completion(answer: Answer, *, completion_id: str, model: str, finish_reason: str, prompt_tokens: int) -> Json:
    """Return a chat completion that is not streamed."""
    text = answer.text if answer.text or not answer.calls else None
    message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    if answer.calls:
        message["tool_calls"] = [_chat_call(call, call.arguments) for call in answer.calls]
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": chat_usage(prompt_tokens, answer.tokens()),
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }


def _chat_call(call: ScriptedCall, arguments: str) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def chat_chunks(
    answer: Answer, *, completion_id: str, model: str, finish_reason: str, prompt_tokens: int, usage: bool
) -> Iterator[Json]:
    """Yield the chunks of a streamed chat completion: the role, one per word, the calls, the finish reason, the usage.

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

    for delta in _chat_deltas(answer):
        yield chunk(delta)
    yield chunk({}, finish_reason)
    if usage:
        yield {**base, "choices": [], "usage": chat_usage(prompt_tokens, answer.tokens())}


def _chat_deltas(answer: Answer) -> Iterator[Json]:
    yield {"role": "assistant", "content": None if answer.calls and not answer.text else "", "refusal": None}
    for word in words(answer.text):
        yield {"content": word}
    for index, call in enumerate(answer.calls):
        yield {"tool_calls": [{"index": index, **_chat_call(call, "")}]}
        for piece in _pieces(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


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


def _message_item(response_id: str, text: str) -> Json:
    item_id = "msg_" + response_id.removeprefix("resp_")
    content = [_text_part(text)]
    return {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": content}


def _call_item(response_id: str, number: int, call: ScriptedCall) -> Json:
    item_id = f"fc_{response_id.removeprefix('resp_')}_{number}"
    said = {"arguments": call.arguments, "call_id": call.id, "name": call.name}
    return {"id": item_id, "type": "function_call", "status": "completed", **said}


def whole_response(answer: Answer, *, response_id: str, model: str, prompt_tokens: int) -> Json:
    """Return a completed Response. Its output is a message with the text, if there is one, and the calls."""
    output: list[Json] = []
    if answer.text or not answer.calls:
        output.append(_message_item(response_id, answer.text))
    output += [_call_item(response_id, number, call) for number, call in enumerate(answer.calls)]
    return response_object(
        response_id=response_id,
        model=model,
        status="completed",
        output=output,
        usage=response_usage(prompt_tokens, answer.tokens()),
    )


def response_events(answer: Answer, *, response_id: str, model: str, prompt_tokens: int) -> Iterator[Json]:
    """Yield the events of a streamed Response, numbered from 0."""
    for number, event in enumerate(_unnumbered_events(answer, response_id, model, prompt_tokens)):
        yield {"type": event.pop("type"), "sequence_number": number, **event}


def _unnumbered_events(answer: Answer, response_id: str, model: str, prompt_tokens: int) -> Iterator[Json]:
    started = response_object(response_id=response_id, model=model, status="in_progress", output=[], usage=None)
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    completed = whole_response(answer, response_id=response_id, model=model, prompt_tokens=prompt_tokens)
    for index, item in enumerate(completed["output"]):
        empty: Json = {"arguments": ""} if item["type"] == "function_call" else {"content": []}
        added = {**item, "status": "in_progress", **empty}
        yield {"type": "response.output_item.added", "output_index": index, "item": added}
        yield from _item_events(item, {"item_id": item["id"], "output_index": index})
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": completed}


def _item_events(item: Json, place: Json) -> Iterator[Json]:
    if item["type"] == "function_call":
        yield from _call_events(item["arguments"], place)
    else:
        yield from _text_events(item["content"][0]["text"], {**place, "content_index": 0})


def _call_events(arguments: str, place: Json) -> Iterator[Json]:
    for piece in _pieces(arguments):
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    yield {"type": "response.function_call_arguments.done", **place, "arguments": arguments}


def _text_events(text: str, place: Json) -> Iterator[Json]:
    yield {"type": "response.content_part.added", **place, "part": _text_part("")}
    for word in words(text):
        yield {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _text_part(text)}
