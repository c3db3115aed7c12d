"""Wire objects as JSON: what the program changed is in it, and what it did not change is as it came."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import FULL_CHAT, FULL_RESPONSES, ODD_VALUES, Json, any_json, paths, spoiled

from trio_openai._wire.encode import encode_json
from trio_openai.types import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    CustomTool,
    Function,
    NamedEvent,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseStreamEvent,
    ToolCall,
    UnknownEvent,
)
from trio_openai.types._base import WireObject
from trio_openai.types._fields import hook_for

pytestmark = pytest.mark.promise(n=5)

to_event = hook_for(cast("Any", ResponseStreamEvent))
to_item = hook_for(cast("Any", ResponseOutputItem))

MESSAGE: Json = {
    "role": "assistant",
    "content": "old",
    "citations": ["https://example.org"],
    "tool_calls": [
        None,
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}", "strict": True}, "extra": 1},
        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
    ],
}


def message() -> ChatCompletionMessage:
    return cast("ChatCompletionMessage", hook_for(ChatCompletionMessage)(copy.deepcopy(MESSAGE), None))


def sent(value: Any) -> Any:
    """Return what a request contains for a message."""
    return json.loads(encode_json({"model": "m", "messages": [value]}))["messages"][0]


def read_all(value: Any) -> None:
    """Look at every field, at every level."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, WireObject):
            for field in attrs.fields(type(item)):
                read_all(getattr(item, field.name))


def test_an_unchanged_object_is_sent_exactly_as_it_came() -> None:
    made = message()
    read_all(made)
    assert sent(made) == MESSAGE
    assert list(sent(made)) == list(MESSAGE)
    assert made.to_dict() == MESSAGE


def test_an_assigned_field_is_sent_and_unknown_fields_stay() -> None:
    made = message()
    made.content = "new"
    made.refusal = "no"
    assert sent(made) == {**MESSAGE, "content": "new", "refusal": "no"}
    made.content = None
    assert sent(made)["content"] is None


def test_a_nested_change_is_sent() -> None:
    made = message()
    assert made.tool_calls is not None
    made.tool_calls[0].function.arguments = '{"a": 1}'
    call = sent(made)["tool_calls"][0]
    assert call["function"] == {"name": "f", "arguments": '{"a": 1}', "strict": True}
    assert call["extra"] == 1
    assert sent(made)["tool_calls"][1] == MESSAGE["tool_calls"][2]


def test_a_change_by_attrs_evolve_is_sent() -> None:
    changed = attrs.evolve(message(), content="new", tool_calls=None)
    assert sent(changed) == {**MESSAGE, "content": "new", "tool_calls": None}
    assert sent(attrs.evolve(message())) == MESSAGE


def test_items_that_are_added_to_or_taken_out_of_a_list_count() -> None:
    made = message()
    assert made.tool_calls is not None
    made.tool_calls.append(ToolCall(id="c3", type="function", function=Function(name="h", arguments="{}")))
    assert [call["id"] for call in sent(made)["tool_calls"]] == ["c1", "c2", "c3"]
    made.tool_calls.clear()
    assert sent(made)["tool_calls"] == []
    fresh = hook_for(ResponseOutputMessage)({"type": "message", "role": "assistant"}, None)
    fresh.content.append(ResponseOutputText(text="hi"))
    assert fresh.to_dict()["content"] == [{"type": "output_text", "text": "hi", "annotations": []}]


def test_a_changed_item_of_responses_is_sent_within_input() -> None:
    raw = {"type": "message", "id": "m1", "content": [{"type": "output_text", "text": "a", "new": 1}], "phase": "x"}
    item = to_item(raw, None)
    item.content[0].text = "b"
    body = json.loads(encode_json({"input": [item, {"role": "user", "content": [item.content[0]]}]}))
    assert body["input"][0] == {**raw, "content": [{"type": "output_text", "text": "b", "new": 1}]}
    assert body["input"][1]["content"] == [{"type": "output_text", "text": "b", "new": 1}]


