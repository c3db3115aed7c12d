"""The result of a tool as the model gets it: text, JSON, or content parts."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from net_helpers import client_over, no_environment, serve
from tool_helpers import ANSWER, CHAT, RESPONSE, calling, function_item, response_calling

from trio_openai import ToolFailed
from trio_openai._tools.output import ToolOutput, chat_parts, joined_text, output_of, response_parts
from trio_openai.testing import Reply

URL = "data:image/png;base64,AAAA"
TEXT, IMAGE = {"type": "input_text", "text": "A cat"}, {"type": "input_image", "image_url": URL, "detail": "auto"}
CHAT_TEXT, CHAT_IMAGE = {"type": "text", "text": "A cat"}, {"type": "image_url", "image_url": {"url": URL}}


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("text", "text"),
        ({"a": 1}, '{"a":1}'),
        ([], "[]"),
        (None, "null"),
        ([TEXT, {"a": 1}], '[{"type":"input_text","text":"A cat"},{"a":1}]'),
        ({"type": "text", "size": 3}, '{"type":"text","size":3}'),
        ({"type": ["text"], "text": "x"}, '{"type":["text"],"text":"x"}'),
        (TEXT, [TEXT]),
        ([TEXT, IMAGE], [TEXT, IMAGE]),
        ((TEXT,), [TEXT]),
        ({"type": "text", "text": "a\udc80"}, [{"type": "text", "text": "a\ufffd"}]),
    ],
)
def test_only_content_parts_are_sent_as_parts(result: object, output: ToolOutput) -> None:
    assert output_of(result) == output


def test_a_pydantic_model_is_sent_as_json() -> None:
    """Check a class of the same shape, since pydantic is not a dependency."""

    class Model:
        @classmethod
        def model_json_schema(cls) -> dict[str, Any]:
            return {}

        def model_dump(self, mode: str) -> dict[str, str]:
            return {"mode": mode}

    assert output_of(Model()) == '{"mode":"json"}'
    assert output_of([Model()]) == '[{"mode":"json"}]'


def test_parts_of_chat_completions_are_translated_for_responses() -> None:
    file = {"type": "file", "file": {"file_id": "file_1", "filename": "a.pdf"}}
    assert response_parts([CHAT_TEXT, CHAT_IMAGE, file]) == [
        TEXT,
        IMAGE,
        {"type": "input_file", "file_id": "file_1", "filename": "a.pdf"},
    ]
    assert response_parts([TEXT, IMAGE]) == [TEXT, IMAGE]


def test_text_parts_of_responses_are_translated_for_chat_completions() -> None:
    assert chat_parts([TEXT]) == [CHAT_TEXT]
    assert joined_text([CHAT_TEXT, CHAT_TEXT]) == "A catA cat"


def picture() -> list[dict[str, Any]]:
    """Draw a cat."""
    return [TEXT, IMAGE]


async def test_responses_get_the_image_that_a_tool_returns(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [response_calling(function_item(0, "picture", {})), Reply.response("Nice.")])
    client, _ = client_over(server)
    async with client, client.responses.run_tools(**RESPONSE, tools=[picture]) as run:
        await run.until_done()
    assert server.requests[1].json()["input"][-1] == {
        "type": "function_call_output",
        "call_id": "call_0",
        "output": [TEXT, IMAGE],
    }


async def test_an_image_in_a_chat_is_an_error_that_says_what_to_use(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [calling(("picture", {})), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[picture]) as run:
        events = [event async for event in run]
    (failed,) = [event for event in events if isinstance(event, ToolFailed)]
    assert isinstance(failed.error, TypeError)
    assert "Chat Completions takes only text from a tool" in str(failed.error)
    assert "use client.responses.run_tools" in str(failed.error)


async def test_a_chat_gets_the_text_parts_that_a_tool_returns(nursery: trio.Nursery) -> None:
    def lines() -> list[dict[str, str]]:
        return [CHAT_TEXT, TEXT]  # type: ignore[list-item]

    server = await serve(nursery, [calling(("lines", {})), ANSWER])
    client, _ = client_over(server)
    async with client, client.chat.completions.run_tools(**CHAT, tools=[lines]) as run:
        await run.until_done()
    assert server.requests[1].json()["messages"][-1]["content"] == [CHAT_TEXT, CHAT_TEXT]
