"""Chat Completions: what the chunks add up to, rule by rule."""

from __future__ import annotations

import json
from typing import Any

import pytest
from delta_helpers import dones
from hypothesis import given
from hypothesis import strategies as st
from part_helpers import said_in_chat
from streams import DONE, FULL_CHAT, ODD_VALUES, Json, Played, chat, chunk, delta, made, paths, spoiled, sse

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.chat.snapshot import ChatSnapshot
from trio_openai.types import ChatCompletion, ChatCompletionChunk, ToolCall
from trio_openai.types._fields import hook_for


def folded(*chunks: Json, n: int = 1) -> ChatCompletion:
    played = chat(*map(sse, chunks), DONE, n=n)
    assert played.error is None
    assert played.raws == list(chunks)
    return played.snapshot


def message(*deltas: Json) -> Any:
    return folded(*(delta(**fields) for fields in deltas)).choices[0].message


def calls(*pieces: Json | list[Json]) -> list[tuple[Any, ...]]:
    """Return the tool calls that pieces add up to. Each piece is one chunk; a list is one chunk of several pieces."""
    deltas = [{"tool_calls": piece if isinstance(piece, list) else [piece]} for piece in pieces]
    return [(call.id, call.function.name, call.function.arguments) for call in message(*deltas).tool_calls]


def piece(index: int | None = None, id: str | None = None, name: str | None = None, args: str | None = None) -> Json:
    function = {key: value for key, value in (("name", name), ("arguments", args)) if value is not None}
    whole = {"index": index, "id": id, "function": function}
    return {key: value for key, value in whole.items() if value is not None and value != {}}


# The head of the completion


def test_nothing_adds_up_to_an_empty_completion() -> None:
    played = Played(chat().protocol, [])
    assert played.snapshot == ChatCompletion(object="chat.completion")
    assert played.snapshot.choices == []


def test_the_first_id_model_and_time_that_are_not_empty_win() -> None:
    completion = folded(
        {"id": "", "model": "", "created": 0, "choices": []},
        {"id": "c1", "model": "m1", "created": 5, "choices": []},
        {"id": "c2", "model": "m2", "created": 6, "choices": []},
    )
    assert (completion.id, completion.model, completion.created) == ("c1", "m1", 5)
    assert completion.object == "chat.completion"


def test_the_last_fingerprint_and_tier_win_and_null_does_not_erase_them() -> None:
    completion = folded(
        {"choices": [], "system_fingerprint": "fp1", "service_tier": "auto"},
        {"choices": [], "system_fingerprint": "fp2", "service_tier": "default"},
        {"choices": [], "system_fingerprint": None},
        {"choices": []},
    )
    assert (completion.system_fingerprint, completion.service_tier) == ("fp2", "default")


# Text, role, finish reason


@pytest.mark.parametrize("field", ["content", "refusal", "reasoning_content", "reasoning"])
def test_text_is_appended(field: str) -> None:
    assert getattr(message({field: "a"}, {field: ""}, {field: None}, {}, {field: "b"}), field) == "ab"
    assert getattr(message({field: ""}), field) == ""
    assert getattr(message({field: None}), field) is None
    assert getattr(message({}), field) is None


def test_kinds_of_text_do_not_mix() -> None:
    made = message(
        {"reasoning": "r"}, {"content": "c"}, {"refusal": "n"}, {"reasoning_content": "rc"}, {"content": "C"}
    )
    assert (made.content, made.refusal, made.reasoning, made.reasoning_content) == ("cC", "n", "r", "rc")


def test_the_text_of_choice_0_is_the_text_of_the_stream() -> None:
    played = chat(
        sse({"choices": [{"index": 1, "delta": {"content": "x"}}, {"index": 0, "delta": {"content": "a"}}]}),
        sse(delta(reasoning="no", refusal="no", content="b")),
        sse(delta(index=2, content="y")),
        sse(delta(content=None)),
    )
    assert played.text == "ab"


def test_the_role_is_the_first() -> None:
    assert message({"role": None}, {"role": ""}, {"role": "assistant"}, {"role": "assistant"}).role == "assistant"
    assert message({"role": "developer"}, {"role": "assistant"}).role == "developer"