def test_an_object_that_the_program_made_has_the_fields_that_are_set() -> None:
    assert ChatCompletionMessage(role="assistant", content="hi").to_dict() == {"role": "assistant", "content": "hi"}
    call = ToolCall(id="c", type="custom", custom=CustomTool(name="g", input="x"))
    assert call.to_dict() == {"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}
    assert ResponseReasoningItem(id="r", summary=[]).to_dict()["summary"] == []
    assert ResponseReasoningItem(id="r").to_dict()["type"] == "reasoning"


@pytest.mark.parametrize(
    "made", [message(), ChatCompletionMessage(role="assistant", content="hi")], ids=["sent", "own"]
)
def test_what_asdict_makes_of_a_message_is_sent_as_the_message_is(made: ChatCompletionMessage) -> None:
    as_dict = attrs.asdict(made)
    body = sent(as_dict)
    assert "raw" not in json.dumps(body)
    assert body["content"] == made.content
    assert body.get("citations") == made.raw.get("citations")
    as_dict["content"] = "new"
    assert sent(as_dict)["content"] == "new"


def test_what_asdict_makes_of_a_part_of_a_message_is_sent_as_the_part_is() -> None:
    calls = [attrs.asdict(call) for call in message().tool_calls or []]
    assert sent({"role": "assistant", "tool_calls": calls})["tool_calls"] == MESSAGE["tool_calls"][1:]
    item = to_item({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}, None)
    assert json.loads(encode_json({"input": [attrs.asdict(item)]}))["input"][0] == item.raw


def test_a_program_may_filter_take_out_and_add_to_what_asdict_made() -> None:
    set_only = attrs.asdict(message(), filter=lambda _, value: value is not None)
    assert sent(set_only) == {**MESSAGE, "tool_calls": MESSAGE["tool_calls"][1:]}
    assert sent({**set_only, "name": "n"})["name"] == "n"
    del set_only["tool_calls"]
    assert sent(set_only) == {name: value for name, value in MESSAGE.items() if name != "tool_calls"}
    own = ChatCompletionMessage(role="assistant", content="hi")
    assert sent({**attrs.asdict(own), "name": "n"}) == {"role": "assistant", "content": "hi", "name": "n"}
    assert sent(attrs.asdict(own, filter=lambda _, value: value is not None)) == own.to_dict()
    assert sent(attrs.asdict(message(), recurse=False))["tool_calls"] == MESSAGE["tool_calls"][1:]


def test_a_field_of_the_program_that_is_called_raw_is_sent() -> None:
    schema = {"type": "object", "properties": {"raw": {"type": "object"}, "type": {"type": "string"}}}
    params = {"tools": [{"type": "function", "function": {"parameters": schema}}], "messages": [{"raw": {"a": 1}}]}
    assert json.loads(encode_json(params)) == params
    tools = [{"name": "f", "input_schema": {"properties": {"raw": {}, "name": {}, "type": {}}}}]
    items = {"input": [{"type": "mcp_list_tools", "tools": tools}, {"type": "x", "data": {"raw": {"a": 1}, "b": 2}}]}
    assert json.loads(encode_json(items)) == items


@pytest.mark.parametrize("raw", FULL_CHAT + FULL_RESPONSES, ids=lambda raw: str(raw.get("type", "chunk")))
def test_reading_changes_nothing_that_is_sent_whatever_the_server_sent(raw: Json) -> None:
    hook = to_event if "type" in raw else hook_for(ChatCompletionChunk)
    for path in list(paths(raw))[1:]:
        for value in ODD_VALUES:
            odd = spoiled(raw, path, value)
            made = hook(odd, None)
            read_all(made)
            assert json.dumps(made.to_dict()) == json.dumps(odd)


@given(st.dictionaries(st.sampled_from(["type", "choices", "usage", "id", "error", "item", "delta"]), any_json))
def test_to_dict_of_any_json_is_that_json(raw: Json) -> None:
    for made in (hook_for(ChatCompletion)(raw, None), to_event(raw, None), to_item(raw, None)):
        before = made.to_dict()
        if raw:
            read_all(made)
        assert json.dumps(made.to_dict()) == json.dumps(before) == json.dumps(raw)
        assert json.dumps(json.loads(made.to_json())) == json.dumps(raw)


def test_to_dict_is_a_copy() -> None:
    made = message()
    made.to_dict()["tool_calls"][1]["function"]["name"] = "changed"
    assert made.raw == MESSAGE
    event = NamedEvent({"a": [1]}, "x")
    event.to_dict()["a"].append(2)
    assert event == {"a": [1]}
    assert event.to_json() == '{"a":[1]}'


def test_to_json_can_be_written_to_a_file_whatever_it_holds() -> None:
    made = hook_for(ChatCompletionMessage)({"content": "é\ud83d", "n": 10**30}, None)
    assert json.loads(made.to_json().encode()) == {"content": "é\ud83d", "n": 10**30}
    assert hook_for(ChatCompletionMessage)({"content": "é"}, None).to_json(indent=1) == '{\n "content": "é"\n}'


def test_deeply_nested_json_does_not_break_to_dict() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    made = hook_for(ChatCompletionMessage)({"content": "a", "deep": deep}, None)
    made.content = "b"
    assert made.to_dict()["content"] == "b"
    with pytest.raises(ValueError, match="nested too deeply"):
        made.to_json()


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("model_dump", r"to_dict\(\)"),
        ("parsed", r"response_format= with a class"),
        ("model_dump_json", r"to_json\(\)"),
        ("dict", r"to_dict\(\)"),
        ("json", r"to_json\(\)"),
        ("copy", "attrs.evolve"),
    ],
)
def test_methods_of_pydantic_are_named_with_what_to_use_instead(name: str, instead: str) -> None:
    for made in (ChatCompletion(), UnknownEvent(), hook_for(ChatCompletionChunk)({}, None)):
        with pytest.raises(AttributeError, match=f"{name}.*{instead}"):
            getattr(made, name)
    assert hook_for(UnknownEvent)({"json": 1}, None).json == 1


