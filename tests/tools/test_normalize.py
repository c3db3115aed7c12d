"""Strict servers accept the calls that are sent back after a round of tools."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_openai._tools.conversation import ChatToolConversation, ResponseToolConversation
from trio_openai._tools.normalize import arguments_to_send, distinct_ids, items_of_calls, name_to_send
from trio_openai.types import ChatCompletion, ChatCompletionMessage, Choice, Response, ToolCallDone
from trio_openai.types._fields import hook_for

HALF = "\ud83d"


def parsed(request: Any) -> Any:
    """Return what a server gets. This fails for anything that is not JSON, or not UTF-8."""
    return json.loads(json.dumps(request, ensure_ascii=False, allow_nan=False).encode())


def chat_sent(*calls: ToolCallDone) -> list[dict[str, Any]]:
    """Return the messages that a round with these calls adds, as parsed by a strict server."""
    conversation = ChatToolConversation({"messages": []})
    answer = ChatCompletion(choices=[Choice(index=0, message=ChatCompletionMessage(role="assistant"))])
    conversation.add(answer, [(call, f"output {number}") for number, call in enumerate(calls)])
    return parsed(conversation.request())["messages"]  # type: ignore[no-any-return]


def responses_sent(items: list[dict[str, Any]], *calls: ToolCallDone, **params: Any) -> list[dict[str, Any]]:
    """Return the input items that a round with these calls adds, as parsed by a strict server."""
    conversation = ResponseToolConversation({"input": [], **params})
    response: Response = hook_for(Response)({"id": "resp_1", "output": items}, None)
    conversation.add(response, [(call, f"output {number}") for number, call in enumerate(calls)])
    return parsed(conversation.request())["input"]  # type: ignore[no-any-return]


def item(call_id: Any, name: Any = "f", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    found = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}
    return {key: value for key, value in found.items() if value is not None}


ARGUMENTS = [
    ("", "{}"),
    ("  \n", "{}"),
    ("{}", "{}"),
    (' {"a": 1}\n', ' {"a": 1}\n'),
    ('{"a": 1', '{"INVALID_JSON":"{\\"a\\": 1"}'),
    ("[1]", '{"INVALID_JSON":"[1]"}'),
    ("null", '{"INVALID_JSON":"null"}'),
    ('"text"', '{"INVALID_JSON":"\\"text\\""}'),
    ('{}{"a": 1}', '{"INVALID_JSON":"{}{\\"a\\": 1}"}'),
    ("[" * 20_000, json.dumps({"INVALID_JSON": "[" * 20_000}, separators=(",", ":"))),
    (f'{{"a": "{HALF}"}}', '{"a": "\ufffd"}'),
]


@pytest.mark.parametrize(("written", "sent"), ARGUMENTS)
def test_arguments_are_sent_back_as_a_json_object(written: str, sent: str) -> None:
    assert arguments_to_send(ToolCallDone("c", "f", written)) == sent
    (call,) = chat_sent(ToolCallDone("c", "f", written))[0]["tool_calls"]
    assert call["function"]["arguments"] == sent
    assert chat_sent(ToolCallDone(None, "f", written, "function_call"))[0]["function_call"]["arguments"] == sent
    assert responses_sent([item("c", arguments=written)], ToolCallDone("c", "f", written))[0]["arguments"] == sent


@given(st.text(st.characters(exclude_categories=())))
def test_any_arguments_are_sent_back_as_a_json_object(text: str) -> None:
    sent = arguments_to_send(ToolCallDone("c", "f", text))
    assert type(json.loads(sent.encode())) is dict


def test_the_input_of_a_custom_tool_stays_text() -> None:
    (call,) = chat_sent(ToolCallDone("c", "f", "SELECT 1", "custom"))[0]["tool_calls"]
    assert call["custom"] == {"name": "f", "input": "SELECT 1"}
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": ""}
    assert responses_sent([custom], ToolCallDone("c", "f", "", "custom"))[0] == custom


ODD = [None, "", " ", 7, ["x"], {"a": 1}, HALF, "ok", "ok"]


def test_repeated_or_missing_ids_become_distinct_strings() -> None:
    message, *outputs = chat_sent(*(ToolCallDone(odd, "f", "{}", part=part) for part, odd in enumerate(ODD)))
    ids = [call["id"] for call in message["tool_calls"]]
    assert len(set(ids)) == len(ODD)
    assert all(type(name) is str and name.strip() for name in ids)
    assert [output["tool_call_id"] for output in outputs] == ids
    assert ids[7] == "ok"


@given(st.lists(st.none() | st.integers() | st.text(st.characters(exclude_categories=()), max_size=3), max_size=8))
def test_any_ids_become_distinct_strings_and_valid_ones_stay(given: list[Any]) -> None:
    ids = distinct_ids(given, set())
    assert len(set(ids)) == len(given)
    for place, name in enumerate(given):
        assert ids[place].encode()
        if isinstance(name, str) and re.fullmatch(r"[a-z]+", name) and name not in given[:place]:
            assert ids[place] == name


def test_a_generated_id_is_not_generated_again_in_a_later_round() -> None:
    used: set[str] = set()
    rounds = [distinct_ids([None, "a"], used) for _ in range(3)]
    assert len({ids[0] for ids in rounds}) == 3
    assert [ids[1] for ids in rounds] == ["a"] * 3, "the server's own id stays"


@pytest.mark.promise(n=8)
def test_distinct_ids_for_a_hundred_thousand_equal_ids_take_linear_time() -> None:
    class Counted(set[str]):
        looks = 0

        def __contains__(self, name: object) -> bool:
            Counted.looks += 1
            return super().__contains__(name)

    assert len(set(distinct_ids([None, "x"] * 50_000, Counted()))) == 100_000
    assert Counted.looks <= 200_000


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("get_weather", "get_weather"),
        ("functions.get weather", "functions_get_weather"),
        (f"f{HALF}", "f_"),
        (None, "unknown"),
        ("", "unknown"),
        (["f"], "unknown"),
        ("x" * 1000, "x" * 64),
    ],
)
def test_a_name_is_sent_back_with_allowed_characters_only(name: Any, sent: str) -> None:
    assert name_to_send(name) == sent
    assert chat_sent(ToolCallDone("c", name, "{}"))[0]["tool_calls"][0]["function"]["name"] == sent
    old = chat_sent(ToolCallDone(None, name, "{}", "function_call"))
    assert old[0]["function_call"]["name"] == old[1]["name"] == sent
    assert responses_sent([item("c", name)], ToolCallDone("c", name, "{}"))[0]["name"] == sent


# Responses.


def test_a_valid_item_is_sent_back_unchanged() -> None:
    mine = item("call_1", "f", '{"a": 1}', id="fc_1", status="completed", extra={"kept": True})
    sent = responses_sent([mine], ToolCallDone("call_1", "f", '{"a": 1}'))
    assert sent[0] == mine
    assert sent[1] == {"type": "function_call_output", "call_id": "call_1", "output": "output 0"}


def test_output_refers_to_the_item_id_if_there_is_no_call_id() -> None:
    for call_id in (None, "", 5):
        for known in (None, "fc_1"):
            sent = responses_sent([item(call_id, id="fc_1")], ToolCallDone(known, "f", "{}"))
            assert [one["call_id"] for one in sent] == ["fc_1", "fc_1"]


def test_two_calls_with_the_same_call_id_get_different_ones() -> None:
    items = [item("c", "f", '{"a": 1}'), item("c", "g", '{"b": 2}')]
    calls = [ToolCallDone("c", "g", '{"b": 2}'), ToolCallDone("c", "f", '{"a": 1}')]
    f, g, *outputs = responses_sent(items, *calls)
    assert (f["name"], g["name"]) == ("f", "g")
    assert [output["call_id"] for output in outputs] == [g["call_id"], f["call_id"]]
    assert f["call_id"] != g["call_id"]


@pytest.mark.parametrize("kept", [{"conversation": "conv_1"}, {"previous_response_id": "resp_0"}])
def test_a_server_that_stores_the_conversation_gets_its_own_ids_back(kept: dict[str, str]) -> None:
    calls = [ToolCallDone("c", "f", "{}"), ToolCallDone("c", "f", "{}"), ToolCallDone(None, "f", "{}")]
    sent = responses_sent([item("c"), item("c"), item(None, id="fc_3")], *calls, **kept)
    assert [output["call_id"] for output in sent] == ["c", "c", "fc_3"]


def test_an_output_is_never_sent_without_its_call() -> None:
    """Strict servers refuse an output whose call is missing."""
    sent = responses_sent([{"type": "message", "content": []}], ToolCallDone("c", "f", '{"a": 1}'))
    assert sent[1:] == [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c", "output": "output 0"},
    ]


def test_the_item_of_a_call_is_matched_by_the_best_known_fields() -> None:
    items = [{"type": ["odd"]}, item("b"), item("a"), item("x", "g", '{"n": 1}'), item("y", "h", "[]")]
    calls = [
        ToolCallDone("a", "f", "{}"),
        ToolCallDone("b", "f", "{ }"),
        ToolCallDone("?", "g", '{"n": 1}'),
        ToolCallDone(None, None, ""),
        ToolCallDone("z", "f", "{}"),
    ]
    assert items_of_calls(items, calls) == [2, 1, 3, 4, None]