def test_the_role_is_assistant_unless_said() -> None:
    assert message({"content": "a"}).role == "assistant"


def test_the_finish_reason_is_the_last_that_is_not_empty() -> None:
    reasons = [None, "tool_calls", "stop", "", None]
    completion = folded(*({"choices": [{"index": 0, "finish_reason": reason}]} for reason in reasons))
    assert completion.choices[0].finish_reason == "stop"


def test_an_unfinished_choice_has_no_finish_reason() -> None:
    assert folded(delta(content="a")).choices[0].finish_reason is None


def test_content_as_a_list_of_parts_is_its_text() -> None:
    made = message(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "let"}, {"text": " me"}]}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": " see"}]}]},
        {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"content": []},
        {"content": "c"},
        {"content": [{"type": "reference", "reference_ids": [1]}]},
    )
    assert made.content == "abc"
    assert made.reasoning_content == "let me see"


def test_reasoning_as_a_list_of_parts_is_no_content() -> None:
    made = message({"reasoning": [{"type": "text", "text": "hm"}]}, {"content": "a"})
    assert (made.reasoning, made.content) == ("hm", "a")


# Choices


def test_choices_are_told_apart_by_index_in_any_order() -> None:
    completion = folded(delta(index=2, content="c"), delta(index=0, content="a"), delta(index=1, content="b"), n=3)
    assert [(choice.index, choice.message.content) for choice in completion.choices] == [(0, "a"), (1, "b"), (2, "c")]


def test_a_choice_without_an_index_is_choice_0() -> None:
    completion = folded(
        {"choices": [{"delta": {"content": "a"}}]},
        {"choices": [{"index": None, "delta": {"content": "b"}}]},
        {"choices": [{"index": 0, "delta": {"content": "c"}}]},
    )
    assert [choice.message.content for choice in completion.choices] == ["abc"]


def test_the_reason_of_the_stream_is_that_of_the_first_choice() -> None:
    chunks = [{"choices": [{"index": i, "delta": {}, "finish_reason": r}]} for i, r in ((1, "length"), (0, "stop"))]
    assert chat(*map(sse, chunks), DONE).verdict.reason == "stop"


def test_a_snapshot_is_an_object_of_its_own() -> None:
    protocol = chat().protocol

    def add(raw: Any) -> None:
        protocol.add([made(protocol, raw)])

    add(delta(content="a", tool_calls=[piece(0, "call_1", "f", "{")]))
    before = protocol.snapshot()
    add(delta(content="b", tool_calls=[piece(0, args="}"), piece(1, "call_2", "g")]))
    add({"choices": [{"index": 1, "delta": {}}], "usage": {"total_tokens": 3}})
    assert before.choices[0].message.content == "a"
    assert before.choices[0].message.tool_calls == [
        ToolCall(id="call_1", type="function", function=before.choices[0].message.tool_calls[0].function)
    ]
    assert before.choices[0].message.tool_calls[0].function.arguments == "{"
    assert before.usage is None
    assert len(before.choices) == 1


# Usage

THREE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
FIVE = {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize(
    ("chunks", "total"),
    [
        ([{"usage": THREE}], 3),
        ([{"usage": THREE}, {"usage": FIVE}], 5),
        ([{"usage": THREE}, {"usage": None}, {}], 3),
        ([{"usage": THREE}, {"usage": ZERO}], 3),
        ([{"usage": ZERO}, {"usage": THREE}], 3),
        ([{"usage": FIVE}, {"usage": THREE}], 3),
        ([{"x_groq": {"id": "r"}}, {"x_groq": {"id": "r", "usage": THREE}}], 3),
        ([{"x_groq": {"usage": THREE}}, {"usage": None, "x_groq": {"usage": None}}], 3),
        ([{"x_groq": {"usage": THREE}}, {"usage": FIVE}], 5),
        ([{"usage": {"completion_tokens": 2}}, {"usage": {}}], 0),
        ([{"usage": THREE}, {"usage": {}}], 3),
        ([{"usage": THREE}, {"usage": []}, {"usage": "none"}, {"x_groq": 5}], 3),
    ],
)
def test_the_last_usage_that_is_not_zero_wins(chunks: list[Json], total: int) -> None:
    usage = folded(*({"choices": [], **more} for more in chunks)).usage
    assert usage is not None
    assert usage.total_tokens == total


def test_no_usage_is_none() -> None:
    assert folded({"choices": [], "usage": None}).usage is None
    assert folded({"choices": [], "usage": ZERO}).usage is None


def test_usage_with_its_details() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 7}, "prompt_tokens_details": {"cached_tokens": 8}}
    usage = folded({"choices": [], "usage": {**THREE, **details, "cost": 0.1}}).usage
    assert usage is not None
    assert usage.completion_tokens_details.reasoning_tokens == 7
    assert usage.prompt_tokens_details.cached_tokens == 8
    assert usage.raw["cost"] == 0.1