def test_an_unpickled_object_can_be_read_in_a_process_that_made_no_request() -> None:
    data = pickle.dumps(hook_for(ChatCompletion)({"choices": [{"message": MESSAGE}]}, None))
    program = f"import pickle; print(pickle.loads({data!r}).choices[0].message.content)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "old\n"


def test_a_subclass_of_a_program_is_read_and_sent() -> None:
    @attrs.define(slots=False)
    class Noted(ChatCompletionMessage):
        note: str | None = None

    made = hook_for(Noted)({"content": "a", "note": "n"}, None)
    assert made.note == "n"
    made.note = "m"
    assert sent(made) == {"content": "a", "note": "m"}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({1, 2}, "set is not JSON"),
        (b"x", "bytes is not JSON"),
        ({5: 1}, "a key of an object must be a string, not int"),
        (object(), "object is not JSON"),
    ],
)
def test_what_is_not_json_is_named(value: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=f"cannot be sent as JSON: {problem}"):
        encode_json({"a": [value]})


def test_an_object_that_contains_itself_is_refused() -> None:
    messages: list[Any] = []
    messages.append(messages)
    with pytest.raises(TypeError, match="contains itself"):
        encode_json({"messages": messages})


def test_what_only_the_slow_encoder_takes_is_sent() -> None:
    body = encode_json({"a": ["é\ud83d", "\ud83d\ude00"], "n": 10**30, "\ud83d": (1, True, None, 0.5)})
    assert json.loads(body) == {"a": ["é\ufffd", "😀"], "n": 10**30, "\ufffd": [1, True, None, 0.5]}
