"""The catalogue of Responses types: whole, and tolerant of whatever a server sends."""

from __future__ import annotations

import copy
import pickle
import typing
from typing import Any

import attrs
import pytest
from cases import case
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_openai import types
from trio_openai.types import (
    AnnotationURLCitation,
    ApplyPatchUpdateFile,
    CallerProgram,
    ChatCompletion,
    CodeInterpreterOutputImage,
    Completion,
    McpHTTPError,
    Raw,
    Response,
    ResponseErrorEvent,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningText,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
    ShellOutcomeExit,
    Unknown,
    UnknownEvent,
    UnknownItem,
    WebSearchActionSearch,
    WireObject,
)
from trio_openai.types._fields import hook_for

pytestmark = pytest.mark.promise(n=5)

EVENTS: tuple[type[WireObject], ...] = typing.get_args(ResponseStreamEvent)
ITEMS: tuple[type[WireObject], ...] = typing.get_args(ResponseOutputItem)
PUBLIC_CLASSES = [
    cls
    for name in types.__all__
    if isinstance(cls := getattr(types, name), type) and issubclass(cls, WireObject) and cls is not WireObject
]

to_event = hook_for(typing.cast("type[Any]", ResponseStreamEvent))
to_item = hook_for(typing.cast("type[Any]", ResponseOutputItem))


def event(raw: Raw) -> Any:
    return to_event(raw, None)


def item(raw: Raw) -> Any:
    return to_item(raw, None)


def tag_of(cls: type[WireObject]) -> Any:
    return attrs.fields_dict(cls)["type"].default


def read(value: Any, path: str) -> Any:
    """Return the value at a dotted path. Numbers are indexes of a list."""
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else getattr(value, step)
    return value


# -------------------------------------------------------------------------------------------------------- the catalogue


@pytest.mark.parametrize(("members", "fallback", "count"), [(EVENTS, UnknownEvent, 59), (ITEMS, UnknownItem, 28)])
def test_each_type_has_one_class(members: tuple[type[WireObject], ...], fallback: type[Unknown], count: int) -> None:
    known = [cls for cls in members if cls is not fallback]
    tags = {tag_of(cls) for cls in known}
    assert len(members) == len(known) + 1 == count + 1
    assert len(tags) == count
    assert all(isinstance(tag, str) for tag in tags)
    assert tag_of(fallback) is None


def test_a_tag_chooses_its_class() -> None:
    for cls in EVENTS + ITEMS:
        if issubclass(cls, Unknown):
            continue
        with case(cls):
            convert = to_event if cls in EVENTS else to_item
            made = convert({"type": tag_of(cls)}, None)
            assert type(made) is cls
            assert made.type == tag_of(cls) == cls().type  # type: ignore[attr-defined]
            assert typing.get_args(typing.get_type_hints(cls)["type"]) == (tag_of(cls),)


def test_every_class_can_be_made_of_nothing() -> None:
    assert len(PUBLIC_CLASSES) > 200
    for cls in PUBLIC_CLASSES:
        with case(cls):
            assert cls() == cls() == hook_for(cls)({}, None)
            assert repr(cls())
            assert cls.__doc__


def test_all_is_sorted_and_whole() -> None:
    assert len(types.__all__) == len(set(types.__all__))
    assert {cls.__name__ for cls in EVENTS + ITEMS} <= set(types.__all__)
    assert all(hasattr(types, name) for name in types.__all__)


# -------------------------------------------------------------------------------------------- an example of each family