def test_usage_beside_choices() -> None:
    completion = folded({**delta(content="a"), "usage": THREE})
    assert (completion.usage.total_tokens, completion.choices[0].message.content) == (3, "a")


# Tool calls

TWO = [("call_1", "f", "{}"), ("call_2", "g", "[]")]


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(0, "call_1", "f", "{}"), piece(1, "call_2", "g", "[]")],
        [[piece(0, "call_1", "f", "{}"), piece(1, "call_2", "g", "[]")]],
        [piece(1, "call_2", "g", "[]"), piece(0, "call_1", "f", "{}")],
        [piece(0, "call_1", "f"), piece(0, args="{"), piece(0, args="}"), piece(1, "call_2", "g"), piece(1, args="[]")],
        [piece(0, "call_1", "f"), piece(1, "call_2", "g"), piece(0, args="{"), piece(1, args="[]"), piece(0, args="}")],
        [
            [piece(1, "call_2"), piece(0, "call_1")],
            [piece(0, args="{}"), piece(1, args="[]", name="g")],
            piece(0, name="f"),
        ],
        [piece(5, "call_1", "f", "{}"), piece(7, "call_2", "g", "[]")],
        [
            piece(0, "call_1", "f", "{"),
            piece(0, "call_1", "f", "}"),
            piece(1, "call_2", "g", "["),
            piece(1, "call_2", "g", "]"),
        ],
        [piece(0, "call_1", "f", "{"), piece(0, "", "", "}"), piece(1, "call_2", "g", "[]")],
        [piece(0, "", "", "{"), piece(0, "call_1", "f", "}"), piece(1, "call_2", "g", "[]")],
        [piece(0, "call_1", "f", "{"), piece(0, "call_9", "h", "}"), piece(1, "call_2", "g", "[]")],
        [piece(None, "call_1", "f", "{}"), piece(None, "call_2", "g", "[]")],
        [[piece(None, "call_1", "f", "{}"), piece(None, "call_2", "g", "[]")]],
        [
            piece(None, "call_1", "f"),
            piece(args="{"),
            piece(args="}"),
            piece(None, "call_2", "g"),
            piece(None, "", args="[]"),
        ],
        [
            piece(None, "call_1", "f"),
            piece(None, "call_2", "g"),
            piece(None, "call_1", args="{}"),
            piece(None, "call_2", args="[]"),
        ],
        [piece(None, "call_1", "f", "{"), piece(None, "call_1", "f", "}"), piece(None, "call_2", "g", "[]")],
        [piece(0, "call_1", "f", "{"), piece(None, "call_1", args="}"), piece(1, "call_2", "g", "[]")],
        [piece(0, "call_1", "f", "{"), piece(args="}"), piece(None, "call_2", "g", "[]")],
    ],
)
def test_tool_calls_by_index_else_by_a_new_id(pieces: list[Any]) -> None:
    assert calls(*pieces) == TWO


def test_the_first_piece_has_neither_index_nor_id() -> None:
    assert calls(piece(name="f"), piece(args="{}")) == [(None, "f", "{}")]


def test_index_true_is_no_index() -> None:
    assert calls({"index": True, "id": "call_1"}, {"index": False, "id": "call_2"}) == [
        ("call_1", None, None),
        ("call_2", None, None),
    ]


def test_a_call_without_arguments() -> None:
    assert calls(piece(0, "call_1", "f")) == [("call_1", "f", None)]
    assert calls(piece(0, "call_1", "f", "")) == [("call_1", "f", "")]


