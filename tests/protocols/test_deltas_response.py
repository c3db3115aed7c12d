"""The parts of a response: when each begins, and when it is done."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from delta_helpers import check_parts, dones, short, text_of
from hypothesis import given
from hypothesis import strategies as st
from part_helpers import said, said_by, said_in_response
from streams import FULL_RESPONSES, Json, Played, responses, spoiled_streams, sse

from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai.types import ContentDone, ToolCallDone


def event(kind: str, index: int | None = 0, **more: Any) -> Json:
    return {"type": f"response.{kind}", **({} if index is None else {"output_index": index}), **more}


def text(delta: str, index: int | None = 0, **more: Any) -> Json:
    return event("output_text.delta", index, content_index=0, delta=delta, **more)


def message(whole: str, id: str = "msg_1") -> Json:
    return {"type": "message", "id": id, "content": [{"type": "output_text", "text": whole}]}


def function(arguments: str, number: int = 1, **more: Any) -> Json:
    call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": "f"}
    return {**call, "arguments": arguments, **more}


def ended(*output: Json, by: str = "completed") -> Json:
    return {"type": f"response.{by}", "response": {"id": "r", "status": by, "output": list(output)}}


BEGIN = event("output_item.added", item=function(""))
CUSTOM = {"type": "custom_tool_call", "id": "ct_1", "call_id": "call_1", "name": "sql"}
MCP = {"type": "mcp_call", "id": "mcp_1", "name": "search", "server_label": "s"}


# Texts


@pytest.mark.parametrize(
    ("family", "kind", "field"),
    [
        ("output_text", "content", "text"),
        ("refusal", "refusal", "refusal"),
        ("reasoning_text", "reasoning", "text"),
        ("reasoning_summary_text", "reasoning", "text"),
    ],
)
def test_a_text_is_done_with_its_own_event(family: str, kind: str, field: str) -> None:
    deltas = said_in_response(
        event(f"{family}.delta", 2, delta="Hel"),
        event(f"{family}.delta", 2, delta=""),
        event(f"{family}.delta", 2, delta="lo"),
        event(f"{family}.done", 2, **{field: "Hello"}),
        to_the_end=False,
    )
    assert short(deltas) == [f"{kind} Hel", f"{kind} lo", f"{kind}! Hello"]
    assert {(delta.choice, delta.index, delta.part) for delta in deltas} == {(0, 2, 0)}
    check_parts(deltas)


@pytest.mark.parametrize(
    "end",
    [
        event("output_text.done", content_index=0, text="Hello"),
        event("output_text.done", content_index=0),
        event("output_item.done", item=message("Hello")),
        event("output_item.done", item={"type": "message"}),
        ended(message("Hello")),
        ended(),
        ended(by="incomplete"),
    ],
    ids=lambda end: end["type"],
)
def test_a_text_is_done_once_by_whatever_says_so_first(end: Json) -> None:
    begun = [text("Hel"), text("lo")]
    assert short(said_in_response(*begun, end, to_the_end=False)) == ["content Hel", "content lo", "content! Hello"]
    again = [event("output_text.done", content_index=0, text="Hello"), event("output_item.done", item=message("Hello"))]
    assert dones(said_in_response(*begun, end, *again, ended(message("Hello")))) == ["content! Hello"]


@pytest.mark.parametrize(
    "end",
    [
        event("output_text.done", content_index=0, text="Hello"),
        event("output_item.done", item=message("Hello")),
        ended(message("Hello")),
    ],
    ids=lambda end: end["type"],
)
def test_what_no_delta_brought_is_one_all_the_same(end: Json) -> None:
    assert short(said_in_response(end)) == ["content Hello", "content! Hello"]
    assert short(said_in_response(text("Hel"), end)) == ["content Hel", "content lo", "content! Hello"]


def test_the_servers_last_word_counts() -> None:
    end = event("output_text.done", content_index=0, text="Good day")
    assert short(said_in_response(text("Hello"), end)) == ["content Hello", "content! Good day"]


def test_an_empty_text_is_no_part() -> None:
    end = event("output_text.done", content_index=0, text="")
    assert said_in_response(end, event("output_item.done", item=message("")), ended(message(""))) == []


def test_texts_of_one_item_and_of_others_are_parts_of_their_own() -> None:
    deltas = said_in_response(
        event("reasoning_summary_text.delta", 0, summary_index=0, delta="a"),
        event("reasoning_summary_text.delta", 0, summary_index=1, delta="b"),
        text("c", 1),
        event("reasoning_summary_text.delta", 0, summary_index=0, delta="A"),
        text("C", 1),
        ended(),
    )
    assert dones(deltas) == ["reasoning! aA", "reasoning! b", "content! cC"]
    assert [(delta.index, delta.part) for delta in deltas[:3]] == [(0, 0), (0, 1), (1, 2)]
    check_parts(deltas)


def test_ids_that_change_between_events() -> None:
    """Copilot's: only the index stays."""
    deltas = said_in_response(
        event("output_item.added", item=message("", "a")),
        text("Hel", item_id="b"),
        text("lo", item_id="c"),
        event("output_text.done", content_index=0, item_id="d", text="Hello"),
        event("output_item.done", item=message("Hello", "e")),
        ended(message("Hello", "f")),
    )
    assert dones(deltas) == ["content! Hello"]
    check_parts(deltas)