WHERE = {"item_id": "it_1", "output_index": 2, "content_index": 1, "sequence_number": 7}
EVENT_EXAMPLES: list[tuple[Raw, dict[str, Any]]] = [
    (
        {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "status": "in_progress"}},
        {"sequence_number": 0, "response.id": "resp_1", "response.status": "in_progress", "response.output": []},
    ),
    (
        {
            "type": "response.incomplete",
            "response": {
                "incomplete_details": {"reason": "max_output_tokens"},
                "usage": {"output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}},
                "output": [{"type": "message", "id": "m", "content": [{"type": "output_text", "text": "cut o"}]}],
            },
        },
        {
            "sequence_number": None,
            "response.incomplete_details.reason": "max_output_tokens",
            "response.usage.output_tokens": 9,
            "response.usage.output_tokens_details.reasoning_tokens": 4,
            "response.usage.input_tokens": 0,
            "response.usage.input_tokens_details.cached_tokens": None,
            "response.output.0.content.0.text": "cut o",
            "response.output_text": "cut o",
        },
    ),
    (
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "no"}}},
        {"response.error.code": "server_error", "response.error.message": "no", "response.error.param": None},
    ),
    (
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "name": "f"}},
        {"output_index": 1, "item.type": "function_call", "item.name": "f", "item.arguments": None},
    ),
    (
        {"type": "response.content_part.done", **WHERE, "part": {"type": "refusal", "refusal": "No."}},
        {"item_id": "it_1", "output_index": 2, "content_index": 1, "part.refusal": "No."},
    ),
    (
        {
            "type": "response.output_text.delta",
            **WHERE,
            "delta": "Hi",
            "logprobs": [{"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Yo", "logprob": -2}]}],
            "obfuscation": "xx",
        },
        {"delta": "Hi", "logprobs.0.logprob": -0.5, "logprobs.0.top_logprobs.0.token": "Yo", "sequence_number": 7},
    ),
    ({"type": "response.output_text.done", **WHERE, "text": "Hi"}, {"text": "Hi", "logprobs": []}),
    (
        {
            "type": "response.output_text.annotation.added",
            "annotation_index": 3,
            "annotation": {"type": "container_file_citation", "container_id": "c", "start_index": 1, "end_index": 5},
        },
        {"annotation_index": 3, "annotation.container_id": "c", "annotation.end_index": 5},
    ),
    ({"type": "response.refusal.delta", **WHERE, "delta": "N"}, {"delta": "N", "content_index": 1}),
    ({"type": "response.refusal.done", **WHERE, "refusal": "No"}, {"refusal": "No"}),
    ({"type": "response.reasoning_text.delta", **WHERE, "delta": "so"}, {"delta": "so", "content_index": 1}),
    (
        {
            "type": "response.reasoning_summary_part.done",
            "summary_index": 2,
            "part": {"type": "summary_text", "text": "t"},
        },
        {"summary_index": 2, "part.text": "t", "status": None},
    ),
    ({"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": "*"}, {"delta": "*"}),
    ({"type": "response.audio.delta", "delta": "UklG", "sequence_number": 3}, {"delta": "UklG", "sequence_number": 3}),
    (
        {"type": "response.function_call_arguments.delta", "item_id": "fc", "output_index": 0, "delta": '{"a'},
        {"item_id": "fc", "delta": '{"a'},
    ),
    ({"type": "response.function_call_arguments.done", "arguments": "{}"}, {"arguments": "{}", "item_id": None}),
    ({"type": "response.custom_tool_call_input.done", "input": "ls"}, {"input": "ls"}),
    (
        {"type": "response.shell_call_command.delta", "command_index": 1, "output_index": 4, "delta": "l"},
        {"command_index": 1, "output_index": 4, "delta": "l"},
    ),
    (
        {"type": "response.shell_call_output_content.delta", "command_index": 0, "delta": {"stdout": "a.txt"}},
        {"delta.stdout": "a.txt", "delta.stderr": None},
    ),
    (
        {"type": "response.shell_call_output_content.done", "output": [{"outcome": {"type": "exit", "exit_code": 2}}]},
        {"output.0.outcome.exit_code": 2, "output.0.stdout": None},
    ),
    ({"type": "response.web_search_call.searching", "item_id": "ws", "output_index": 0}, {"item_id": "ws"}),
    ({"type": "response.code_interpreter_call_code.delta", "item_id": "ci", "delta": "1+"}, {"delta": "1+"}),
    (
        {"type": "response.image_generation_call.partial_image", "partial_image_index": 0, "partial_image_b64": "iVBO"},
        {"partial_image_index": 0, "partial_image_b64": "iVBO", "size": None},
    ),
    ({"type": "response.mcp_call.failed", "item_id": "mcp"}, {"item_id": "mcp"}),
    ({"type": "response.compaction.compacting", "item_id": "cmp"}, {"item_id": "cmp"}),
    ({"type": "error", "code": "c", "message": "m", "param": "p"}, {"code": "c", "message": "m", "param": "p"}),
]
ITEM_EXAMPLES: list[tuple[Raw, dict[str, Any]]] = [
    (
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {
                    "type": "output_text",
                    "text": "See it.",
                    "annotations": [{"type": "url_citation", "url": "https://example.org", "start_index": 0}],
                    "logprobs": [{"token": "See", "bytes": [83, 101, 101], "logprob": -0.1, "top_logprobs": []}],
                },
                {"type": "refusal", "refusal": "No."},
                {"type": "hologram", "voxels": 3},
            ],
        },
        {
            "role": "assistant",
            "content.0.annotations.0.url": "https://example.org",
            "content.0.logprobs.0.bytes": [83, 101, 101],
            "content.1.refusal": "No.",
            "content.2.voxels": 3,
            "phase": None,
        },
    ),
    (
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "s"}],
            "content": [{"type": "reasoning_text", "text": "r"}],
            "encrypted_content": "gAAA",
        },
        {"summary.0.text": "s", "content.0.text": "r", "encrypted_content": "gAAA", "id": None},
    ),
    ({"type": "compaction", "id": "cmp", "encrypted_content": "x"}, {"id": "cmp", "encrypted_content": "x"}),
    (
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "f",
            "arguments": "{}",
            "async": True,
            "caller": {"type": "program", "caller_id": "p"},
        },
        {"call_id": "call_1", "arguments": "{}", "async_": True, "caller.caller_id": "p", "status": None},
    ),
    ({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text"}]}, {"call_id": "c"}),
    ({"type": "custom_tool_call", "call_id": "c", "input": "ls"}, {"call_id": "c", "input": "ls", "async_": None}),
    (
        {"type": "file_search_call", "queries": ["q"], "results": [{"score": 0.5, "attributes": {"k": 1}}]},
        {"queries": ["q"], "results.0.score": 0.5, "results.0.attributes": {"k": 1}, "results.0.text": None},
    ),
    (
        {
            "type": "web_search_call",
            "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "u"}]},
        },
        {"action.query": "q", "action.sources.0.url": "u", "action.queries": None},
    ),
    ({"type": "web_search_call", "action": {"type": "open_page", "url": "u"}}, {"action.url": "u"}),
    ({"type": "tool_search_output", "tools": [{"type": "function"}]}, {"tools": [{"type": "function"}]}),
    (
        {"type": "computer_call", "pending_safety_checks": [{"id": "s"}], "action": {"type": "wait"}},
        {"pending_safety_checks.0.id": "s", "action": {"type": "wait"}, "actions": None},
    ),
    ({"type": "computer_call_output", "output": {"image_url": "data:"}}, {"output.image_url": "data:"}),
    (
        {"type": "image_generation_call", "result": "iVBO", "error": {"moderation_details": {"categories": ["x"]}}},
        {"result": "iVBO", "error.moderation_details.categories": ["x"], "error.code": None},
    ),
    (
        {"type": "code_interpreter_call", "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": "u"}]},
        {"outputs.0.logs": "2", "outputs.1.url": "u", "code": None},
    ),
    ({"type": "program_output", "call_id": "c", "result": "1"}, {"call_id": "c", "result": "1"}),
    (
        {"type": "local_shell_call", "action": {"type": "exec", "command": ["ls"], "env": {"A": "b"}}},
        {"action.command": ["ls"], "action.env": {"A": "b"}, "action.timeout_ms": None},
    ),
    (
        {"type": "shell_call", "action": {"commands": ["ls"]}, "environment": {"type": "local"}},
        {"action.commands": ["ls"], "environment.type": "local", "action.timeout_ms": None},
    ),
    (
        {"type": "shell_call_output", "output": [{"stdout": "a", "outcome": {"type": "exit", "exit_code": 1}}]},
        {"output.0.stdout": "a", "output.0.outcome.exit_code": 1},
    ),
    (
        {"type": "apply_patch_call", "operation": {"type": "update_file", "path": "a", "diff": "+b"}},
        {"operation.path": "a", "operation.diff": "+b"},
    ),
    ({"type": "mcp_call", "error": {"type": "http_error", "code": 502}}, {"error.code": 502, "output": None}),
    (
        {"type": "mcp_list_tools", "tools": [{"name": "t", "input_schema": {"type": "object"}}]},
        {"tools.0.name": "t", "tools.0.input_schema": {"type": "object"}, "error": None},
    ),
    ({"type": "mcp_approval_request", "name": "t", "server_label": "s"}, {"name": "t", "server_label": "s"}),
]
EXAMPLES = [(to_event, *example) for example in EVENT_EXAMPLES] + [(to_item, *example) for example in ITEM_EXAMPLES]
Convert = typing.Callable[[Raw, object], Any]