def test_arguments_that_are_an_object_are_its_json() -> None:
    """Ollama's and others' own habit."""
    made = message({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": {"a": [1, "é"]}}}]})
    assert json.loads(made.tool_calls[0].function.arguments) == {"a": [1, "é"]}


def test_the_type_of_a_call_is_function_unless_said() -> None:
    assert message({"tool_calls": [piece(0, "call_1", "f")]}).tool_calls[0].type == "function"
    assert message({"tool_calls": [{**piece(0), "type": "odd"}, {**piece(0), "type": "x"}]}).tool_calls[0].type == "odd"


def test_a_custom_tool() -> None:
    made = message(
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "sql", "input": "sel"}}]},
        {"tool_calls": [{"index": 0, "custom": {"name": "sql", "input": "ect"}}]},
    )
    call = made.tool_calls[0]
    assert (call.id, call.type, call.custom.name, call.custom.input) == ("call_1", "custom", "sql", "select")


def test_what_a_server_says_of_a_call_beside_the_api_is_kept() -> None:
    signature = {"google": {"thought_signature": "abc"}}
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{"}}
    pieces = [
        {**first, "extra_content": signature},
        {"index": 0, "function": {"arguments": "}"}, "extra_content": None},
    ]
    completion = folded(*(delta(tool_calls=[piece]) for piece in pieces))
    (call,) = completion.choices[0].message.tool_calls or []
    function = {"name": "f", "arguments": "{}"}
    assert call.raw == {"extra_content": signature, "id": "c1", "type": "function", "function": function}
    assert call.function is not None
    assert call.function.arguments == "{}"


def test_a_custom_tool_that_does_not_say_its_type() -> None:
    assert message({"tool_calls": [{"index": 0, "custom": {"name": "sql"}}]}).tool_calls[0].type == "custom"


@pytest.mark.parametrize("nothing", [None, [], {}, "", [None], [5], "f"])
def test_no_tool_calls_are_none(nothing: Any) -> None:
    assert message({"tool_calls": nothing}, {"content": "a"}).tool_calls is None


def test_calls_of_two_choices_do_not_mix() -> None:
    completion = folded(
        delta(index=1, tool_calls=[piece(0, "call_b", "g")]),
        delta(index=0, tool_calls=[piece(0, "call_a", "f")]),
        delta(index=1, tool_calls=[piece(0, args="[]")]),
        delta(index=0, tool_calls=[piece(0, args="{}")]),
        n=2,
    )
    made = [(call.id, call.function.arguments) for choice in completion.choices for call in choice.message.tool_calls]
    assert made == [("call_a", "{}"), ("call_b", "[]")]


# The rest of a delta


def test_function_call() -> None:
    made = message(
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{"}},
        {"function_call": {"name": "f", "arguments": "}"}},
    )
    assert (made.function_call.name, made.function_call.arguments) == ("f", "{}")


def test_audio() -> None:
    made = message(
        {"audio": {"id": "audio_1", "transcript": "Hel"}},
        {"audio": {"id": "audio_1", "data": "QUJD"}},
        {"audio": {"data": "REVG", "transcript": "lo"}},
        {"audio": {"expires_at": 99}},
    )
    assert (made.audio.id, made.audio.data, made.audio.transcript, made.audio.expires_at) == (
        "audio_1",
        "QUJDREVG",
        "Hello",
        99,
    )


def test_annotations() -> None:
    cited = [{"type": "url_citation", "url_citation": {"url": url}} for url in ("a", "b", "c")]
    made = message({"annotations": cited[:2]}, {"annotations": None}, {"annotations": cited[2:]})
    assert [annotation.url_citation.url for annotation in made.annotations] == ["a", "b", "c"]


def test_logprobs() -> None:
    def tokens(*names: str) -> list[Json]:
        return [{"token": name, "logprob": -1.0, "bytes": None, "top_logprobs": []} for name in names]

    parts = [
        {"content": tokens("a"), "refusal": None},
        None,
        {"content": tokens("b", "c")},
        {"content": None, "refusal": tokens("n")},
    ]
    choice = folded(*({"choices": [{"index": 0, "delta": {}, "logprobs": part}]} for part in parts)).choices[0]
    assert [token.token for token in choice.logprobs.content] == ["a", "b", "c"]
    assert [token.token for token in choice.logprobs.refusal] == ["n"]


def test_no_logprobs_are_none() -> None:
    assert folded({"choices": [{"index": 0, "logprobs": None}]}).choices[0].logprobs is None
    logprobs = folded({"choices": [{"index": 0, "logprobs": {"content": []}}]}).choices[0].logprobs
    assert (logprobs.content, logprobs.refusal) == ([], None)


def test_reasoning_details_are_joined_by_type_and_index() -> None:
    made = message(
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "le", "signature": None}]},
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "t me"}]},
        {"reasoning_details": [{"type": "reasoning.summary", "index": 0, "summary": "s"}]},
        {"reasoning_details": [{"type": "reasoning.text", "index": 1, "text": "more"}]},
        {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "", "signature": "sig"}]},
        {
            "reasoning_details": [
                {"type": "reasoning.encrypted", "data": "x"},
                {"type": "reasoning.encrypted", "data": "y"},
            ]
        },
    )
    assert made.reasoning_details == [
        {"type": "reasoning.text", "index": 0, "text": "let me", "signature": "sig"},
        {"type": "reasoning.summary", "index": 0, "summary": "s"},
        {"type": "reasoning.text", "index": 1, "text": "more"},
        {"type": "reasoning.encrypted", "data": "x"},
        {"type": "reasoning.encrypted", "data": "y"},
    ]


