"""The parts of a chat: when each begins, and when it is done."""

from __future__ import annotations

import json
from typing import Any

import pytest
from delta_helpers import check_parts, dones, short, text_of
from hypothesis import given
from hypothesis import strategies as st
from part_helpers import said, said_by, said_in_chat
from streams import DONE, FULL_CHAT, Json, chat, chunk, delta, spoiled_streams, sse

from trio_openai._protocols.chat.arguments import ObjectScan
from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai.types import ContentDelta, ContentDone, ToolCallDone


def finish(reason: str = "stop", index: int = 0, **fields: Any) -> Json:
    return {"choices": [{"index": index, "delta": fields, "finish_reason": reason}]}


def calls(*pieces: Json) -> Json:
    return delta(tool_calls=list(pieces))


def piece(index: int | None = None, id: str | None = None, name: str | None = None, args: object = None) -> Json:
    function = {key: value for key, value in (("name", name), ("arguments", args)) if value is not None}
    whole = {"index": index, "id": id, "function": function}
    return {key: value for key, value in whole.items() if value is not None}


# Text


def test_content_is_done_at_the_finish_reason() -> None:
    deltas = said_in_chat(
        delta(role="assistant", content=""), chunk("Hel"), chunk("lo"), chunk(""), finish(), to_the_end=False
    )
    assert short(deltas) == ["content Hel", "content lo", "content! Hello"]
    check_parts(deltas)


def test_content_that_comes_with_the_finish_reason_is_in_it() -> None:
    assert short(said_in_chat(chunk("Hel"), finish(content="lo"))) == ["content Hel", "content lo", "content! Hello"]


def test_content_is_done_at_the_end_where_there_is_no_finish_reason() -> None:
    assert short(said_in_chat(chunk("Hi"), to_the_end=False)) == ["content Hi"]
    assert short(said_in_chat(chunk("Hi"))) == ["content Hi", "content! Hi"]


def test_an_empty_answer_has_no_parts() -> None:
    assert said_in_chat(delta(role="assistant", content=""), finish()) == []
    assert said_in_chat() == []


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_done_when_content_begins(field: str) -> None:
    deltas = said_in_chat(delta(**{field: "h"}), delta(**{field: "m", "content": "A"}), chunk("B"), finish())
    assert short(deltas) == ["reasoning h", "reasoning m", "reasoning! hm", "content A", "content B", "content! AB"]
    check_parts(deltas)


def test_reasoning_comes_before_content_whichever_the_chunk_names_first() -> None:
    deltas = said_in_chat(delta(reasoning="h"), delta(content="A", reasoning="m"), finish())
    assert dones(deltas) == ["reasoning! hm", "content! A"]


def test_reasoning_under_both_of_its_names_is_one() -> None:
    both = [delta(reasoning="h", reasoning_content="h"), delta(reasoning="m", reasoning_content="m"), finish()]
    assert dones(said_in_chat(*both)) == ["reasoning! hm"]


def test_a_refusal_is_a_part() -> None:
    assert short(said_in_chat(delta(refusal="no"), finish())) == ["refusal no", "refusal! no"]


def test_content_that_goes_on_after_reasoning_is_another_part() -> None:
    deltas = said_in_chat(chunk("a"), delta(reasoning="hm"), chunk("b"), finish())
    assert dones(deltas) == ["content! a", "reasoning! hm", "content! b"]
    assert [delta.part for delta in deltas] == [0, 0, 1, 1, 2, 2]
    check_parts(deltas)


def test_content_as_a_list_of_parts_is_text_and_reasoning() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    deltas = said_in_chat(delta(content=[thinking]), delta(content=[thinking, {"type": "text", "text": "A"}]), finish())
    assert dones(deltas) == ["reasoning! hmhm", "content! A"]


def test_text_after_the_finish_reason_is_another_part() -> None:
    assert dones(said_in_chat(chunk("a"), finish(), chunk("b"))) == ["content! a", "content! b"]


def test_halves_of_a_character_in_two_deltas_are_joined_in_the_part() -> None:
    *_, done = said_in_chat(chunk("a\ud83d"), chunk("\ude00b"), finish())
    assert isinstance(done, ContentDone)
    assert done.text == "a\U0001f600b"
    assert chat(sse(chunk("a\ud83d")), sse(chunk("\ude00b"))).snapshot.choices[0].message.content == "a\U0001f600b"


def test_choices_are_told_apart() -> None:
    deltas = said_in_chat(
        chunk("b1", index=1), chunk("a1"), chunk("b2", index=1), finish(index=1), chunk("a2"), finish()
    )
    assert [(d.choice, d.text) for d in deltas if isinstance(d, ContentDone)] == [(1, "b1b2"), (0, "a1a2")]
    assert [d.choice for d in deltas] == [1, 0, 1, 1, 0, 0]
    check_parts(deltas)