def _id(value: object) -> str | None:
    return str(value["type"]) if isinstance(value, dict) and "type" in value else None


@pytest.mark.parametrize(("convert", "raw", "expected"), EXAMPLES, ids=_id)
def test_example_reads_right(convert: Convert, raw: Raw, expected: dict[str, Any]) -> None:
    before = copy.deepcopy(raw)
    made = convert(raw, None)
    assert not isinstance(made, Unknown)
    assert {path: read(made, path) for path in expected} == expected
    assert made.raw is raw
    assert raw == before


@pytest.mark.parametrize("wrong", [None, "text", 1.5, True, [], {}, [None, 1, "a", [], {}]], ids=repr)
def test_example_with_every_field_wrong(wrong: object) -> None:
    for convert, raw, _ in EXAMPLES:
        with case(raw):
            check(convert(dict.fromkeys(raw, wrong) | {"type": raw["type"]}, None))
            for name in raw:
                check(convert(raw | {name: wrong}, None))
                check(convert({k: v for k, v in raw.items() if k != name}, None))


def test_parts_get_their_classes() -> None:
    message = item(ITEM_EXAMPLES[0][0])
    assert [type(part) for part in message.content] == [ResponseOutputText, ResponseOutputRefusal, Unknown]
    assert isinstance(message.content[0].annotations[0], AnnotationURLCitation)
    by_tag = {raw["type"]: item(raw) for raw, _ in reversed(ITEM_EXAMPLES)}
    assert isinstance(by_tag["reasoning"].content[0], ResponseReasoningText)
    assert isinstance(by_tag["function_call"].caller, CallerProgram)
    assert isinstance(by_tag["web_search_call"].action, WebSearchActionSearch)
    assert isinstance(by_tag["code_interpreter_call"].outputs[1], CodeInterpreterOutputImage)
    assert isinstance(by_tag["shell_call_output"].output[0].outcome, ShellOutcomeExit)
    assert isinstance(by_tag["apply_patch_call"].operation, ApplyPatchUpdateFile)
    assert isinstance(by_tag["mcp_call"].error, McpHTTPError)