# Unknown fields, and `raw`


def test_the_last_value_of_an_unknown_field_survives_and_null_does_not_erase_it() -> None:
    completion = folded(
        {"choices": [], "citations": ["a"], "provider": "x", "obfuscation": "zz"},
        {
            "choices": [{"index": 0, "delta": {"content": "a", "mood": "calm"}, "stop_reason": 7}],
            "citations": ["b", "c"],
        },
        {"choices": [{"index": 0, "delta": {"mood": "glad", "nothing": None}, "stop_reason": None}], "provider": None},
        {"choices": [{"index": 0, "delta": {}, "message": {"content": "cumulative", "weight": 3}}]},
    )
    (choice,) = completion.choices
    assert (completion.raw["citations"], completion.raw["provider"]) == (["b", "c"], "x")
    assert "obfuscation" not in completion.raw
    assert choice.raw["stop_reason"] == 7
    expected = {"role": "assistant", "content": "a", "mood": "glad", "nothing": None, "weight": 3}
    assert choice.message.raw == choice.raw["message"] == completion.raw["choices"][0]["message"] == expected


def test_lists_in_a_delta_are_joined_and_the_events_stay_as_sent() -> None:
    chunks = [delta(images=[1], tags=["a"]), delta(images=[2, 3]), delta(images=None, tags="none"), delta(images=[])]
    played = chat(*map(sse, chunks), DONE)
    assert played.snapshot.choices[0].message.raw["images"] == [1, 2, 3]
    assert played.snapshot.choices[0].message.raw["tags"] == "none"
    assert played.raws == chunks


