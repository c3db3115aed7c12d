"""The complete parts of recorded streams, compared with the final snapshots and with the events of openai.

The bodies are those of `test_differential.py`: this project's own, and the recordings that `TRIO_OPENAI_CORPUS` names.
"""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import httpx
import pytest
import trio
from delta_helpers import check_parts
from test_corpus import files
from test_differential import OWN, Body

from trio_openai import APIError, TrioOpenAI
from trio_openai.types import ContentDone, ReasoningDone, RefusalDone, ToolCallDone

bodies = pytest.mark.parametrize("name", [*OWN, *files()])


async def heard_of(body: Body) -> tuple[list[Any], Any]:
    """Return the deltas of each part, and the final snapshot, which is None if the stream failed."""
    headers = {"content-type": "text/event-stream"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=body.content))
    http = httpx.AsyncClient(transport=transport)
    heard: list[Any] = []
    async with TrioOpenAI(api_key="k", http_client=http, max_retries=0) as client:
        opened: Any = (
            client.chat.completions.stream(model="m", messages=[])
            if body.kind == "chat"
            else client.responses.stream(model="m", input="")
        )
        async with opened as stream:
            try:
                async for delta in stream.deltas:
                    heard.append(delta)
            except APIError:
                return heard, None
            return heard, stream.snapshot


def texts(heard: list[Any], kind: type[Any], choice: int = 0) -> str:
    return "".join(done.text for done in heard if isinstance(done, kind) and done.choice == choice)


def calls(heard: list[Any], choice: int = 0) -> list[tuple[Any, ...]]:
    made = [done for done in heard if isinstance(done, ToolCallDone) and done.choice == choice]
    return sorted(((done.id, done.name, done.arguments) for done in made), key=repr)


def check_chat(heard: list[Any], completion: Any) -> None:
    for choice in completion.choices:
        message, index = choice.message, choice.index
        assert texts(heard, ContentDone, index) == (message.content or "")
        assert texts(heard, RefusalDone, index) == (message.refusal or "")
        assert texts(heard, ReasoningDone, index) == (message.reasoning_content or message.reasoning or "")
        tools = [(call, call.custom or call.function) for call in message.tool_calls or ()]
        expected = [(call.id, tool.name, (tool.input if call.custom else tool.arguments) or "") for call, tool in tools]
        assert calls(heard, index) == sorted(expected, key=repr)


def check_response(heard: list[Any], response: Any) -> None:
    assert texts(heard, ContentDone) == response.output_text
    expected: list[tuple[Any, ...]] = []
    reasoning = ""
    for item in response.output:
        if item.type == "reasoning":
            reasoning += "".join(part.text for part in [*(item.summary or []), *(item.content or [])])
        elif item.type in ("function_call", "custom_tool_call", "mcp_call"):
            arguments = item.input if item.type == "custom_tool_call" else item.arguments
            expected.append((item.id if item.type == "mcp_call" else item.call_id, item.name, arguments))
    assert calls(heard) == sorted(expected, key=repr)
    assert texts(heard, ReasoningDone) == reasoning


@bodies
def test_the_deltas_of_a_recording_add_up_to_its_snapshot(name: str) -> None:
    body = Body.of(name)
    heard, whole = trio.run(heard_of, body)
    check_parts(heard)
    if whole is not None:
        (check_chat if body.kind == "chat" else check_response)(heard, whole)


def theirs(body: Body) -> list[tuple[Any, ...]]:
    """Return the parts that openai reports as done."""
    import httpx2
    import openai

    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=body.content))
    done: list[tuple[Any, ...]] = []
    with openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0) as client:
        opened: Any = (
            client.chat.completions.stream(model="m", messages=[])
            if body.kind == "chat"
            else client.responses.stream(model="m", input="")
        )
        with opened as stream:
            for event in stream:
                if event.type in ("content.done", "response.output_text.done"):
                    done.append(("content", event.content if body.kind == "chat" else event.text))
                elif event.type in ("refusal.done", "response.refusal.done"):
                    done.append(("refusal", event.refusal))
                elif event.type == "tool_calls.function.arguments.done":
                    done.append(("call", event.index, event.arguments or ""))
                elif event.type == "response.function_call_arguments.done":
                    done.append(("call", event.output_index, event.arguments))
    return done


def ours(heard: list[Any]) -> list[tuple[Any, ...]]:
    done: list[tuple[Any, ...]] = []
    for part in heard:
        if isinstance(part, ContentDone | RefusalDone):
            done.append((part.type.removesuffix(".done"), part.text))
        elif isinstance(part, ToolCallDone) and part.kind == "function":
            done.append(("call", part.index, part.arguments))
    return done


def is_early(done: tuple[Any, ...]) -> bool:
    """Return whether openai reported a tool call with incomplete arguments, as it does when another call begins."""
    try:
        json.loads(done[2] if done[0] == "call" else "0")
    except ValueError:
        return True
    return False


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="openai is not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@bodies
def test_both_clients_report_the_same_parts_as_done(name: str) -> None:
    """Compare the complete parts, and allow for three known faults of openai.

    It reports empty texts and incomplete tool calls. It misses tool calls whose `type` is repeated, because it
    concatenates the repetitions, and tool calls that arrive in one chunk with the finish reason.
    """
    body = Body.of(name)
    try:
        other = theirs(body)
    except Exception as error:  # noqa: BLE001 - `test_differential.py` lists the expected errors
        pytest.skip(f"openai fails: {type(error).__name__}")
    made = ours(trio.run(heard_of, body)[0])
    assert [done for done in other if done not in made and done[1:] != ("",) and not is_early(done)] == []
    assert [done for done in made if done not in other and done[0] != "call"] == []
    assert len(made) == len(set(made))