# ---------------------------------------------------------------------------------------------- whatever a server sends

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def check(made: WireObject) -> None:
    """Check that object fields hold objects of this library, lists are lists, and `repr` and `==` work."""
    for name, annotation in typing.get_type_hints(type(made)).items():
        for member in typing.get_args(annotation) or (annotation,):
            value = getattr(made, name)
            if isinstance(member, type) and issubclass(member, WireObject) and name != "raw":
                objects = value if isinstance(value, list) else [value]
                assert all(isinstance(v, WireObject) or v is None for v in objects)
                for v in filter(None, objects):
                    check(v)
    assert repr(made)
    assert made == copy.copy(made)


def wire_json(annotation: Any, depth: int = 2) -> st.SearchStrategy[Any]:
    """JSON that resembles what an annotation asks for, or is anything."""
    inner: list[st.SearchStrategy[Any]] = [json_values]
    if depth:
        for member in typing.get_args(annotation) or (annotation,):
            if isinstance(member, type) and issubclass(member, WireObject):
                inner.append(wire_object(member, depth - 1))
            elif typing.get_origin(member) is list:
                inner.append(st.lists(wire_json(typing.get_args(member)[0], depth - 1), max_size=2))
        if typing.get_origin(annotation) is list:
            inner.append(st.lists(wire_json(typing.get_args(annotation)[0], depth - 1), max_size=2))
    return st.one_of(inner)