def test_unknown_fields_of_calls_functions_audio_and_logprobs_survive() -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}", "strict": True}, "extra": 1}
    made = folded(
        delta(
            tool_calls=[call], audio={"id": "a", "data": "QQ==", "format": "wav"}, function_call={"name": "g", "x": 1}
        ),
        {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [{"token": "a"}], "top": [1], "kind": "k"}}]},
        {"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [{"token": "b"}], "top": [2]}}]},
    ).raw["choices"][0]
    message = made["message"]
    assert message["tool_calls"] == [{"id": "c1", "type": "function", "function": call["function"], "extra": 1}]
    assert message["audio"] == {"id": "a", "data": "QQ==", "format": "wav"}
    assert message["function_call"] == {"name": "g", "x": 1}
    assert made["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "top": [1, 2], "kind": "k"}


def test_raw_is_the_whole_accumulated_object_at_every_level() -> None:
    completion = folded(*FULL_CHAT, n=2)
    again = hook_for(ChatCompletion)(json.loads(json.dumps(completion.raw)), None)
    assert again == completion
    assert completion.raw["object"] == "chat.completion"
    assert completion.raw["choices"] == [choice.raw for choice in completion.choices]
    first = completion.choices[0]
    assert first.raw["message"] == first.message.raw
    assert first.message.raw["tool_calls"] == [call.raw for call in first.message.tool_calls or []]
    assert first.message.raw["content"] == first.message.content
    assert completion.raw["usage"] == completion.usage.raw


def test_the_raw_of_a_snapshot_is_not_changed_by_later_chunks() -> None:
    protocol = chat().protocol
    protocol.add([made(protocol, delta(images=[1], annotations=[{"type": "a"}]))])
    before = protocol.snapshot()
    kept = json.dumps(before.raw)
    protocol.add([made(protocol, delta(images=[2], annotations=[{"type": "b"}], content="x"))])
    assert json.dumps(before.raw) == kept


# Content after the end


@pytest.mark.parametrize(
    "late",
    [
        {"content": "b"},
        {"refusal": "b"},
        {"reasoning": "b"},
        {"audio": {"data": "QQ=="}},
        {"tool_calls": [piece(0, "c1", "f", "{}")]},
        {"function_call": {"name": "f", "arguments": "{"}},
    ],
    ids=str,
)
def test_content_after_a_finish_reason_needs_another_end(late: Json) -> None:
    finished = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    assert chat(sse(finished)).verdict.state == "done"
    assert chat(sse(finished), sse(delta(**late))).verdict.state == "truncated"
    assert chat(sse(finished), sse(delta(**late)), sse(finished)).verdict.state == "done"
    assert chat(sse(finished), sse(delta(**late)), DONE).verdict.by == "[DONE]"


@pytest.mark.parametrize(
    "late",
    [delta(content=""), delta(role="assistant"), delta(citations=["a"]), {"choices": [], "usage": {"total_tokens": 3}}],
    ids=str,
)
def test_what_is_not_content_may_follow_a_finish_reason(late: Json) -> None:
    finished = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    assert chat(sse(finished), sse(late)).verdict.state == "done"


def test_a_call_that_is_repeated_after_the_finish_reason_is_not_content() -> None:
    call = {"tool_calls": [piece(0, "c1", "f", '{"a":1}')]}
    finished = {"choices": [{"index": 0, "delta": call, "finish_reason": "tool_calls"}]}
    assert chat(sse(finished), sse(delta(**call))).verdict.state == "done"


# A whole completion as an event


def whole(content: str | None = "Hello", index: int = 0, **message: Any) -> Json:
    message = {"role": "assistant", "content": content, **message}
    choice = {"index": index, "message": message, "finish_reason": "stop"}
    return {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}


def test_a_whole_completion_as_an_event_counts_as_its_content() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    event = whole(tool_calls=calls, images=[1])
    for played in (chat(sse(event)), chat(sse(event), DONE)):
        assert played.verdict.state == "done"
        assert played.text == "Hello"
        assert played.raws == [event]
        assert played.events[0].choices[0].delta.content == "Hello"
        assert played.snapshot.choices[0].message.raw == event["choices"][0]["message"]
    assert dones(said_in_chat(event)) == ["content! Hello", 'function! c1 f {"a":1}']


def test_a_whole_completion_after_its_deltas_adds_no_content() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    chunks = [delta(content="Hel"), delta(content="lo"), delta(tool_calls=calls), whole(tool_calls=calls)]
    played = chat(*map(sse, chunks))
    assert (played.text, played.verdict.state) == ("Hello", "done")
    assert len(played.snapshot.choices[0].message.tool_calls) == 1
    assert dones(said_in_chat(*chunks)) == ["content! Hello", 'function! c1 f {"a":1}']
    only_there = [*chunks[:2], whole(tool_calls=calls, reasoning="hm", images=[1]), whole(images=[1])]
    message = chat(*map(sse, only_there)).snapshot.choices[0].message
    assert (message.content, message.reasoning, message.raw["images"]) == ("Hello", "hm", [1])
    assert [call.id for call in message.tool_calls] == ["c1"]
    assert dones(said_in_chat(*only_there)) == ["content! Hello", "reasoning! hm", 'function! c1 f {"a":1}']


def test_messages_in_place_of_deltas_are_pieces() -> None:
    chunks = [{"choices": [{"index": 0, "message": {"content": text}}]} for text in ("Hel", "lo")]
    assert chat(*map(sse, chunks), DONE).text == "Hello"


# Errors in a choice


@pytest.mark.parametrize("error", [{"message": "overloaded", "code": 502}, "overloaded"])
@pytest.mark.parametrize("is_read_at_once", [True, False])
def test_an_error_in_a_choice_fails_the_stream_and_keeps_the_work(error: Any, is_read_at_once: bool) -> None:
    failed = {"index": 0, "delta": {"content": "lo"}, "finish_reason": "error", "error": error}
    chunks = [chunk("Hel"), chunk("Hel"), {"object": "chat.completion.chunk", "choices": [failed]}, chunk("never")]
    data = [*map(sse, chunks), DONE]
    played = chat(b"".join(data)) if is_read_at_once else chat(*data)
    assert played.error is not None
    assert played.error.message == "overloaded"
    assert played.error.partial.choices[0].message.content == "HelHello"
    assert len(played.events) == 3
    assert "content! HelHello" not in dones(said_in_chat(*chunks[:3], to_the_end=False))


def test_many_choices_in_one_event_are_looked_at_once() -> None:
    """Choices without content must not make every later event slower."""
    protocol = chat().protocol
    choices = [{"index": 10**9 + number, "delta": {"role": "assistant"}} for number in range(20_000)]
    protocol.add([made(protocol, {"choices": choices})])
    for _ in range(20_000):
        protocol.add([made(protocol, {"choices": [{"index": 0, "delta": {"role": "assistant"}}]})])
        assert not protocol.has_content
    assert len(protocol.snapshot().choices) == 20_001


# When content has arrived


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "a"},
        {"refusal": "a"},
        {"reasoning": "a"},
        {"reasoning_content": "a"},
        {"tool_calls": [{"index": 0, "id": "call_1"}]},
        {"function_call": {"name": "f"}},
        {"audio": {"id": "a"}},
        {"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}]},
    ],
    ids=str,
)
def test_what_counts_as_content(fields: Json) -> None:
    assert chat(sse(delta(**fields))).protocol.has_content
    assert chat(sse(delta(index=1, **fields))).protocol.has_content


