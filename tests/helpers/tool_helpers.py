"""Helpers for the tests of tools: chunks and events of answers that call tools, and functions to call."""

from __future__ import annotations

import json
from typing import Any

import trio

from trio_openai import ToolRun
from trio_openai.testing import Reply

QUESTION = [{"role": "user", "content": "What is it?"}]
CHAT: dict[str, Any] = {"model": "m", "messages": QUESTION}
RESPONSE: dict[str, Any] = {"model": "m", "input": "What is it?"}
ANSWER = Reply.chat("It is done.")


async def nap(seconds: float) -> str:
    """Sleep."""
    await trio.sleep(seconds)
    return f"slept {seconds}"


def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "id": "c", "model": "m", "created": 1, "choices": [choice]}


def piece(index: int, text: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a chunk with a piece of a call. The first piece of a call has a name."""
    call: dict[str, Any] = {"index": index, "function": {"arguments": text}, **more}
    if name is not None:
        call |= {"id": f"call_{index}", "type": "function"}
        call["function"]["name"] = name
    return chunk({"tool_calls": [call]})


def end(reason: str = "tool_calls") -> dict[str, Any]:
    return chunk({}, reason)


def calling(*calls: tuple[str, dict[str, Any]]) -> Reply:
    """Return a chat stream that calls functions, one after the other."""
    return Reply.sse(*(piece(n, json.dumps(arguments), name) for n, (name, arguments) in enumerate(calls)), end())


def function_item(index: int, name: str, arguments: dict[str, Any] | str) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    named = {"id": f"fc_{index}", "call_id": f"call_{index}", "name": name}
    return {"type": "function_call", **named, "arguments": text, "status": "completed"}


def item_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of an output item, from its start to its end."""
    begun = {**item, "arguments": "", "status": "in_progress"} if "arguments" in item else item
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def completed(output: list[dict[str, Any]], status: str = "completed", name: str = "resp_1") -> dict[str, Any]:
    response = {"id": name, "object": "response", "status": status, "output": output}
    return {"type": f"response.{status}", "response": response}


def response_calling(*items: dict[str, Any], name: str = "resp_1") -> Reply:
    """Return a response stream with these output items."""
    events = [event for index, item in enumerate(items) for event in item_events(index, item)]
    return Reply.sse(*events, completed(list(items), name=name), done=False)


class WorkError(Exception):
    pass


async def fail(after: float) -> None:
    await trio.sleep(after)
    raise WorkError("no luck")


def kinds(events: list[Any]) -> list[str]:
    return [event.type for event in events if event.type != "round.event"]


async def all_of(run: ToolRun[Any]) -> list[Any]:
    return [event async for event in run]