def wire_object(cls: type[WireObject], depth: int = 2) -> st.SearchStrategy[Raw]:
    """Generate a JSON object with any of the class's fields, and mostly with its tag."""
    hints = typing.get_type_hints(cls)
    optional = {name: wire_json(hint, depth) for name, hint in hints.items() if name != "raw"}
    if (tag := typing.get_args(hints.get("type"))) and tag[-1] is not type(None):
        optional["type"] = st.sampled_from([*tag, *tag, None, 5, "other"])
    return st.fixed_dictionaries({}, optional=optional)


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def check_any_json_in(cls: type[WireObject], data: st.DataObject) -> None:
    raw = data.draw(wire_object(cls))
    made = hook_for(cls)(raw, None)
    check(made)
    assert made.raw is raw
    check(event(raw))
    check(item(raw))


def test_any_json_in_any_field() -> None:
    for cls in (*EVENTS, *ITEMS, Response):
        with case(cls):
            check_any_json_in(cls)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["type", "response", "item", "delta", "error", "output"]), json_values))
def test_any_json_object_is_an_event_and_an_item(raw: Raw) -> None:
    check(event(raw))
    check(item(raw))


# -------------------------------------------------------------------------------------------------------------- unknown


@pytest.mark.parametrize("tag", ["response.hologram.delta", "", None, 5, ["response.created"], {"a": 1}])
def test_unknown_types_keep_everything(tag: object) -> None:
    raw = {"type": tag, "sequence_number": 3, "id": "x", "voxels": [1, 2], "items": "a name of ours?"}
    for convert, cls in ((to_event, UnknownEvent), (to_item, UnknownItem)):
        made = convert(raw, None)
        assert type(made) is cls
        assert (made.type, made.sequence_number, made.id, made.voxels) == (tag, 3, "x", [1, 2])
        assert made.raw is raw
        with pytest.raises(AttributeError, match="nothing_of_the_kind"):
            _ = made.nothing_of_the_kind


def test_unknown_without_a_type() -> None:
    assert event({}).type is event({}).sequence_number is None
    assert item({}).type is item({}).id is None


def test_unknown_part_inside_known_item() -> None:
    made = event({"type": "response.output_item.done", "item": {"type": "hologram", "voxels": 1}})
    assert type(made.item) is UnknownItem
    assert made.item.voxels == 1


@pytest.mark.parametrize("raw", [{"type": "new", "field": 1}, {"type": "response.created", "response": {"id": "r"}}])
def test_copies_and_pickles(raw: Raw) -> None:
    made = event(raw)
    for other in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert other == made
        assert other.raw == raw


# --------------------------------------------------------------------------------------------------------- conveniences


@pytest.mark.parametrize(
    "raw",
    [
        {"code": "c", "message": "m", "param": None},
        {"error": {"type": "t", "code": "c", "message": "m", "param": None}},
        {"code": None, "message": None, "error": {"code": "c", "message": "m"}},
        {"message": "m", "error": {"code": "c", "message": "not this one"}},
    ],
)
def test_error_event_flat_and_nested(raw: Raw) -> None:
    made = event({"type": "error", "sequence_number": 2, **raw})
    assert isinstance(made, ResponseErrorEvent)
    assert (made.code, made.message, made.param, made.sequence_number) == ("c", "m", None, 2)