def test_a_chunk_that_reports_an_error_ends_nothing() -> None:
    """OpenRouter's says `finish_reason: error` beside it; what came was cut."""
    error = {**finish("error", content="lo"), "error": {"message": "overloaded"}}
    assert short(said_in_chat(chunk("Hel"), error, to_the_end=False)) == ["content Hel", "content lo"]


def test_a_snapshot_can_be_looked_at_later() -> None:
    first, second, third, _ = said_in_chat(chunk("a"), chunk("b"), chunk("c"))
    assert isinstance(first, ContentDelta)
    assert isinstance(second, ContentDelta)
    assert isinstance(third, ContentDelta)
    assert (third.snapshot, first.snapshot, second.snapshot, first.snapshot) == ("abc", "a", "ab", "a")


# Tool calls


def test_a_call_is_done_with_the_chunk_that_makes_its_arguments_whole() -> None:
    chunks = [
        calls(piece(0, "c1", "f", "")),
        calls(piece(0, args='{"a"')),
        calls(piece(0, args=": 1}")),
        calls(piece(1, "c2", "g", '{"b": 2}')),
    ]
    deltas = said_in_chat(*chunks, to_the_end=False)
    assert short(deltas) == [
        'call c1 f {"a"',
        "call c1 f : 1}",
        'function! c1 f {"a": 1}',
        'call c2 g {"b": 2}',
        'function! c2 g {"b": 2}',
    ]
    assert [delta.index for delta in deltas] == [0, 0, 0, 1, 1]
    check_parts(deltas)
    assert said_in_chat(*chunks, finish("tool_calls")) == deltas


def test_parallel_calls_are_done_in_the_order_in_which_they_are_whole() -> None:
    chunks = [
        calls(piece(1, "c2", "g", "{")),
        calls(piece(0, "c1", "f", '{"a": 1'), piece(1, args='"b": 2')),
        calls(piece(1, args="}"), piece(0, args="}")),
    ]
    assert dones(said_in_chat(*chunks, to_the_end=False)) == ['function! c2 g {"b": 2}', 'function! c1 f {"a": 1}']


def test_text_is_done_when_a_call_begins() -> None:
    deltas = said_in_chat(chunk("Let me see."), calls(piece(0, "c1", "f", '{"a"')), to_the_end=False)
    assert short(deltas) == ["content Let me see.", "content! Let me see.", 'call c1 f {"a"']


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a": "}"}',
        '{"a": "\\"}"}',
        '{"a": {"b": [1, {"c": "]"}]}}',
        '{"a": "\\\\"}',
        ' \n{"é": "\\u007d"}',
        '{"": {}}',
    ],
)
def test_arguments_are_whole_with_their_last_bracket_and_not_before(arguments: str) -> None:
    chunks = [calls(piece(0, "c1", "f")), *(calls(piece(0, args=char)) for char in arguments)]
    assert dones(said_in_chat(*chunks[:-1], to_the_end=False)) == []
    assert dones(said_in_chat(*chunks, to_the_end=False)) == [f"function! c1 f {arguments}"]


@pytest.mark.parametrize("arguments", ["", "[]", "null", '{"a": 1', "{'a': 1}", '{"a": 1}}', "{]", '{"a" 1}', "{} {}"])
def test_what_is_not_one_whole_object_is_done_at_the_end(arguments: str) -> None:
    chunks = [calls(piece(0, "c1", "f", arguments))]
    assert dones(said_in_chat(*chunks, to_the_end=False)) == []
    assert dones(said_in_chat(*chunks, finish("tool_calls"), to_the_end=False)) == []
    assert dones(said_in_chat(*chunks, finish("length"))) == [f"function! c1 f {arguments}"]
    assert dones(said_in_chat(*chunks)) == [f"function! c1 f {arguments}"]


def test_a_call_waits_for_its_id_and_its_name() -> None:
    pieces = [piece(0, args='{"a": 1}'), piece(0, name="f"), piece(0, "c1")]
    assert dones(said_in_chat(*map(calls, pieces[:2]), to_the_end=False)) == []
    assert dones(said_in_chat(*map(calls, pieces), to_the_end=False)) == ['function! c1 f {"a": 1}']
    assert dones(said_in_chat(*map(calls, pieces[:2]))) == ['function! None f {"a": 1}']


def test_an_id_and_a_name_that_are_repeated_count_once() -> None:
    pieces = [piece(0, "c1", "f", text) for text in ("{", "}", "\n", "")]
    assert dones(said_in_chat(*map(calls, pieces), finish())) == ["function! c1 f {}"]


