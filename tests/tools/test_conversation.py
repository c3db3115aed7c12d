"""The request of the next round, for unusual servers and programs."""

from __future__ import annotations

from typing import Any

import pytest

from trio_openai._tools.conversation import ChatToolConversation, ResponseToolConversation, is_complete
from trio_openai.types import ChatCompletion, ChatCompletionMessage, Choice, Response, ToolCallDone
from trio_openai.types._fields import hook_for


def chat(**message: Any) -> ChatCompletion:
    return ChatCompletion(choices=[Choice(index=0, message=ChatCompletionMessage(role="assistant", **message))])


def test_the_passed_messages_are_not_modified() -> None:
    given = [{"role": "user", "content": "Hi"}]
    conversation = ChatToolConversation({"model": "m", "messages": given})
    asked = conversation.request()
    conversation.add(chat(content="Hello"), [])
    assert given == asked["messages"] == [{"role": "user", "content": "Hi"}]
    assert conversation.messages == [*given, {"role": "assistant", "content": "Hello"}]


def test_an_answer_without_a_choice_adds_no_message() -> None:
    conversation = ChatToolConversation({"messages": []})
    conversation.add(ChatCompletion(), [])
    assert conversation.messages == []


def test_a_call_without_an_id_gets_one_that_its_output_refers_to() -> None:
    conversation = ChatToolConversation({"messages": []})
    calls = [ToolCallDone(None, "add", "{}", part=part) for part in range(2)]
    conversation.add(chat(), [(call, "x") for call in calls])
    message, *outputs = conversation.messages
    ids = [call["id"] for call in message["tool_calls"]]
    assert len(set(ids)) == 2
    assert [output["tool_call_id"] for output in outputs] == ids


def test_unknown_fields_of_a_call_are_sent_back() -> None:
    """Gemini refuses a conversation without its `extra_content`."""
    extra = {"extra_content": {"google": {"thought_signature": "abc"}}}
    conversation = ChatToolConversation({"messages": []})
    conversation.add(chat(), [(ToolCallDone("c1", "add", "{}", extra=extra), "x")])
    assert conversation.messages[0]["tool_calls"] == [
        {**extra, "id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    ]


def test_refusal_and_reasoning_details_are_sent_back() -> None:
    conversation = ChatToolConversation({"messages": []})
    conversation.add(chat(refusal="No.", reasoning_details=[{"type": "x"}]), [])
    assert conversation.messages == [
        {"role": "assistant", "content": None, "refusal": "No.", "reasoning_details": [{"type": "x"}]}
    ]


@pytest.mark.parametrize(
    ("choice", "kept"),
    [
        ("required", False),
        ({"type": "function", "function": {"name": "add"}}, False),
        ({"type": "custom", "name": "add"}, False),
        ("auto", True),
        ("none", True),
        ({"type": "allowed_tools"}, True),
    ],
)
def test_tool_choice_that_forces_a_call_is_sent_only_once(choice: Any, *, kept: bool) -> None:
    for conversation in (
        ChatToolConversation({"messages": [], "tool_choice": choice}),
        ResponseToolConversation({"tool_choice": choice}),
    ):
        assert conversation.request()["tool_choice"] == choice
        conversation.add(chat() if isinstance(conversation, ChatToolConversation) else Response(), [])
        assert ("tool_choice" in conversation.request()) == kept


def test_a_response_without_input_starts_with_empty_input() -> None:
    conversation = ResponseToolConversation({"previous_response_id": "resp_0"})
    assert conversation.request()["input"] == []
    response: Response = hook_for(Response)({"output": [{"type": "message"}]}, None)
    conversation.add(response, [])
    assert conversation.request() == {
        "previous_response_id": "resp_0",
        "input": [],
    }  # without an id, the next request has no previous response
    assert conversation.messages == [{"type": "message"}]


def test_input_items_are_kept_unchanged() -> None:
    items = [{"role": "user", "content": "Hi"}]
    assert ResponseToolConversation({"input": iter(items)}).request()["input"] == items


@pytest.mark.parametrize(
    ("kind", "arguments", "whole"),
    [
        ("function", '{"a": 1}', True),
        ("function", "{}", True),
        ("function", "", False),
        ("function", '{"a": ', False),
        ("function", '"a"', False),
        ("custom", "{}", False),
    ],
)
def test_which_calls_count_as_complete_after_a_cut_off_answer(kind: Any, arguments: str, *, whole: bool) -> None:
    assert is_complete(ToolCallDone("id", "name", arguments, kind)) is whole