def test_events_with_an_id_and_no_index() -> None:
    """llama.cpp's."""
    deltas = said_in_response(
        event("output_item.added", None, item=message("")),
        text("Hello", None, item_id="msg_1"),
        event("output_item.added", None, item=function("")),
        event("function_call_arguments.delta", None, item_id="fc_1", delta="{}"),
        event("output_text.done", None, item_id="msg_1", content_index=0, text="Hello"),
        event("output_item.done", None, item=message("Hello")),
        event("output_item.done", None, item=function("{}")),
        ended(message("Hello"), function("{}")),
    )
    assert dones(deltas) == ["content! Hello", "function! call_1 f {}"]
    check_parts(deltas)


def test_an_output_at_other_places_than_before_is_not_said_again() -> None:
    deltas = said_in_response(
        event("reasoning_text.delta", 0, delta="hm"),
        text("Hello", 1),
        event("output_item.added", 2, item=function("")),
        event("function_call_arguments.done", 2, arguments="{}"),
        ended(message("Hello"), function("{}", id="other")),
    )
    assert dones(deltas) == ["function! call_1 f {}", "reasoning! hm", "content! Hello"]


@pytest.mark.parametrize("by", ["failed", "cancelled"])
def test_a_response_that_failed_ends_nothing(by: str) -> None:
    cut = [text("Hel"), BEGIN, event("function_call_arguments.delta", delta="{}")]
    assert dones(said_in_response(*cut, ended(message("Hel"), function("{}"), by=by))) == []
    assert dones(said_in_response(*cut, {"type": f"response.{by}"})) == []


def test_a_stream_that_ends_without_a_terminal_event() -> None:
    """`[DONE]` is all that some servers send."""
    assert dones(said_in_response(text("Hello"))) == ["content! Hello"]
    assert dones(said_in_response(text("Hello"), to_the_end=False)) == []


# Tool calls


@pytest.mark.parametrize(
    ("item", "family", "field", "expected"),
    [
        (function(""), "function_call_arguments", "arguments", "function! call_1 f {}"),
        (CUSTOM, "custom_tool_call_input", "input", "custom! call_1 sql {}"),
        (MCP, "mcp_call_arguments", "arguments", "mcp! mcp_1 search {}"),
    ],
)
def test_a_call_is_done_by_whatever_says_so_first(item: Json, family: str, field: str, expected: str) -> None:
    begun = [event("output_item.added", item=item), *(event(f"{family}.delta", delta=half) for half in "{}")]
    ends = [
        event(f"{family}.done", **{field: "{}"}),
        event("output_item.done", item={**item, field: "{}"}),
        ended({**item, field: "{}"}),
        ended(),
    ]
    assert dones(said_in_response(*begun, to_the_end=False)) == []
    for end in ends:
        deltas = said_in_response(*begun, end, to_the_end=False)
        assert dones(deltas) == [expected]
        check_parts(deltas)
    assert dones(said_in_response(*begun, *ends, *ends)) == [expected]
    assert dones(said_in_response(begun[0], *ends)) == [expected]
    for end in ends[1:3]:
        assert dones(said_in_response(end)) == [expected]