def test_what_a_server_says_of_a_call_beside_the_api_comes_with_it() -> None:
    signed = {**piece(0, "c1", "f", "{}"), "extra_content": {"google": {"thought_signature": "abc"}}}
    (call,) = [part for part in said_in_chat(calls(signed), finish()) if isinstance(part, ToolCallDone)]
    assert call.extra == {"extra_content": {"google": {"thought_signature": "abc"}}}


def test_white_space_after_a_call_says_nothing() -> None:
    deltas = said_in_chat(calls(piece(0, "c1", "f", "{}")), calls(piece(0, args=" \n")), finish())
    assert short(deltas) == ["call c1 f {}", "function! c1 f {}"]


def test_arguments_that_are_an_object() -> None:
    [_, done] = said_in_chat(calls(piece(0, "c1", "f", {"a": [1]})), to_the_end=False)
    assert isinstance(done, ToolCallDone)
    assert json.loads(done.arguments) == {"a": [1]}


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(None, "c1", "f", "{}"), piece(None, "c2", "g", '{"b": 2}')],
        [piece(None, "c1", "f"), piece(args="{}"), piece(None, "c2", "g", '{"b"'), piece(args=": 2}")],
        [piece(0, "c1", "f", "{}"), piece(0, "c2", "g", '{"b": 2}')],
        [piece(0, "c1", "f", "{}"), piece(0, "c2", "g"), piece(0, args='{"b": 2}')],
        [piece(0, "c1", "f", "{"), piece(0, "c1", "f", "}"), piece(0, "c2", "g", '{"b": 2}')],
    ],
)
def test_calls_without_an_index_or_all_with_index_0(pieces: list[Json]) -> None:
    expected = ["function! c1 f {}", 'function! c2 g {"b": 2}']
    assert dones(said_in_chat(*map(calls, pieces), to_the_end=False)) == expected
    assert dones(said_in_chat(calls(*pieces), to_the_end=False)) == expected
    message = chat(*map(sse, map(calls, pieces)), DONE).snapshot.choices[0].message
    assert [(call.id, call.function.arguments) for call in message.tool_calls] == [("c1", "{}"), ("c2", '{"b": 2}')]


def test_calls_with_index_0_and_no_id() -> None:
    pieces = [piece(0, "", "f", '{"a": 1}'), piece(0, "", "f", '{"a": 2}'), piece(0, "", "g", {"b": 3})]
    expected = ['function! None f {"a": 1}', 'function! None f {"a": 2}', 'function! None g {"b":3}']
    assert dones(said_in_chat(calls(*pieces), finish())) == expected
    assert len(chat(sse(calls(*pieces)), DONE).snapshot.choices[0].message.tool_calls) == 3


def test_a_custom_tool_is_done_at_the_finish_reason() -> None:
    begin = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "sql", "input": "sel"}}
    chunks = [calls(begin), calls({"index": 0, "custom": {"input": "ect"}})]
    assert short(said_in_chat(*chunks, to_the_end=False)) == ["call c1 sql sel", "call c1 sql ect"]
    assert dones(said_in_chat(*chunks, finish("tool_calls"), to_the_end=False)) == ["custom! c1 sql select"]


def test_the_old_function_call() -> None:
    pieces = [{"name": "f", "arguments": ""}, {"arguments": '{"a"'}, {"name": "f", "arguments": ": 1}"}]
    deltas = said_in_chat(*(delta(function_call=piece) for piece in pieces), to_the_end=False)
    assert short(deltas) == ['call None f {"a"', "call None f : 1}", 'function_call! None f {"a": 1}']
    assert dones(said_in_chat(*(delta(function_call=piece) for piece in pieces[:2]), finish())) == [
        'function_call! None f {"a"'
    ]


# The whole of it


def test_a_stream_with_something_of_everything() -> None:
    deltas = said_by(chat(*map(sse, FULL_CHAT), DONE, n=2))
    assert dones(deltas) == [
        "reasoning! hm",
        "content! Hé",
        "reasoning! t",
        "content! x",
        "refusal! no",
        "function! call_1 f {}",
        "content! second",
        "custom! call_2 g i",
        "function_call! None f {}",
    ]
    check_parts(deltas)


texts = st.text('ab {}[]",\\é\n', min_size=1, max_size=6)
objects = st.dictionaries(texts, st.none() | texts | st.lists(texts, max_size=2), max_size=3)


