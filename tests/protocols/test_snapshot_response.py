"""Responses: what the events add up to, rule by rule."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from part_helpers import said_in_response
from streams import FULL_RESPONSES, ODD_VALUES, Json, Played, made, paths, responses, spoiled, spoiled_streams, sse

from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai.types import (
    ContentDone,
    Response,
    ResponseApplyPatchToolCall,
    ResponseCodeInterpreterToolCall,
    ResponseCustomToolCall,
    ResponseFunctionShellToolCall,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseReasoningItem,
    ToolCallDone,
)
from trio_openai.types._fields import hook_for
from trio_openai.types.responses import ResponseStreamEvent

CREATED: Json = {
    "type": "response.created",
    "response": {"id": "r1", "status": "in_progress", "model": "m", "output": []},
}


def end(kind: str = "completed", **fields: Any) -> Json:
    return {"type": f"response.{kind}", "response": {"id": "r1", "status": kind, "output": [], **fields}}


def event(kind: str, index: int | None = 0, item_id: str | None = None, **fields: Any) -> Json:
    where = {"output_index": index, "item_id": item_id}
    return {"type": f"response.{kind}", **{k: v for k, v in where.items() if v is not None}, **fields}


def added(index: int | None, item: Json) -> Json:
    return event("output_item.added", index, item=item)


def item_done(index: int | None, item: Json) -> Json:
    return event("output_item.done", index, item=item)


def text_delta(text: str, index: int | None = 0, item_id: str | None = None, content_index: int = 0) -> Json:
    return event("output_text.delta", index, item_id, content_index=content_index, delta=text)


def text_done(text: str, index: int | None = 0, item_id: str | None = None, content_index: int = 0) -> Json:
    return event("output_text.done", index, item_id, content_index=content_index, text=text)


def message(text: str, id: str = "m1") -> Json:
    return {"type": "message", "id": id, "role": "assistant", "content": [{"type": "output_text", "text": text}]}


EMPTY: Json = {"type": "message", "id": "m1", "role": "assistant", "status": "in_progress", "content": []}


def play(*events: Json, ended: bool = True) -> Played:
    played = responses(*map(sse, events))
    assert played.raws == list(events)
    assert (played.error is None) == ended
    return played


def folded(*events: Json) -> Response:
    """Return the response after these events and a final event without output."""
    return play(CREATED, *events, end()).snapshot


# The response itself


def test_the_terminal_event_is_the_response() -> None:
    whole = end(output=[message("Hello")], usage={"total_tokens": 3}, metadata={"a": "b"})
    played = play(CREATED, text_delta("Hel"), whole)
    assert played.snapshot is played.events[-1].response
    assert played.snapshot.output_text == "Hello"
    assert played.snapshot.usage.total_tokens == 3


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed", "cancelled"])
def test_whatever_the_end_the_response_is_rebuilt_where_its_output_is_empty(kind: str) -> None:
    played = play(CREATED, added(0, EMPTY), text_delta("Hel"), text_delta("lo"), end(kind, error={"message": "oops"}))
    assert played.snapshot.status == kind
    assert played.snapshot.error.message == "oops"
    assert played.snapshot.model == "m"
    assert played.snapshot.output_text == "Hello"
    assert played.verdict.reason == f"response.{kind}"


@pytest.mark.parametrize("output", [None, []])
def test_an_output_that_is_null_is_empty(output: Any) -> None:
    assert play(CREATED, text_delta("Hello"), end(output=output)).snapshot.output_text == "Hello"


def test_no_output_at_all_is_empty() -> None:
    last = {"type": "response.completed", "response": {"id": "r1", "status": "completed"}}
    assert play(CREATED, text_delta("Hello"), last).snapshot.output_text == "Hello"


def test_the_response_so_far_has_what_the_latest_event_said() -> None:
    queued = {"type": "response.queued", "response": {"id": "r1", "status": "queued", "metadata": {"a": "b"}}}
    progress = {"type": "response.in_progress", "response": {"id": "r1", "status": "in_progress", "model": "m"}}
    played = play(queued, progress, text_delta("Hel"), ended=False)
    assert (played.snapshot.status, played.snapshot.model, played.snapshot.metadata) == ("in_progress", "m", {"a": "b"})
    assert played.snapshot.output_text == "Hel"


def test_no_event_is_an_empty_response() -> None:
    assert responses().snapshot == Response()


def test_ids_of_the_response_may_change() -> None:
    played = play(CREATED, text_delta("Hello"), end(id="r2"))
    assert (played.snapshot.id, played.snapshot.output_text) == ("r2", "Hello")


def test_a_snapshot_does_not_change_with_later_events() -> None:
    protocol = responses().protocol
    protocol.add([made(protocol, raw) for raw in (CREATED, added(0, EMPTY), text_delta("Hel"))])
    before = protocol.snapshot()
    annotation = event("output_text.annotation.added", annotation={"type": "url_citation"}, annotation_index=0)
    later = (annotation, text_delta("lo"), text_done("Hello"), added(1, {**EMPTY, "id": "m2"}))
    protocol.add([made(protocol, raw) for raw in later])
    assert before.output_text == "Hel"
    assert len(before.output) == 1
    assert not before.output[0].content[0].annotations


def test_the_events_are_not_changed_by_the_snapshot() -> None:
    events = [CREATED, added(0, dict(EMPTY)), text_delta("Hel"), text_done("Hello"), item_done(0, dict(EMPTY)), end()]
    played = play(*events)
    assert played.snapshot.output_text == "Hello"
    assert played.raws == events
    assert EMPTY["content"] == []


# Text, with and without deltas


@pytest.mark.parametrize(
    "events",
    [
        [added(0, EMPTY), text_delta("Hel"), text_delta("lo"), text_done("Hello"), item_done(0, message("Hello"))],
        [added(0, EMPTY), text_delta("Hel"), text_delta("lo"), text_done("Hello")],
        [added(0, EMPTY), text_delta("Hel"), text_delta("lo")],
        [text_delta("Hel"), text_delta("lo")],
        [added(0, EMPTY), text_done("Hello")],
        [text_done("Hello")],
        [item_done(0, message("Hello"))],
        [added(0, EMPTY), item_done(0, message("Hello"))],
        [text_delta("Hel"), text_delta("lo"), item_done(0, EMPTY)],
        [text_delta("Hel"), text_delta("lo"), item_done(0, message(""))],
        [text_delta("Hel"), text_delta("lo"), item_done(0, {"type": "message", "id": "m1"})],
        [text_delta("Hel"), text_delta("lo"), item_done(0, {**EMPTY, "content": None})],
        [text_delta("Hel"), added(0, EMPTY), text_delta("lo")],
        [text_delta("Hel"), text_delta("lo"), text_done("")],
        [text_delta("Hel", None), text_delta("lo", None)],
        [text_delta("Hel", None, "m1"), text_delta("lo", None, "m1"), text_done("Hello", None, "m1")],
        [added(0, EMPTY), text_delta("Hel", None, "m1"), text_delta("lo", None, "m1")],
        [
            added(None, EMPTY),
            text_delta("Hel", None, "m1"),
            text_delta("lo", None, "m1"),
            item_done(None, message("Hello")),
        ],
        [added(None, EMPTY), text_delta("Hel", 0, "m1"), text_delta("lo", 0, "m1")],
        [added(0, EMPTY), text_delta("Hel", 0, "m7"), text_delta("lo", 0, "m8"), item_done(0, message("Hello", "m9"))],
        [added(0, EMPTY), {"type": "response.output_text.delta", "delta": "Hello"}],
        [{"type": "response.output_text.delta", "delta": "Hello"}],
    ],
)
def test_text(events: list[Json]) -> None:
    played = play(CREATED, *events, end())
    assert played.snapshot.output_text == "Hello"
    assert played.text == "Hello"
    assert len(played.snapshot.output) == 1
    assert type(played.snapshot.output[0]) is ResponseOutputMessage


def test_text_comes_once() -> None:
    whole = end(output=[message("Hello")])
    assert play(CREATED, text_delta("Hello"), text_done("Hello"), item_done(0, message("Hello")), whole).text == "Hello"
    assert play(CREATED, text_done("Hello"), item_done(0, message("Hello")), whole).text == "Hello"
    assert play(CREATED, item_done(0, message("Hello")), whole).text == "Hello"
    assert play(CREATED, whole).text == "Hello"


def test_the_text_of_done_replaces_the_deltas() -> None:
    assert folded(text_delta("Hxl"), text_delta("lo"), text_done("Hello")).output_text == "Hello"


def test_the_item_of_done_replaces_everything() -> None:
    assert folded(text_delta("Hxl"), item_done(0, message("Hello"))).output_text == "Hello"


def test_parts_of_the_content() -> None:
    response = folded(
        added(0, EMPTY),
        event("content_part.added", content_index=0, part={"type": "output_text", "text": "", "annotations": []}),
        text_delta("one "),
        event("content_part.added", content_index=1, part={"type": "output_text", "text": ""}),
        text_delta("three", content_index=1),
        text_delta("two ", content_index=0),
        event("content_part.done", content_index=1, part={"type": "output_text", "text": "three", "logprobs": []}),
    )
    assert [part.text for part in response.output[0].content] == ["one two ", "three"]
    assert response.output_text == "one two three"


def test_refusals() -> None:
    played = play(
        CREATED,
        added(0, EMPTY),
        event("refusal.delta", content_index=0, delta="I can"),
        event("refusal.delta", content_index=0, delta="not"),
        event("refusal.done", content_index=0, refusal="I cannot"),
        end(),
    )
    part = played.snapshot.output[0].content[0]
    assert (part.type, part.refusal) == ("refusal", "I cannot")
    assert played.text == played.snapshot.output_text == ""


def test_annotations() -> None:
    def annotation(url: str, **where: Any) -> Json:
        return event(
            "output_text.annotation.added", content_index=0, annotation={"type": "url_citation", "url": url}, **where
        )

    for places in ([{"annotation_index": 0}, {"annotation_index": 1}], [{}, {}]):
        response = folded(text_delta("Hi"), *(annotation(url, **at) for url, at in zip("ab", places, strict=True)))
        assert [a.url for a in response.output[0].content[0].annotations] == ["a", "b"]
        assert response.output_text == "Hi"


@pytest.mark.parametrize("index", [-1, -5, 10**12, None, "0", True, 1.5])
def test_an_index_that_makes_no_sense_is_no_reason_to_crash(index: Any) -> None:
    for name in ("output_index", "content_index", "annotation_index", "summary_index", "command_index"):
        for kind in (
            "output_text.delta",
            "output_text.annotation.added",
            "content_part.added",
            "shell_call_command.delta",
        ):
            body = {"delta": "a", "annotation": {"url": "u"}, "part": {"type": "output_text"}}
            played = play(CREATED, {**event(kind, **body), name: index}, end())
            assert len(played.snapshot.output) == 1
            assert len(repr(played.snapshot.raw)) < 10_000


def test_a_high_index_costs_no_memory_to_speak_of() -> None:
    response = folded(text_delta("a", content_index=9_000), text_delta("b", content_index=10**9))
    assert sorted(part.text for part in response.output[0].content) == ["a", "b"]


# Items


def test_items_that_overlap() -> None:
    def call(number: int, **more: Any) -> Json:
        return {"type": "function_call", "id": f"fc{number}", "call_id": f"c{number}", "name": f"f{number}", **more}

    for one, two, id_one, id_two in ((0, 1, None, None), (None, None, "fc1", "fc2"), (0, 1, "fc1", "fc2")):
        response = folded(
            added(one, call(1, arguments="")),
            added(two, call(2, arguments="")),
            event("function_call_arguments.delta", two, id_two, delta="[1"),
            event("function_call_arguments.delta", one, id_one, delta="{"),
            event("function_call_arguments.delta", two, id_two, delta="]"),
            event("function_call_arguments.delta", one, id_one, delta="}"),
        )
        assert [(item.call_id, item.name, item.arguments) for item in response.output] == [
            ("c1", "f1", "{}"),
            ("c2", "f2", "[1]"),
        ]


def test_output_index_orders_and_may_have_holes() -> None:
    response = folded(
        text_delta("second", 7),
        event("function_call_arguments.delta", 3, delta="{}"),
        text_delta("first ", 0),
    )
    assert [type(item) for item in response.output] == [
        ResponseOutputMessage,
        ResponseFunctionToolCall,
        ResponseOutputMessage,
    ]
    assert response.output_text == "first second"


def test_one_id_for_all_items_does_not_merge_them() -> None:
    response = folded(
        added(0, {**EMPTY, "id": "same"}),
        text_delta("a", 0, "same"),
        added(1, {**EMPTY, "id": "same"}),
        text_delta("b", 1, "same"),
        text_delta("A", 0, "same"),
    )
    assert [item.content[0].text for item in response.output] == ["aA", "b"]


def test_an_item_that_was_never_added_is_of_the_kind_that_the_event_speaks_of() -> None:
    kinds = {
        "output_text.delta": ResponseOutputMessage,
        "refusal.delta": ResponseOutputMessage,
        "reasoning_text.delta": ResponseReasoningItem,
        "reasoning_summary_text.delta": ResponseReasoningItem,
        "function_call_arguments.delta": ResponseFunctionToolCall,
        "custom_tool_call_input.delta": ResponseCustomToolCall,
        "code_interpreter_call_code.delta": ResponseCodeInterpreterToolCall,
        "shell_call_command.delta": ResponseFunctionShellToolCall,
        "apply_patch_call_operation_diff.delta": ResponseApplyPatchToolCall,
    }
    for kind, cls in kinds.items():
        response = folded(event(kind, delta="a", item_id="x"))
        assert type(response.output[0]) is cls
        assert response.output[0].id == "x"


FAMILIES: list[tuple[str, str, Json, str, Json]] = [
    ("function_call_arguments", "arguments", {"type": "function_call", "call_id": "c"}, "arguments", {}),
    ("mcp_call_arguments", "arguments", {"type": "mcp_call", "server_label": "s"}, "arguments", {}),
    ("custom_tool_call_input", "input", {"type": "custom_tool_call", "name": "n"}, "input", {}),
    ("code_interpreter_call_code", "code", {"type": "code_interpreter_call", "container_id": "c"}, "code", {}),
    ("apply_patch_call_operation_diff", "diff", {"type": "apply_patch_call", "operation": {}}, "operation.diff", {}),
    ("shell_call_command", "command", {"type": "shell_call", "action": {}}, "action.commands.0", {"command_index": 1}),
    ("reasoning_text", "text", {"type": "reasoning"}, "content.0.text", {"content_index": 0}),
    ("reasoning_summary_text", "text", {"type": "reasoning"}, "summary.0.text", {"summary_index": 1}),
    ("output_text", "text", {"type": "message", "role": "assistant"}, "content.0.text", {"content_index": 1}),
    ("refusal", "refusal", {"type": "message", "role": "assistant"}, "content.0.refusal", {"content_index": 0}),
]


@pytest.mark.parametrize(("family", "field", "item", "path", "where"), FAMILIES, ids=[family[0] for family in FAMILIES])
def test_each_family_of_texts(family: str, field: str, item: Json, path: str, where: Json) -> None:
    first, second = (event(f"{family}.delta", delta=text, **where) for text in ("ab", "cd"))
    whole = event(f"{family}.done", **{field: "abcd"}, **where)
    for events in ([first, second, whole], [first, second], [whole]):
        for before in ([added(0, item)], []):
            for after in ([], [item_done(0, item)], [item_done(0, {**item, "status": "completed"})]):
                response = folded(*before, *events, *after)
                assert len(response.output) == 1
                assert response.output[0].raw["type"] == item["type"]
                value: Any = response.output[0].raw
                for name in path.split("."):
                    value = value[int(name) if name.isdigit() else name]
                assert value == "abcd"
                if before or after:
                    assert item.items() <= response.output[0].raw.items() or "." in path


def test_the_summary_of_reasoning() -> None:
    response = folded(
        added(0, {"type": "reasoning", "id": "rs", "summary": []}),
        event("reasoning_summary_part.added", summary_index=0, part={"type": "summary_text", "text": ""}),
        event("reasoning_summary_text.delta", summary_index=0, delta="one"),
        event("reasoning_summary_part.done", summary_index=0, part={"type": "summary_text", "text": "one"}),
        event("reasoning_summary_part.added", summary_index=1, part={"type": "summary_text", "text": ""}),
        event("reasoning_summary_text.delta", summary_index=1, delta="two"),
    )
    assert [part.text for part in response.output[0].summary] == ["one", "two"]
    assert response.output_text == ""


def test_the_commands_of_a_shell_call() -> None:
    response = folded(
        added(0, {"type": "shell_call", "id": "sh", "call_id": "c", "action": {"commands": [], "timeout_ms": 5}}),
        event("shell_call_command.added", command_index=0, command=""),
        event("shell_call_command.delta", command_index=0, delta="ls"),
        event("shell_call_command.delta", command_index=1, delta="pwd"),
        event("shell_call_command.delta", command_index=0, delta=" -l"),
    )
    assert response.output[0].action.commands == ["ls -l", "pwd"]
    assert response.output[0].action.timeout_ms == 5


def test_tools_of_the_server_come_with_their_items() -> None:
    search = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}}
    image = {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "QQ=="}
    response = folded(
        added(0, {"type": "web_search_call", "id": "ws", "status": "in_progress"}),
        event("web_search_call.searching", 0, "ws"),
        item_done(0, search),
        added(1, {"type": "image_generation_call", "id": "ig", "status": "in_progress"}),
        event("image_generation_call.partial_image", 1, "ig", partial_image_b64="QQ==", partial_image_index=0),
        item_done(1, image),
        item_done(2, {"type": "from_the_future", "id": "x", "power": 9}),
    )
    assert [item.type for item in response.output] == ["web_search_call", "image_generation_call", "from_the_future"]
    assert response.output[0].action.query == "q"
    assert response.output[1].result == "QQ=="
    assert response.output[2].raw["power"] == 9


def test_events_of_tools_that_say_nothing_make_no_item() -> None:
    response = folded({"type": "response.web_search_call.searching", "item_id": "ws"}, {"type": "keepalive"})
    assert response.output == []


# Items that share an index


def call(number: int, arguments: str = "", **more: Any) -> Json:
    named = {"id": f"fc{number}", "call_id": f"c{number}", "name": f"f{number}"}
    return {"type": "function_call", **named, "arguments": arguments, **more}


def calls(response: Response) -> list[tuple[str, str, str]]:
    return [(item.call_id, item.name, item.arguments) for item in response.output]


def arguments(number: int, delta: str) -> Json:
    return event("function_call_arguments.delta", 0, f"fc{number}", delta=delta)


SHARED: dict[str, list[Json]] = {
    "one after the other": [
        *(
            added(0, call(1)),
            event("function_call_arguments.delta", 0, "fc1", delta="[1]"),
            item_done(0, call(1, "[1]")),
        ),
        *(
            added(0, call(2)),
            event("function_call_arguments.delta", 0, "fc2", delta="[2]"),
            item_done(0, call(2, "[2]")),
        ),
    ],
    "interleaved": [
        *(added(0, call(1)), added(0, call(2))),
        *(arguments(2, text) for text in "[2"),
        *(arguments(1, text) for text in "[1"),
        *(arguments(2, "]"), arguments(1, "]")),
    ],
    "only the ends": [item_done(0, call(1, "[1]")), item_done(0, call(2, "[2]"))],
    "ids that change, told by the call_id": [
        *(added(0, call(1, id="a")), added(0, call(2, id="b"))),
        *(item_done(0, call(1, "[1]", id="c")), item_done(0, call(2, "[2]", id="d"))),
    ],
}


@pytest.mark.parametrize("last", [[], [call(1, "[1]"), call(2, "[2]")], [call(1, ""), call(2, "")]])
@pytest.mark.parametrize("events", SHARED.values(), ids=SHARED)
def test_items_that_share_an_output_index_are_separate(events: list[Json], last: list[Json]) -> None:
    expected = [("c1", "f1", "[1]"), ("c2", "f2", "[2]")]
    assert calls(play(CREATED, *events, end(output=last)).snapshot) == expected
    deltas = said_in_response(CREATED, *events, end(output=last))
    assert [(d.id, d.name, d.arguments) for d in deltas if isinstance(d, ToolCallDone)] == expected


def test_items_of_other_types_at_one_index_are_separate() -> None:
    response = folded(
        event("reasoning_text.delta", 0, delta="hm"),
        text_delta("Hel", 0),
        event("function_call_arguments.delta", 0, "fc1", delta="{}"),
        text_delta("lo", 0, "m1"),
    )
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call", "message"]
    assert response.output_text == "Hello"


def test_messages_at_one_index_are_separate_if_the_first_is_done() -> None:
    one = [added(0, EMPTY), text_delta("a", 0, "m1"), item_done(0, message("a"))]
    two = [added(0, {**EMPTY, "id": "m2"}), text_delta("b", 0, "m2"), item_done(0, message("b", "m2"))]
    assert [item.content[0].text for item in folded(*one, *two).output] == ["a", "b"]
    assert len(folded(*one, *one).output) == 1


def test_an_index_below_zero_is_no_index() -> None:
    assert calls(folded(item_done(-1, call(1, "[1]")), item_done(-1, call(2, "[2]")))) == [
        ("c1", "f1", "[1]"),
        ("c2", "f2", "[2]"),
    ]


# The last event never erases what was delivered

DELIVERED = {
    "deltas": [text_delta("Hel"), text_delta("lo")],
    "an item and deltas": [added(0, EMPTY), text_delta("Hel", 0, "m1"), text_delta("lo", 0, "m1")],
    "deltas at another content_index": [text_delta("Hel", content_index=1), text_delta("lo", content_index=1)],
    "a whole item": [item_done(0, message("Hello"))],
    "everything": [
        added(0, EMPTY),
        event("content_part.added", content_index=0, part={"type": "output_text", "text": ""}),
        text_delta("Hello"),
        text_done("Hello"),
        item_done(0, message("Hello")),
    ],
}
LEFT_OUT: dict[str, list[Json]] = {
    "no content": [EMPTY],
    "a content that is null": [{**EMPTY, "content": None}],
    "no such field": [{"type": "message", "id": "m1"}],
    "an empty text": [message("")],
    "an empty text with another id": [message("", "m7")],
    "half of the text": [message("Hel")],
    "only other items": [call(1, "{}")],
    "other content": [{**EMPTY, "content": [{"type": "refusal", "refusal": "no"}]}],
    "a message with less": [message("Hel", "m7"), call(1, "{}")],
}


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
@pytest.mark.parametrize("output", LEFT_OUT.values(), ids=LEFT_OUT)
@pytest.mark.parametrize("events", DELIVERED.values(), ids=DELIVERED)
def test_the_last_event_never_erases_text_that_was_delivered(events: list[Json], output: list[Json], kind: str) -> None:
    played = play(CREATED, *events, end(kind, output=output, usage={"total_tokens": 7}))
    assert played.text == played.snapshot.output_text == "Hello"
    assert played.snapshot.usage.total_tokens == 7
    assert [item.type for item in played.snapshot.output if item.type != "message"] == [
        item["type"] for item in output if item["type"] != "message"
    ]
    if kind == "completed":
        whole = [
            done.text for done in said_in_response(CREATED, *events, end(output=output)) if type(done) is ContentDone
        ]
        assert whole == ["Hello"]


def test_other_texts_are_not_erased_either() -> None:
    for family, field, item, path, where in FAMILIES:
        events = [added(0, {**item, "id": "x", "name": "f", "call_id": "c"})]
        events.append(event(f"{family}.delta", 0, delta="abcd", **where))
        for output in ([{**item, "id": "x"}], [message("Hi", "other")]):
            value: Any = play(CREATED, *events, end(output=output)).snapshot.output[0].raw
            for name in path.split("."):
                value = value[int(name) if name.isdigit() else name]
            assert value == "abcd", (family, field)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ([message("Hello", "m1"), message(" you", "m2")], "Hello you"),
        ([message(" you", "m2"), message("Hxllo", "m1")], " youHxllo"),
        ([message("Hxllo you", "m9")], "Hxllo you"),
        ([message(" you", "m9")], "Hxllo you"),
        ([message("Hxllo", "m9")], "Hxllo you"),
        ([message("Hxllo", "m8"), message(" you", "m9"), message("!", "m7")], "Hxllo you!"),
    ],
)
def test_the_last_event_may_correct_and_renumber(output: list[Json], expected: str) -> None:
    """Under the same id what it says counts. A text that it has in another item is not added once more."""
    events = [text_delta("Hxllo", 0, "m1"), text_delta(" you", 1, "m2")]
    assert play(CREATED, *events, end(output=output)).snapshot.output_text == expected


# Fields that the API does not have


@pytest.mark.parametrize("output", [[], [message("Hello")]], ids=["rebuilt", "whole"])
def test_unknown_fields_are_preserved(output: list[Json]) -> None:
    played = play(
        {**CREATED, "provider": "p", "response": {**CREATED["response"], "citations": ["old"], "cost": 1}},
        {"type": "response.in_progress", "response": {"id": "r1", "citations": ["new"]}},
        {**added(0, {**EMPTY, "agent": "a", "turn": 1}), "node": 5},
        {
            **event("content_part.added", content_index=0, part={"type": "output_text", "text": "", "lang": "en"}),
            "x": 1,
        },
        {**text_delta("Hel"), "sources": [1], "mood": "odd"},
        text_delta("l"),
        {**text_delta("o"), "sources": [2], "mood": "fine"},
        item_done(0, {**message("Hello"), "turn": 2}),
        {**end(output=output), "trace": "t"},
    )
    raw = played.snapshot.raw
    assert {name: raw[name] for name in ("provider", "citations", "cost", "trace")} == {
        "provider": "p",
        "citations": ["new"],
        "cost": 1,
        "trace": "t",
    }
    item = raw["output"][0]
    assert (item["agent"], item["turn"], item["node"]) == ("a", 2, 5)
    part = item["content"][0]
    assert (part["lang"], part["x"], part["sources"], part["mood"]) == ("en", 1, [1, 2], "fine")
    assert part["text"] == played.snapshot.output[0].content[0].raw["text"] == "Hello"
    assert played.snapshot.output[0].raw == item


def test_unknown_fields_of_calls_survive() -> None:
    response = folded(
        added(0, call(1, signature="s")),
        {**event("function_call_arguments.delta", 0, delta="{}"), "thought": ["a"]},
        {**event("function_call_arguments.done", 0, arguments="{}"), "thought": ["b"]},
    )
    assert response.output[0].raw == {**call(1, "{}"), "signature": "s", "thought": ["a", "b"]}


def test_padding_is_not_accumulated() -> None:
    response = folded({**text_delta("Hello"), "obfuscation": "xyz", "logprobs": [], "sequence_number": 3})
    assert response.output[0].content[0].raw == {"text": "Hello", "type": "output_text"}


# Sent back to strict servers


@pytest.mark.parametrize("index", [1, 7, 10**18])
def test_an_index_that_nothing_came_for_leaves_no_null(index: int) -> None:
    response = folded(text_delta("a", content_index=index), text_delta("b", content_index=index + 2))
    assert [part["text"] for part in response.raw["output"][0]["content"]] == ["a", "b"]
    whole = item_done(0, {**EMPTY, "content": [{"type": "output_text", "text": text} for text in ("a!", "b!")]})
    response = folded(text_delta("a", content_index=index), text_delta("b", content_index=index + 2), whole)
    assert [part["text"] for part in response.raw["output"][0]["content"]] == ["a!", "b!"]


@pytest.mark.parametrize("missing", [{}, {"call_id": None}, {"call_id": ""}])
@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call"])
def test_a_call_without_call_id_is_answered_by_the_id_of_its_item(kind: str, missing: Json) -> None:
    field = "input" if kind == "custom_tool_call" else "arguments"
    item = {"type": kind, "id": "fc_9", "name": "f", field: "{}", **missing}
    begun = [added(0, {**item, field: ""}), event(f"{kind}_arguments.delta", 0, "fc_9", delta="{}")]
    for events in ([*begun, item_done(0, item), end()], [*begun, end(output=[item])], [end(output=[item])]):
        assert [out.call_id for out in play(CREATED, *events).snapshot.output] == ["fc_9"]
        assert [d.id for d in said_in_response(CREATED, *events) if isinstance(d, ToolCallDone)] == ["fc_9"]


def test_the_id_of_an_item_does_not_answer_a_call_whose_call_id_is_on_its_way() -> None:
    events = [
        added(0, {"type": "function_call", "id": "fc1", "name": "f1"}),
        event("function_call_arguments.done", 0, "fc1", arguments="{}"),
        item_done(0, call(1, "{}")),
    ]
    assert calls(folded(*events)) == [("c1", "f1", "{}")]
    assert [d.id for d in said_in_response(*events, end()) if isinstance(d, ToolCallDone)] == ["c1"]


@pytest.mark.parametrize("nameless", [{}, {"id": None, "call_id": None, "name": None}, {"id": "", "call_id": ""}])
def test_what_an_item_is_called_stays_if_its_end_does_not_say(nameless: Json) -> None:
    last = {"type": "function_call", "arguments": "{}", **nameless}
    for events in (
        [item_done(0, last), end()],
        [item_done(0, call(1, "{}")), end(output=[last])],
        [end(output=[last])],
    ):
        everything = [added(0, call(1)), event("function_call_arguments.delta", 0, delta="{}"), *events]
        assert calls(play(CREATED, *everything).snapshot) == [("c1", "f1", "{}")]
        done = [delta for delta in said_in_response(*everything) if isinstance(delta, ToolCallDone)]
        assert [(delta.id, delta.name) for delta in done] == [("c1", "f1")]


def test_arguments_that_a_tool_ran_with_do_not_change() -> None:
    for later in ([event("function_call_arguments.delta", 0, delta="x")], [item_done(0, call(1, '{"a": 1}'))]):
        events = [added(0, call(1)), event("function_call_arguments.done", 0, arguments="{}"), *later]
        last = end(output=[call(1, '{"b": 1}')])
        for stop in (end(), last):
            assert calls(play(CREATED, *events, stop).snapshot) == [("c1", "f1", "{}")]
            deltas = said_in_response(*events, stop)
            assert [d.arguments for d in deltas if isinstance(d, ToolCallDone)] == ["{}"]


def test_halves_of_a_character_in_two_deltas_are_joined() -> None:
    for family, *_, where in FAMILIES:
        halves = [event(f"{family}.delta", 0, delta=text, **where) for text in ("a\ud83d", "\ude00b")]
        assert "a\U0001f600b" in repr(folded(*halves).raw), family
    deltas = said_in_response(text_delta("a\ud83d"), text_delta("\ude00b"), end())
    assert [d.text for d in deltas if type(d) is ContentDone] == ["a\U0001f600b"]


# When content has arrived


@pytest.mark.parametrize(
    "raw",
    [
        text_delta("a"),
        text_done("a"),
        event("refusal.delta", delta="a"),
        event("reasoning_text.delta", delta="a"),
        event("reasoning_summary_text.delta", delta="a"),
        event("function_call_arguments.delta", delta="{"),
        added(0, {"type": "function_call", "name": "f"}),
        added(0, {"type": "web_search_call"}),
        item_done(0, message("a")),
    ],
    ids=lambda raw: raw["type"],
)
def test_what_counts_as_content(raw: Json) -> None:
    assert play(CREATED, raw, ended=False).protocol.has_content


@pytest.mark.parametrize(
    "raw",
    [
        CREATED,
        added(0, EMPTY),
        added(0, {"type": "reasoning", "summary": []}),
        event("content_part.added", content_index=0, part={"type": "output_text", "text": ""}),
        text_delta(""),
        {"type": "keepalive"},
    ],
    ids=lambda raw: raw["type"],
)
def test_what_does_not(raw: Json) -> None:
    assert not play(raw, ended=False).protocol.has_content


# The whole of it


def test_a_stream_with_something_of_everything_adds_up_to_its_own_output() -> None:
    whole = play(*FULL_RESPONSES).snapshot
    rebuilt = play(*FULL_RESPONSES[:-1], spoiled(FULL_RESPONSES[-1], ("response", "output"), [])).snapshot
    assert [item.type for item in rebuilt.output] == [item.type for item in whole.output]
    assert rebuilt.output_text == whole.output_text == "Hé"
    assert rebuilt.output[0] == whole.output[0]
    assert rebuilt.output[1].summary[0].text == "hm"
    assert rebuilt.output[2].arguments == "{}"
    assert rebuilt.output[3].action.commands == ["ls"]
    assert rebuilt.output[4].operation.raw["diff"] == "@@"
    assert rebuilt.output[5].code == "1"
    assert rebuilt.output[6].arguments == "{}"
    assert rebuilt.output[7].input == "i"
    assert rebuilt.usage == whole.usage


@pytest.mark.parametrize("at", range(len(FULL_RESPONSES)), ids=[raw["type"] for raw in FULL_RESPONSES])
def test_wrong_types_never_crash(at: int) -> None:
    """Replace every field of every event by a value of every kind, among the events next to it."""
    before, after = [CREATED, *FULL_RESPONSES[max(at - 3, 0) : at]], FULL_RESPONSES[at + 1 : at + 2]
    for path in paths(FULL_RESPONSES[at]):
        for value in ODD_VALUES if path not in ((), ("type",)) else []:
            events = [*before, spoiled(FULL_RESPONSES[at], path, value), *after]
            for last in ([], [end()], FULL_RESPONSES[-1:]):
                check_odd(responses(*map(sse, [*events, *last])), len(events), (path, value))


def check_odd(played: Played, least: int, what: object) -> None:
    assert len(played.events) >= least, what
    assert repr(played.snapshot)
    assert isinstance(played.snapshot.output_text, str), what
    played.protocol.failure()


@given(spoiled_streams(FULL_RESPONSES), st.integers(1, 300))
def test_the_snapshot_does_not_depend_on_how_the_body_is_split(events: list[Any], size: int) -> None:
    body = b"".join(map(sse, events))
    one, many = responses(body), responses(*(body[i : i + size] for i in range(0, len(body), size)))
    assert repr(one.snapshot.raw) == repr(many.snapshot.raw)
    assert one.text == many.text
    assert one.verdict == many.verdict


@given(st.permutations(range(3)), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_how_items_overlap_does_not_matter(order: list[int], turns: list[int]) -> None:
    events = [added(i, {"type": "function_call", "id": f"fc{i}", "call_id": f"c{i}", "arguments": ""}) for i in order]
    for number, turn in enumerate(turns):
        events.append(event("function_call_arguments.delta", turn, f"fc{turn}", delta=f"<{number}>"))
    response = folded(*events)
    for i in range(3):
        expected = "".join(f"<{number}>" for number, turn in enumerate(turns) if turn == i)
        assert (response.output[i].call_id, response.output[i].arguments) == (f"c{i}", expected)


@pytest.mark.promise(n=8)
def test_folding_is_linear() -> None:
    """Pieces are joined when somebody looks: ten thousand deltas, and only their own text is kept."""
    played = play(CREATED, *[text_delta("x" * 10)] * 10_000, end())
    assert len(played.snapshot.output_text) == 100_000


MANY = 10_000  # what takes the square of that takes minutes
PART: Json = {"type": "output_text", "text": ""}
FLOODS: dict[str, list[Json]] = {
    "items": [added(i, {**EMPTY, "id": f"m{i}"}) for i in range(MANY)],
    "items at one index": [added(0, {**EMPTY, "id": f"m{i}"}) for i in range(MANY)],
    "items without a name": [added(None, {"type": "message"})] * MANY,
    "parts at 9999": [event("content_part.added", 0, content_index=9999, part=PART)] * MANY,
    "items with a part at 9999": [text_delta("a", i, content_index=9999) for i in range(MANY)],
    "parts": [event("content_part.added", 0, content_index=i, part=PART) for i in range(MANY)],
    "texts": [text_delta("a", content_index=i * 10**6) for i in range(MANY)],
    "annotations": [event("output_text.annotation.added", annotation={"type": "x"})] * MANY,
    "commands": [event("shell_call_command.delta", command_index=i, delta="a") for i in range(MANY)],
    "ends of an item": [
        *(text_delta("a", content_index=i) for i in range(MANY)),
        *[item_done(0, {"type": "message", "id": "m"})] * MANY,
    ],
    "ends of a long text": [text_delta("a" * 10**6), *[text_done("a")] * MANY],
    "ends of long arguments": [
        event("function_call_arguments.delta", delta="a" * 10**6),
        *[event("function_call_arguments.done", arguments="b")] * MANY,
    ],
    "unknown fields": [{"type": "response.in_progress", "response": {f"f{i}": i}} for i in range(MANY)],
    "unknown fields of a part": [{**text_delta("a"), f"f{i}": [i]} for i in range(MANY)],
}


@pytest.mark.promise(n=8)
@pytest.mark.parametrize("events", FLOODS.values(), ids=FLOODS)
def test_any_number_of_items_and_parts_costs_what_their_bytes_do(events: list[Json]) -> None:
    protocol = ResponseProtocol()
    parts = protocol.deltas()
    for raw in [CREATED, *events, end()]:
        event = made(protocol, raw)
        protocol.add([event])
        parts.add(event)
    output = protocol.snapshot().output
    late = protocol.deltas()
    assert len(late.end()) >= 0
    assert all(item.raw for item in output)


def test_a_part_at_a_high_index_takes_the_memory_of_its_bytes() -> None:
    body = [sse(text_delta("a", i, content_index=9999)) for i in range(1000)]
    tracemalloc.start()
    try:
        output = responses(*body).snapshot.output
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(output) == 1000
    assert peak < 60 * sum(map(len, body))


@pytest.mark.parametrize("are_read", [True, False])
def test_event_is_the_same_whether_the_program_reads_deltas_or_not(are_read: bool) -> None:
    protocol = ResponseProtocol()
    kind = "response.output_text.delta"
    raws: list[Any] = [{"type": kind, "delta": str(number), "item_id": "i"} for number in range(6)]
    raws += [{"type": kind}, {"type": kind, "delta": None}, {"type": "response.refusal.delta", "delta": "no"}]
    events: list[Any] = []
    for raw in raws:
        event: Any = protocol.event(raw, "")
        if are_read:
            assert event.delta == raw.get("delta", "")
        protocol.add([event])
        events.append(event)
    assert events == [hook_for(ResponseStreamEvent)(raw, None) for raw in raws]
    assert [event.to_dict() for event in events] == raws