@pytest.mark.parametrize(
    "fields",
    [{}, {"role": "assistant"}, {"content": ""}, {"content": None}, {"tool_calls": []}, {"content": []}],
    ids=str,
)
def test_what_does_not(fields: Json) -> None:
    assert not chat(sse(delta(**fields))).protocol.has_content


# The whole of it


def test_a_stream_with_something_of_everything() -> None:
    completion = folded(*FULL_CHAT, n=2)
    first, second = completion.choices
    assert (completion.id, completion.model, completion.created, completion.system_fingerprint) == ("c1", "m", 1, "fp")
    assert (first.message.content, first.message.refusal, first.finish_reason) == ("Héx", "no", "stop")
    assert (first.message.reasoning_content, first.message.reasoning) == ("hmt", "hm")
    assert [call.id for call in first.message.tool_calls] == ["call_1", "call_2"]
    assert first.message.function_call.arguments == "{}"
    assert first.message.audio.transcript == "t"
    assert len(first.message.annotations) == len(first.logprobs.content) == len(first.logprobs.refusal) == 1
    assert (second.message.content, second.finish_reason) == ("second", "length")
    assert completion.usage.completion_tokens_details.reasoning_tokens == 1


@pytest.mark.parametrize("at", range(len(FULL_CHAT)))
def test_wrong_types_never_crash(at: int) -> None:
    """Replace every field of every chunk by a value of every kind."""
    for path in paths(FULL_CHAT[at]):
        for value in ODD_VALUES if path else []:
            chunks = [*FULL_CHAT[:at], spoiled(FULL_CHAT[at], path, value), *FULL_CHAT[at + 1 :]]
            played = chat(*map(sse, chunks), DONE)
            assert len(played.events) == len(chunks), (path, value)
            assert repr(played.snapshot)
            assert played.error is None, (path, value)