@st.composite
def answers(draw: st.DrawFn, *, in_order: bool = False) -> tuple[list[Json], Json]:
    """Generate a choice's deltas, split and interleaved at random, and what they add up to."""
    wholes = draw(st.lists(objects, max_size=3))
    names = ["reasoning", "content", "refusal"]
    fields = [(name, draw(texts)) for name in (names if in_order else draw(st.permutations(names)))]
    deltas: list[Json] = [{name: part} for name, text in fields for part in draw(chopped(text))]
    queues = [
        [piece(number, f"c{number}", "f"), *(piece(number, args=part) for part in draw(chopped(json.dumps(whole))))]
        for number, whole in enumerate(wholes)
    ]
    while queue := draw(st.sampled_from([queue for queue in queues if queue] or [[]])):
        deltas.append({"tool_calls": [queue.pop(0) for _ in range(draw(st.integers(1, len(queue))))]})
    return deltas, {**dict(fields), "calls": {f"c{n}": json.dumps(whole) for n, whole in enumerate(wholes)}}


@st.composite
def chopped(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.sets(st.integers(1, max(len(text) - 1, 1)))) - {len(text)})
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(answers(), st.booleans())
def test_any_chopping_and_interleaving_gives_the_same_parts(answer: tuple[list[Json], Json], finishes: bool) -> None:
    pieces, whole = answer
    chunks = [delta(**fields) for fields in pieces] + [finish()] * finishes
    deltas = said_in_chat(*chunks)
    check_parts(deltas)
    made = [done for done in deltas if isinstance(done, ToolCallDone)]
    assert {done.id: done.arguments for done in made} == whole["calls"]
    assert len(made) == len(whole["calls"])
    texts = {done.type.partition(".")[0]: text_of(done) for done in deltas if done.type.endswith(".done")}
    assert {name: texts[name] for name in ("reasoning", "content", "refusal")} == {
        name: whole[name] for name in ("reasoning", "content", "refusal")
    }
    message = chat(*map(sse, chunks), DONE).snapshot.choices[0].message
    assert message.content == texts["content"]
    assert [call.function.arguments for call in message.tool_calls or ()] == [*whole["calls"].values()]


@given(answers(in_order=True), st.data())
def test_whoever_comes_late_gets_what_is_new_and_whole_parts(
    answer: tuple[list[Json], Json], data: st.DataObject
) -> None:
    pieces, _ = answer
    events = chat(*(sse(delta(**fields)) for fields in pieces), sse(finish()), DONE).events
    at = data.draw(st.integers(0, len(events)))
    protocol = ChatProtocol()
    protocol.add(events[:at])
    late = said(protocol, events[at:])
    early = said(ChatProtocol(), events)[len(said(ChatProtocol(), events[:at], to_the_end=False)) :]
    assert [d.delta for d in late if hasattr(d, "delta")] == [d.delta for d in early if hasattr(d, "delta")]
    assert dones(late) == dones(early)
    assert [d.snapshot for d in late if hasattr(d, "snapshot")] == [d.snapshot for d in early if hasattr(d, "snapshot")]


@given(spoiled_streams(FULL_CHAT))
def test_nothing_that_a_server_sends_makes_it_fail(stream: list[Any]) -> None:
    played = chat(*map(sse, stream), DONE)
    deltas = said_by(played)
    late = said(played.protocol, [], to_the_end=played.error is None)
    assert all(delta.type for delta in [*deltas, *late])


# Whether a text is one whole object


@given(objects, st.data())
def test_the_scan_agrees_with_a_decoder(value: Json, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    for cut in range(len(text)):
        assert not ObjectScan().is_whole([text[:cut]])
    pieces: list[str] = []
    scan = ObjectScan()
    for part in data.draw(chopped(text)):
        assert not scan.is_whole(pieces)
        pieces.append(part)
    assert scan.is_whole(pieces)
    assert scan.is_whole([*pieces, " ", "\n"])
    assert not scan.is_whole([*pieces, " ", "\n", "x"])


@given(st.text('{}[]":,\\1 a', max_size=12), st.data())
def test_the_scan_never_takes_anything_else_for_an_object(text: str, data: st.DataObject) -> None:
    try:
        is_whole = isinstance(json.loads(text), dict)
    except ValueError:
        is_whole = False
    assert ObjectScan().is_whole(data.draw(chopped(text))) == is_whole


def test_a_long_argument_is_looked_at_once() -> None:
    """Quadratic, it would be minutes."""
    pieces = ['{"a": "', *(["x" * 10] * 100_000)]
    scan = ObjectScan()
    assert not any(scan.is_whole(pieces[: number + 1]) for number in range(0, len(pieces), 1000))
    assert scan.is_whole([*pieces, '"}'])


def test_deep_nesting_is_no_crash() -> None:
    text = '{"a":' * 200_000
    assert not ObjectScan().is_whole([text])
    assert not ObjectScan().is_whole([text, "1", "}" * 200_000]), "no decoder would take it"
