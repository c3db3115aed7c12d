"""Tool calls of a chat: which piece belongs to which call, and that the snapshot and the deltas say the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from delta_helpers import check_parts
from hypothesis import given
from hypothesis import strategies as st
from part_helpers import said, said_in_chat
from streams import DONE, Json, chat, delta, sse

from trio_openai._protocols.chat.arguments import Arguments
from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.chat.tool_calls import ToolCalls
from trio_openai._wire.coalesce import chat_delta
from trio_openai.types import ToolCallDone

Call = tuple[Any, Any, str]


def piece(index: int | None = None, id: str | None = None, name: Any = None, args: object = None) -> Json:
    function = {key: value for key, value in (("name", name), ("arguments", args)) if value is not None}
    whole = {"index": index, "id": id, "function": function}
    return {key: value for key, value in whole.items() if value is not None}


def calls(*pieces: Json, finish: str | None = None) -> Json:
    return {"choices": [{"index": 0, "delta": {"tool_calls": list(pieces)}, "finish_reason": finish}]}


FINISH: Json = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}


def done(*chunks: Json, to_the_end: bool = True) -> list[Call]:
    """Return the calls that the deltas report, in the order in which they are done."""
    deltas = said_in_chat(*chunks, to_the_end=to_the_end)
    if to_the_end:
        check_parts(deltas)
    return [(d.id, d.name, d.arguments) for d in deltas if isinstance(d, ToolCallDone)]


def made(*chunks: Json) -> list[Call]:
    """Return the calls of the whole stream, and check that the snapshot and the deltas agree about them."""
    message = chat(*map(sse, chunks), DONE).snapshot.choices[0].message
    in_snapshot = [(c.id, c.function.name, c.function.arguments or "") for c in message.tool_calls or []]
    reported = done(*chunks)
    assert sorted(map(repr, reported)) == sorted(map(repr, in_snapshot))
    for chunk in range(len(chunks)):  # whoever asks for the deltas late hears the same of what is not done yet
        events = chat(*map(sse, chunks)).events
        protocol = ChatProtocol()
        protocol.add(events[:chunk])
        late = [(d.id, d.name, d.arguments) for d in said(protocol, events[chunk:]) if isinstance(d, ToolCallDone)]
        early = done(*chunks[:chunk], to_the_end=False)
        assert late == reported[len(early) :]
    return in_snapshot


# When arguments are complete


def test_an_empty_object_is_complete_only_when_its_call_is_over() -> None:
    empty = calls(piece(0, "c1", "f", "{}"))
    assert done(empty, to_the_end=False) == []
    assert done(empty) == [("c1", "f", "{}")]
    assert done(empty, FINISH, to_the_end=False) == [("c1", "f", "{}")]
    assert done(empty, calls(piece(1, "c2", "g", "")), to_the_end=False) == [("c1", "f", "{}")]
    assert done(empty, calls(piece(0, args=" \n")), calls(piece(0, args="")), to_the_end=False) == []


@pytest.mark.parametrize("empty", [["{}"], ["{", "}"], [" {", " ", "} "], ["{ }", "\n"], [{}]], ids=str)
@pytest.mark.parametrize("rest", [['{"x":2}'], ["{", '"x"', ":2}"], [" ", '\n{"x":', "2}"], [{"x": 2}]], ids=str)
def test_arguments_that_begin_after_an_empty_object_replace_it(empty: list[Any], rest: list[Any]) -> None:
    first, *more = [calls(piece(0, args=text)) for text in (*empty, *rest)]
    begin = calls(piece(0, "c1", "f"))
    ((_, _, arguments),) = made(begin, first, *more, FINISH)
    assert json.loads(arguments) == {"x": 2}
    assert len(done(begin, first, *more, to_the_end=False)) == 1, "it is done at once"


def test_an_empty_object_that_goes_on_with_anything_else_is_not_complete() -> None:
    assert made(calls(piece(0, "c1", "f", "{}")), calls(piece(0, args='"a": 1}'))) == [("c1", "f", '{}"a": 1}')]


def test_a_finish_reason_completes_only_calls_with_complete_arguments() -> None:
    early = calls(piece(0, "c1", "f", ""), piece(1, "c2", "g", "{}"), piece(2, "c3", "h", '{"a"'), finish="tool_calls")
    rest = [calls(piece(0, args='{"q":')), calls(piece(0, args="1}")), calls(piece(2, args=":2}"))]
    assert done(early, to_the_end=False) == [("c2", "g", "{}")]
    assert made(early, *rest) == [("c1", "f", '{"q":1}'), ("c2", "g", "{}"), ("c3", "h", '{"a":2}')]


def test_a_call_without_arguments_is_done_at_the_end_of_the_stream() -> None:
    assert done(calls(piece(0, "c1", "f", "")), FINISH, to_the_end=False) == []
    assert made(calls(piece(0, "c1", "f", "")), FINISH) == [("c1", "f", "")]


def test_a_call_that_is_done_never_changes() -> None:
    late = [calls(piece(0, args=text)) for text in ('{"a":2}', "}", '{"b"', "x")]
    assert made(calls(piece(0, "c1", "f", '{"a":1}')), *late, FINISH) == [("c1", "f", '{"a":1}')]


@pytest.mark.parametrize(
    "again",
    [
        piece(0, "c1", "f", '{"a": [1]}'),
        piece(0, None, "f", '{"a": [1]}'),
        piece(0, None, None, '{"a": [1]}'),
        piece(0, "c1", "f", ' {"a":[1]}\n'),
        piece(0, "c1", "f", {"a": [1]}),
        piece(None, "c1", "f", '{"a": [1]}'),
    ],
    ids=str,
)
def test_complete_arguments_that_are_sent_twice_count_once(again: Json) -> None:
    assert made(calls(piece(0, "c1", "f", '{"a": [1]}')), calls(again), FINISH) == [("c1", "f", '{"a": [1]}')]
    pieces = [piece(0, "c1", "f", '{"a"'), piece(0, None, None, ": [1]}")]
    assert made(*map(calls, pieces), calls(again), FINISH) == [("c1", "f", '{"a": [1]}')]


def test_whole_calls_that_are_listed_again_at_the_end_count_once() -> None:
    whole = [piece(0, "c1", "f", '{"a":1}'), piece(1, "c2", "g", "{}")]
    assert made(*map(calls, whole), calls(*whole, finish="tool_calls")) == [("c1", "f", '{"a":1}'), ("c2", "g", "{}")]


# Which call a piece belongs to


@pytest.mark.parametrize("first", [None, "", "{}", '{"a":', '{"a":1}'])
@pytest.mark.parametrize("rest", [['{"b":2}'], ["", '{"b"', ":2}"], [None, '{"b":2}']])
def test_a_new_id_with_a_new_name_starts_a_call(first: Any, rest: list[Any]) -> None:
    begin, *more = rest
    chunks = [piece(0, "c1", "f", first), piece(0, "c2", "g", begin), *(piece(0, args=text) for text in more)]
    assert made(*map(calls, chunks), FINISH) == [("c1", "f", first or ""), ("c2", "g", '{"b":2}')]
    assert made(calls(*chunks), FINISH) == [("c1", "f", first or ""), ("c2", "g", '{"b":2}')]


def test_an_id_that_changes_with_every_piece_does_not_cut_a_call() -> None:
    pieces = [piece(0, f"c{number}", "f", text) for number, text in enumerate(["", '{"a"', ":", '{"b": 1}', "}"])]
    assert made(*map(calls, pieces), FINISH) == [("c0", "f", '{"a":{"b": 1}}')]


@pytest.mark.parametrize("index", [None, 0])
@pytest.mark.parametrize("rest", [['{"b":2}'], ["", '{"b":', "2}"], [None, "{}", '{"b":2}']], ids=str)
def test_a_new_name_after_complete_arguments_starts_a_call_even_with_the_same_id(
    index: int | None, rest: list[Any]
) -> None:
    begin, *more = rest
    chunks = [piece(index, "c", "f", '{"a":1}'), piece(index, "c", "g", begin)]
    chunks += [piece(index, "c", None, text) for text in more]
    assert made(*map(calls, chunks), FINISH) == [("c", "f", '{"a":1}'), ("c", "g", '{"b":2}')]


def test_other_arguments_for_the_same_id_and_name_are_another_call() -> None:
    chunks = [piece(None, "f", "f", {"a": 1}), piece(None, "f", "f", {"a": 2}), piece(None, "f", "f", {"a": 2})]
    assert made(*map(calls, chunks), FINISH) == [("f", "f", '{"a":1}'), ("f", "f", '{"a":2}')]


def test_calls_without_index_and_id_are_whole() -> None:
    """Ollama's and others' habit: the same call twice is two calls."""
    whole = [piece(name="f", args={"a": 1}), piece(name="f", args={"a": 1}), piece(name="g", args={}), piece(name="h")]
    expected = [(None, "f", '{"a":1}'), (None, "f", '{"a":1}'), (None, "g", "{}"), (None, "h", "")]
    assert made(calls(*whole), FINISH) == expected
    assert made(*map(calls, whole[:3]), FINISH) == expected[:3]


def test_two_choices_share_nothing() -> None:
    def of(choice: int, raw: Json) -> Json:
        return {"choices": [{"index": choice, "delta": {"tool_calls": [raw]}}]}

    chunks = [of(0, piece(0, "c1", "f", "{}")), of(1, piece(0, "c2", "g", "{}")), of(0, piece(0, args='{"a":1}'))]
    assert done(*chunks, to_the_end=False) == [("c1", "f", '{"a":1}')]
    assert done(*chunks) == [("c1", "f", '{"a":1}'), ("c2", "g", "{}")]


def test_ordinary_calls_are_done_while_the_stream_goes_on() -> None:
    chunks = [calls(piece(0, "c1", "f", "")), calls(piece(0, args='{"a":')), calls(piece(0, args="1}"))]
    assert done(*chunks[:2], to_the_end=False) == []
    assert done(*chunks, to_the_end=False) == [("c1", "f", '{"a":1}')]


# Names


@pytest.mark.parametrize(
    "names",
    [["edit_ex", "isting_file"], ["edit", "_existing", "_file"], ["edit_ex", "edit_existing_file"]],
)
def test_a_name_in_pieces_is_joined_until_the_arguments_begin(names: list[str]) -> None:
    begin, *more = names
    chunks = [piece(0, "c1", begin), *(piece(0, None, name, "") for name in more), piece(0, args='{"a":1}')]
    assert made(*map(calls, chunks)) == [("c1", "edit_existing_file", '{"a":1}')]
    again = [piece(0, "c1", "edit_existing_file", '{"a"'), piece(0, "c1", "edit_existing_file", ":1}")]
    assert made(*map(calls, [*chunks[:-1], *again])) == [("c1", "edit_existing_file", '{"a":1}')]


def test_a_name_after_the_arguments_have_begun_is_no_piece_of_it() -> None:
    assert made(calls(piece(0, "c1", "f", '{"a"')), calls(piece(0, None, "f2", ":1}"))) == [("c1", "f", '{"a":1}')]


@given(st.text("abc_", min_size=2, max_size=12), st.data())
def test_any_cut_of_a_name_gives_the_name(name: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(name) - 1))
    first, second = name[:cut], name[cut:]
    if second.startswith(first):
        return  # nobody could tell it from a name that is repeated
    assert made(calls(piece(0, "c1", first)), calls(piece(0, name=second))) == [("c1", name, "")]


# What servers may send


ODD_NAMES: list[Any] = [0, 1, 1.5, True, [], ["f"], {}, {"a": 1}, "\ud83d", "", "f"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "index": st.sampled_from([0, 1, -1, 10**400, True, "0", None, 1.0]),
                "id": st.sampled_from([*ODD_NAMES, "c1", "c2"]),
                "type": st.sampled_from(ODD_NAMES),
                "function": st.fixed_dictionaries(
                    {},
                    optional={
                        "name": st.sampled_from([*ODD_NAMES, "g"]),
                        "arguments": st.sampled_from(
                            ["", "{}", "{", "}", '{"a":', "1}", '{"a":1}', "x", '"\ud83d', '\ude00"', {}, [], 5, None]
                        ),
                        "more": st.just([1]),
                    },
                ),
                "custom": st.fixed_dictionaries({"name": st.sampled_from(ODD_NAMES)}, optional={"input": st.just("i")}),
            },
        ),
        max_size=8,
    ),
    st.sets(st.integers(0, 8)),
)
def test_the_snapshot_and_the_deltas_agree_whatever_comes(pieces: list[Json], finishes: set[int]) -> None:
    chunks = [calls(raw, finish="tool_calls" if at in finishes else None) for at, raw in enumerate(pieces)]
    protocol = ChatProtocol()
    events = [protocol.event(raw, "") for raw in chunks]
    protocol.add(events)
    deltas = said(ChatProtocol(), events)
    reported = sorted(repr((d.id, d.name, d.arguments)) for d in deltas if isinstance(d, ToolCallDone))
    snapshot = protocol.snapshot()
    message = snapshot.choices[0].message if snapshot.choices else None
    in_snapshot = [
        repr((c.id, called.name, (called.input if c.custom else called.arguments) or ""))
        for c in (message.tool_calls or [] if message else [])
        for called in [c.custom or c.function]
    ]
    assert reported == sorted(in_snapshot)
    assert repr(snapshot)


def test_values_nested_deeply_in_place_of_ids_names_and_texts_are_no_crash() -> None:
    deep = json.loads("[" * 900 + "]" * 900)  # as deep as servers may nest, and too deep for Python to compare
    whole = {"index": 0, "id": deep, "type": deep, "function": {"name": deep, "arguments": deep}, "more": deep}
    fields = dict.fromkeys(("role", "content", "refusal", "reasoning", "reasoning_content", "audio", "other"), deep)
    for raw in (calls(whole, whole), delta(**fields, function_call={"name": deep}), calls(whole, finish="tool_calls")):
        events = [ChatProtocol().event(raw, "")] * 3
        protocol = ChatProtocol()
        protocol.add(events)
        assert protocol.snapshot().choices[0].message.role == "assistant"
        assert all(d.type for d in said(ChatProtocol(), events))


def test_halves_of_a_character_in_two_pieces_are_joined() -> None:
    pieces = [piece(0, "c1", "f\ud83d", '{"a": "\ud83d'), piece(0, args='\ude00"}')]
    whole = '{"a": "\U0001f600"}'
    call = chat(*map(sse, map(calls, pieces))).snapshot.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("f\ud83d", whole)
    reported = said_in_chat(*map(calls, pieces), to_the_end=False)[-1]
    assert isinstance(reported, ToolCallDone)
    assert reported.arguments == whole


def test_null_arguments_are_an_empty_text() -> None:
    nulls = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": None}}
    assert chat(sse(calls(nulls)), DONE).snapshot.choices[0].message.tool_calls[0].function.arguments == ""
    custom = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "f", "input": None}}
    assert chat(sse(calls(custom)), DONE).snapshot.choices[0].message.tool_calls[0].custom.input == ""
    old = chat(sse(delta(function_call={"name": "f", "arguments": None})), DONE)
    assert old.snapshot.choices[0].message.function_call.arguments == ""


def test_a_custom_tool_call_has_no_function() -> None:
    custom = {"index": 0, "id": "c1", "type": "custom", "custom": {"name": "f", "input": "i"}}
    (call,) = chat(sse(calls(custom)), DONE).snapshot.choices[0].message.tool_calls
    assert call.function is None
    assert "function" not in call.raw


def test_a_piece_that_may_replace_an_empty_object_is_not_merged_with_it() -> None:
    """Check that merged deltas, which a slow subscriber gets, add up to the same."""
    assert chat_delta(calls(piece(0, args='"a":1}'))) is not None
    assert chat_delta(calls(piece(0, args=' {"a":1}'))) is None


# Work and memory


@pytest.mark.promise(n=8)
def test_work_is_linear_in_the_number_of_calls() -> None:
    """Count every look at a piece: a hundred thousand calls in one event, and then a finish reason per event."""
    found = ToolCalls()
    for number in range(100_000):
        assert len(found.add(piece(number, f"c{number}", "f", "{}"))) <= 2
    for _ in range(1000):
        found.add(piece(0, args="{"))
        assert len(found.finish()) <= 1
    assert len(found.all) == 100_000


def test_an_object_that_is_replaced_again_and_again_is_not_scanned_again() -> None:
    arguments = Arguments()
    for _ in range(20_000):
        arguments.add(" ")
    arguments.add("{")
    for _ in range(20_000):
        arguments.add(" ")
    kept = len(arguments.pieces)
    for _ in range(20_000):
        arguments.add("}")
        assert arguments.is_whole
        arguments.add("{")
        assert not arguments.is_whole
    assert len(arguments.pieces) == kept


def test_a_name_in_many_pieces_is_joined_once() -> None:
    pieces = [piece(0, "c1", "abcdefgh"), *[piece(0, None, "ijklmnop")] * 100_000]
    found = ToolCalls()
    for raw in pieces:
        found.add(raw)
    assert len(found.as_raw()[0]["function"]["name"]) == 8 * 100_001