@given(st.permutations(range(4)), st.permutations(range(3)))
def test_the_order_of_calls_and_choices_does_not_matter(order: list[int], choices: list[int]) -> None:
    """Interleave the calls, and keep the pieces of each call in order."""
    chunks = []
    for part in range(3):
        for index in choices:
            pieces = [piece(i, f"call_{i}", f"f{i}", f"<{part}>") for i in order]
            chunks.append(delta(index=index, content=str(part), tool_calls=pieces))
    completion = folded(*chunks, n=3)
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    for choice in completion.choices:
        assert choice.message.content == "012"
        assert [(call.id, call.function.arguments) for call in choice.message.tool_calls] == [
            (f"call_{i}", "<0><1><2>") for i in range(4)
        ]


@pytest.mark.promise(n=8)
def test_folding_is_linear() -> None:
    """Text is joined when somebody looks: ten thousand chunks of one call, and only their own pieces are copied."""
    chunks = [delta(content="x" * 10, tool_calls=[piece(0, "call_1", "f", "y" * 10)])] * 10_000
    made = message(*(chunk["choices"][0]["delta"] for chunk in chunks))
    assert len(made.content) == len(made.tool_calls[0].function.arguments) == 100_000


CHOICES_THAT_ARE_NO_PLAIN_TEXT: list[Any] = [
    {"index": 1, "delta": {"content": "x"}, "finish_reason": None},
    {"index": True, "delta": {"content": "x"}, "finish_reason": None},
    {"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"},
    {"index": 0, "delta": {"content": "x"}, "finish_reason": ""},
    {"index": 0, "delta": {"content": "x", "refusal": "r"}, "finish_reason": None},
    {"index": 0, "delta": {"content": ""}, "finish_reason": None},
    {"index": 0, "delta": {"content": None}, "finish_reason": None},
    {"index": 0, "delta": {"content": ["x"]}, "finish_reason": None},
    {"index": 0, "delta": "content", "finish_reason": None},
    {"index": 0, "delta": {}, "finish_reason": None},
    {"index": 0, "delta": {"content": "x"}, "finish_reason": None, "logprobs": {"content": [1]}},
    {"index": 0, "delta": {"content": "x"}, "finish_reason": None, "logprobs": {}},
    {"index": 0, "delta": {"content": "x"}, "finish_reason": None, "logprobs": None},
    {"index": 0, "delta": {"content": "x"}, "finish_reason": None, "own": 1},
    {"index": 0, "delta": {"content": "x"}, "finish_reason": None, "own": 1, "logprobs": None},
    {"delta": {"content": "x"}},
    {"index": 0, "message": {"content": "x"}, "finish_reason": None},
    "choice",
    None,
]


@pytest.mark.parametrize("choice", CHOICES_THAT_ARE_NO_PLAIN_TEXT)
@pytest.mark.parametrize("beside", [{}, {"usage": {"total_tokens": 3}}, {"own": 2}, {"system_fingerprint": "fp"}])
def test_chunk_after_text_adds_the_same_in_the_short_way(choice: Any, beside: Json, monkeypatch: Any) -> None:
    text = {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
    raws = [{"id": "1", "choices": choices, **beside} for choices in ([text], [text], [choice], [text], [text, choice])]

    def added() -> tuple[Any, ...]:
        snapshot, texts = ChatSnapshot(), list[str]()
        for raw in raws:
            snapshot.add([hook_for(ChatCompletionChunk)(raw, None)])
            texts.append(snapshot.text)
        return snapshot.as_raw(), texts, snapshot.has_content, snapshot.unfinished(1), snapshot.pieces

    short = added()
    monkeypatch.setattr(ChatSnapshot, "_add_text", lambda *_: False)
    assert short == added()


@pytest.mark.parametrize("are_read", [True, False])
def test_chunk_is_the_same_whether_the_program_reads_choices_or_not(are_read: bool) -> None:
    protocol = ChatProtocol()
    raws = [delta(content=str(number)) for number in range(6)] + [{**delta(), "choices": [None, 1, {"delta": 2}]}]
    chunks: list[ChatCompletionChunk] = []
    for raw in raws:
        chunk = protocol.event(raw, "")
        assert isinstance(chunk, ChatCompletionChunk)
        if are_read:
            assert chunk.choices is chunk.choices
        protocol.add([chunk])
        chunks.append(chunk)
    assert chunks == [hook_for(ChatCompletionChunk)(raw, None) for raw in raws]
    assert [chunk.to_dict() for chunk in chunks] == raws