def test_a_call_without_arguments_is_one() -> None:
    assert short(said_in_response(BEGIN, event("function_call_arguments.done", arguments=""))) == [
        "function! call_1 f "
    ]


def test_a_call_waits_for_its_id_and_its_name() -> None:
    begun = [
        event("function_call_arguments.delta", item_id="fc_1", delta="{}"),
        event("function_call_arguments.done", item_id="fc_1", arguments="{}"),
    ]
    assert short(said_in_response(*begun, to_the_end=False)) == ["call None None {}"]
    for end in (event("output_item.done", item=function("{}")), ended(function("{}"))):
        assert dones(said_in_response(*begun, end, to_the_end=False)) == ["function! call_1 f {}"]


def test_calls_that_overlap() -> None:
    deltas = said_in_response(
        event("output_item.added", 0, item=function("")),
        event("output_item.added", 1, item=function("", 2)),
        event("function_call_arguments.delta", 1, delta='{"b": '),
        event("function_call_arguments.delta", 0, delta="{"),
        event("function_call_arguments.delta", 1, delta="2}"),
        event("function_call_arguments.done", 1, arguments='{"b": 2}'),
        event("function_call_arguments.delta", 0, delta="}"),
        event("function_call_arguments.done", 0, arguments="{}"),
        ended(function("{}"), function('{"b": 2}', 2)),
    )
    assert dones(deltas) == ['function! call_2 f {"b": 2}', "function! call_1 f {}"]
    check_parts(deltas)


def test_a_call_that_only_the_end_knows_of_is_told_from_those_that_were_heard() -> None:
    heard = [event("output_item.done", 0, item=function("{}"))]
    assert dones(said_in_response(*heard, ended(function("{}"), function("{}", 2)))) == [
        "function! call_1 f {}",
        "function! call_2 f {}",
    ]
    nameless = {"type": "function_call", "name": "f", "arguments": "{}"}
    assert dones(said_in_response(*heard, ended(message(""), nameless))) == ["function! call_1 f {}"]
    assert dones(said_in_response(ended(nameless))) == ["function! None f {}"]


def test_what_a_server_sends_for_a_call_that_is_done_is_not_said() -> None:
    end = event("output_item.done", item=function("{}"))
    assert dones(said_in_response(BEGIN, end, event("function_call_arguments.delta", delta="x"), ended())) == [
        "function! call_1 f {}"
    ]


def test_other_items_are_no_parts() -> None:
    deltas = said_in_response(
        event("output_item.added", item={"type": "web_search_call", "id": "ws_1"}),
        event("code_interpreter_call_code.delta", 1, delta="1"),
        event("code_interpreter_call_code.done", 1, code="1"),
        ended({"type": "web_search_call", "id": "ws_1"}),
    )
    assert deltas == []


# The whole of it


def test_a_stream_with_something_of_everything() -> None:
    deltas = said_by(responses(*map(sse, FULL_RESPONSES)))
    assert sorted(dones(deltas)) == [
        "content! Hé",
        "custom! call_2 h i",
        "function! call_1 f {}",
        "mcp! mcp1 g {}",
        "reasoning! hm",
        "reasoning! hm",
        "refusal! no",
    ]
    check_parts(deltas)


def in_pieces(whole: str, cuts: set[int]) -> list[str]:
    places = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    return [whole[a:b] for a, b in itertools.pairwise(places)]


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[Json], list[str]]:
    """Items whose texts are chopped and interleaved anyhow, of which some have no `done`, and the texts."""
    wholes = draw(st.lists(st.text("ab{}", min_size=1, max_size=8), min_size=1, max_size=4))
    queues: list[list[Json]] = []
    for index, whole in enumerate(wholes):
        is_call = draw(st.booleans())
        item = function(whole, index) if is_call else message(whole, f"msg_{index}")
        family, field = ("function_call_arguments", "arguments") if is_call else ("output_text", "text")
        empty = {**item, "arguments": "", "content": []}
        pieces = in_pieces(whole, draw(st.sets(st.integers(1, 8)))) if draw(st.booleans()) else []
        ends = [event(f"{family}.done", index, **{field: whole}), event("output_item.done", index, item=item)]
        queues.append(
            [
                event("output_item.added", index, item=empty),
                *(event(f"{family}.delta", index, delta=piece) for piece in pieces),
                *[end for end in ends if draw(st.booleans()) or (end is ends[1] and not pieces)],
            ]
        )
    events: list[Json] = []
    while queue := draw(st.sampled_from([queue for queue in queues if queue] or [[]])):
        events.append(queue.pop(0))
    return events, wholes