def test_error_event_keeps_the_rest_of_the_nested_object() -> None:
    made = event({"type": "error", "error": {"type": "insufficient_quota", "code": 429, "param": "model", "x": 1}})
    assert made.error.type == "insufficient_quota"
    assert (made.code, made.message, made.param) == (429, None, "model")
    assert made.error.raw["x"] == 1


@pytest.mark.parametrize(("error", "message"), [("overloaded", "overloaded"), (None, None), ([], None), ({}, None)])
def test_error_event_with_an_odd_error(error: object, message: str | None) -> None:
    assert event({"type": "error", "error": error}).message == message


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ([], ""),
        ([{"index": 0, "message": {"content": None, "tool_calls": []}}], ""),
        ([{"index": 0, "message": {"content": ["no text"]}}], ""),
        ([{"message": {"content": "Hi"}}], "Hi"),
        ([{"index": 1, "message": {"content": "b"}}, {"index": 0, "message": {"content": "a"}}], "a"),
        ([{"index": 1, "message": {"content": "b"}}], ""),
    ],
)
def test_text_of_a_chat_completion_is_that_of_choice_0(choices: list[Any], text: str) -> None:
    completion = hook_for(ChatCompletion)({"choices": choices}, None)
    assert completion.text == text


def test_text_of_a_legacy_completion_is_that_of_choice_0() -> None:
    raw = {"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]}
    assert hook_for(Completion)(raw, None).text == "a"
    assert hook_for(Completion)({"choices": [{"index": 0, "text": 1}]}, None).text == ""
    assert Completion().text == ""


def test_output_text_joins_the_text_parts() -> None:
    response = hook_for(Response)(
        {
            "output": [
                {"type": "reasoning", "content": [{"type": "output_text", "text": "not this"}]},
                {
                    "type": "message",
                    "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
                },
                {"type": "hologram", "content": [{"type": "output_text", "text": "nor this"}]},
                {
                    "type": "message",
                    "content": [{"type": "output_text", "text": 5}, {"type": "output_text", "text": "c"}],
                },
                {"type": "message"},
            ]
        },
        None,
    )
    assert response.output_text == "ac"
    assert Response().output_text == ""


def test_output_text_follows_the_output() -> None:
    response = Response(output=[ResponseOutputMessage(content=[ResponseOutputText(text="made by hand")])])
    assert response.output_text == "made by hand"


def test_narrowing_by_isinstance_and_by_type() -> None:
    made: ResponseStreamEvent = event({"type": "response.output_text.delta", "delta": "x"})
    assert isinstance(made, ResponseTextDeltaEvent)
    assert made.type == "response.output_text.delta"
    assert made.delta + "y" == "xy"


def test_delta_of_a_server_that_sent_none() -> None:
    assert event({"type": "response.output_text.delta"}).delta == ""


# ----------------------------------------------------------------------------------------------------------------- repr


def big_response() -> Raw:
    part = {
        "type": "output_text",
        "text": "word " * 2000,
        "annotations": [{"type": "url_citation", "url": "https://example.org/" + "x" * 500, "title": "t" * 500}] * 9,
        "logprobs": [{"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "b"}] * 20}] * 99,
    }
    text_fields = {f.name: "x" * 99 for f in attrs.fields(Response) if f.name not in ("raw", "output", "tools")}
    return text_fields | {
        "tools": [{"a": {"b": list(range(99))}}] * 50,
        "output": [{"type": "message", "content": [part] * 9}],
    }


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "response.completed", "response": big_response()},
        {"type": "response.output_item.done", "item": big_response()["output"][0]},
        {"type": "response.content_part.done", "part": big_response()["output"][0]["content"][0]},
        {"type": "response.output_text.delta", "delta": "x" * 100_000, "logprobs": [{"token": "t" * 99}] * 99},
        {"type": "hologram", "response": big_response()},
        {"type": "x" * 10_000},
    ],
    ids=lambda raw: raw["type"][:40],
)
def test_repr_is_short(raw: Raw) -> None:
    shown = repr(event(raw))
    assert len(shown) < 500
    assert shown.startswith(type(event(raw)).__name__ + "(")
    assert shown.endswith(")")