@given(answers())
def test_any_chopping_and_interleaving_gives_the_same_parts(answer: tuple[list[Json], list[str]]) -> None:
    events, wholes = answer
    deltas = said_in_response(*events, ended())
    check_parts(deltas)
    made = [delta for delta in deltas if delta.type.endswith(".done")]
    assert {delta.index: text_of(delta) for delta in made} == dict(enumerate(wholes))
    assert len(made) == len(wholes)
    output = responses(*map(sse, [*events, ended()])).snapshot.output
    assert [item.arguments if item.type == "function_call" else item.content[0].text for item in output] == wholes


def sharing_an_index(events: list[Json]) -> list[Json]:
    """Check a server that sends `output_index: 0` with every event, so that only ids tell items apart."""
    made: list[Json] = []
    for raw in events:
        is_call = "arguments" in raw["type"] or raw.get("item", {}).get("type") == "function_call"
        made.append({**raw, "output_index": 0, "item_id": f"{'fc' if is_call else 'msg'}_{raw['output_index']}"})
    return made


def calls_and_texts(played: Played) -> tuple[list[str], list[str]]:
    output = played.snapshot.output
    calls = [f"{item.call_id} {item.arguments}" for item in output if item.type == "function_call"]
    return sorted(calls), sorted(item.content[0].text for item in output if item.type == "message")


@given(answers(), st.sampled_from(["nothing", "everything", "empty texts", "no calls"]))
def test_items_that_share_an_index_are_told_apart_and_all_views_agree(
    answer: tuple[list[Json], list[str]], last: str
) -> None:
    events = sharing_an_index(answer[0])
    plain = responses(*map(sse, [*answer[0], ended()]))
    raws = [item.raw for item in plain.snapshot.output]
    output = {
        "nothing": [],
        "everything": raws,
        "empty texts": [{**raw, "content": [], "arguments": ""} for raw in raws],
        "no calls": [raw for raw in raws if raw["type"] == "message"],
    }
    played = responses(*map(sse, [*events, ended(*output[last])]))
    assert calls_and_texts(played) == calls_and_texts(plain)
    deltas = said_by(played)
    check_parts(deltas)
    calls = sorted(f"{delta.id} {delta.arguments}" for delta in deltas if isinstance(delta, ToolCallDone))
    texts = sorted(delta.text for delta in deltas if type(delta) is ContentDone)
    assert (calls, texts) == calls_and_texts(played)


@given(answers(), st.data())
def test_whoever_comes_late_gets_what_is_new_and_whole_parts(
    answer: tuple[list[Json], list[str]], data: st.DataObject
) -> None:
    events = responses(*map(sse, [*answer[0], ended()])).events
    at = data.draw(st.integers(0, len(events)))
    protocol = ResponseProtocol()
    protocol.add(events[:at])
    late = said(protocol, events[at:])
    early = said(ResponseProtocol(), events)
    wholes = {done.index: text_of(done) for done in early if done.type.endswith(".done")}
    assert all(text_of(done) == wholes[done.index] for done in late if done.type.endswith(".done"))
    new = early[len(said(ResponseProtocol(), events[:at], to_the_end=False)) :]
    assert {done.index for done in new if done.type.endswith(".done")} <= {done.index for done in late}
    assert [d.delta for d in late if hasattr(d, "delta")] == [d.delta for d in new if hasattr(d, "delta")]


@given(spoiled_streams(FULL_RESPONSES))
def test_nothing_that_a_server_sends_makes_it_fail(stream: list[Any]) -> None:
    played = responses(*map(sse, stream))
    deltas = said_by(played)
    late = said(played.protocol, [], to_the_end=played.error is None)
    calls = [delta.part for delta in deltas if isinstance(delta, ToolCallDone)]
    assert len(calls) == len(set(calls))
    assert all(delta.type for delta in late)
