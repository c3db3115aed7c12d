"""Conversion: nothing is coerced, nothing is refused, nothing is copied. (`test_types.py` has the catalogue.)"""

from __future__ import annotations

import copy
import json
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import FULL_CHAT, FULL_RESPONSES, ODD_VALUES, Json, any_json, paths, spoiled, texts

from trio_openai._wire.json import decode_json, encode_text, is_array, is_object, objects_in
from trio_openai.types import (
    ChatCompletionChunk,
    ChoiceDelta,
    ChunkChoice,
    Function,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
    ToolCallDelta,
    UnknownEvent,
)
from trio_openai.types._base import Unknown, WireObject, wire
from trio_openai.types._fields import hook_for

pytestmark = pytest.mark.promise(n=5)

to_chunk = hook_for(ChatCompletionChunk)
to_event = hook_for(cast("Any", ResponseStreamEvent))


def chunk(raw: Json) -> ChatCompletionChunk:
    return cast("ChatCompletionChunk", to_chunk(raw, None))


def test_a_null_in_a_text_field_stays_null() -> None:
    made = chunk({"id": None, "model": None, "choices": [{"index": 0, "delta": {"content": None}}]})
    assert made.id is None
    assert made.choices[0].delta.content is None


def test_a_value_that_nobody_has_heard_of_is_not_refused() -> None:
    made = chunk({"object": "odd", "service_tier": "platinum", "choices": [{"finish_reason": "bored"}]})
    assert (made.object, made.service_tier, made.choices[0].finish_reason) == ("odd", "platinum", "bored")


def test_plain_values_are_handed_over_as_they_came() -> None:
    assert chunk({"created": "yesterday", "id": 5, "model": ["m"]}).created == "yesterday"
    assert type(chunk({"created": 1.5}).created) is float


def test_raw_is_the_object_itself_at_every_level() -> None:
    raw = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}}]}
    made = chunk(raw)
    assert made.raw is raw
    assert made.choices[0].raw is raw["choices"][0]
    assert made.choices[0].delta.raw is raw["choices"][0]["delta"]
    assert made.choices[0].delta.tool_calls[0].function.raw == {"name": "f"}


def test_unknown_fields_are_readable_on_raw() -> None:
    assert chunk({"id": "c1", "provider": "X"}).raw["provider"] == "X"


def test_what_is_absent_is_the_default() -> None:
    assert chunk({}) == ChatCompletionChunk()
    assert chunk({}).choices == []
    assert chunk({"choices": [{}]}).choices == [ChunkChoice()]
    assert chunk({"choices": [{"delta": None}]}).choices[0].delta == ChoiceDelta()
    assert ToolCallDelta().function == Function()


def test_defaults_are_not_shared() -> None:
    assert chunk({}).choices is not chunk({}).choices
    assert chunk({"choices": [{}]}).choices[0].delta is not chunk({"choices": [{}]}).choices[0].delta


@pytest.mark.parametrize("odd", [value for value in ODD_VALUES if not isinstance(value, list)], ids=repr)
def test_a_field_that_holds_objects_holds_objects_only(odd: Any) -> None:
    assert chunk({"choices": odd}).choices == []
    assert isinstance(chunk({"choices": [odd, {"index": 7}]}).choices[-1], ChunkChoice)
    assert all(isinstance(choice, ChunkChoice) for choice in chunk({"choices": [odd]}).choices)
    assert isinstance(chunk({"choices": [{"delta": odd}]}).choices[0].delta, ChoiceDelta)


@pytest.mark.parametrize("tag", [value for value in ODD_VALUES if value != ""], ids=repr)
def test_an_unknown_tag_is_an_unknown_event(tag: Any) -> None:
    made = to_event({"type": tag, "x": 1}, None)
    assert type(made) is UnknownEvent
    assert made.x == 1
    assert made.raw == {"type": tag, "x": 1} or tag != tag


def test_a_missing_tag_is_an_unknown_event() -> None:
    assert type(to_event({"delta": "a"}, None)) is UnknownEvent


def test_a_known_tag_is_its_event() -> None:
    made = to_event({"type": "response.output_text.delta", "delta": "a", "output_index": 0}, None)
    assert type(made) is ResponseTextDeltaEvent
    assert (made.delta, made.output_index, made.item_id) == ("a", 0, None)


@pytest.mark.parametrize("raw", FULL_CHAT + FULL_RESPONSES, ids=lambda raw: str(raw.get("type", "chunk")))
def test_wrong_types_never_crash_and_nothing_is_changed(raw: Json) -> None:
    hook = to_event if "type" in raw else to_chunk
    for path in list(paths(raw))[1:]:
        for value in ODD_VALUES:
            odd = spoiled(raw, path, value)
            before = copy.deepcopy(odd)
            made = hook(odd, None)
            assert made.raw is odd
            assert repr(made)
            assert json.dumps(odd) == json.dumps(before)


@wire
class _Part(WireObject):
    type: str | None = "part"
    text: str | None = None


@wire
class _Sample(WireObject):
    """One field of each kind that an annotation may ask for."""

    plain: int | None = None
    number: int = 3
    object: _Part | None = None
    always: _Part = attrs.field(factory=_Part)
    objects: list[_Part] = attrs.field(factory=list)
    perhaps: list[_Part] | None = None
    either: list[_Part | Unknown] = attrs.field(factory=list)
    words: list[str] = attrs.field(factory=list)
    nothing: list[str] | None = None


sample = hook_for(_Sample)


def test_each_kind_of_field() -> None:
    part = {"type": "part", "text": "a"}
    raw = {"plain": "x", "number": None, "object": part, "always": part, "objects": [part], "perhaps": [part]}
    raw |= {"either": [part, {"type": "odd"}, {}], "words": [1, None], "nothing": ["a"]}
    made = sample(raw, None)
    assert (made.plain, made.number, made.object.text, made.always.text) == ("x", None, "a", "a")
    assert made.objects == made.perhaps == [_Part(text="a")]
    assert [type(item) for item in made.either] == [_Part, Unknown, Unknown]
    assert (made.words, made.nothing) == ([1, None], ["a"])


@pytest.mark.parametrize("odd", [None, 5, "x", True], ids=repr)
def test_each_kind_of_field_with_something_else_in_it(odd: Any) -> None:
    names = ("object", "always", "objects", "perhaps", "either", "words", "nothing")
    made = sample(dict.fromkeys(names, odd), None)
    assert made == _Sample()


def test_a_hook_is_made_once() -> None:
    assert hook_for(_Sample) is sample
    assert hook_for(ChatCompletionChunk) is to_chunk


@given(st.dictionaries(st.sampled_from([field.name for field in attrs.fields(_Sample)]), any_json))
def test_no_object_is_a_reason_to_crash(raw: Json) -> None:
    made = sample(raw, None)
    assert made.raw is raw
    assert repr(made)


# JSON off the wire


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, 2.5, "\xc3\xa9", null, true]}', {"a": [1, 2.5, "é", None, True]}),
        (b' "a" ', "a"),
        (b'"\\ud83e"', "\ud83e"),
        (b'"\\ud83e\\uddab"', "🦫"),
        (b"[Infinity, -Infinity]", [float("inf"), float("-inf")]),
    ],
)
def test_json_is_decoded(data: bytes, value: Any) -> None:
    assert decode_json(data) == value


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b" ",
            b"{",
            b"{'a': 1}",
            b'{"a": 1,}',
            b"[1, 2",
            b"nul",
            b"undefined",
            b'"\xff"',
            b'"\xc3"',
            b"1 2",
            b"// a",
        ),
        *('{"a": 1}'.encode("utf-16"), '{"a": 1}'.encode("utf-32-le"), "\ufeff{}".encode(), b"[" * 100_000, b"\x00"),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the decoders' own words
        decode_json(data)


@given(any_json)
def test_what_can_be_decoded_can_be_written_again(value: Any) -> None:
    decoded = decode_json(json.dumps(value).encode())
    assert json.dumps(json.loads(encode_text(decoded))) == json.dumps(decoded)


@given(st.binary(max_size=50) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise_anything_but_a_value_error(data: bytes) -> None:
    try:
        decode_json(data)
    except ValueError:
        pass


def test_what_a_value_is() -> None:
    assert is_object({})
    assert is_array([])
    assert not any(is_object(value) for value in (None, [], "", 0))
    assert not any(is_array(value) for value in (None, {}, "", 0, ()))
    assert objects_in([{"a": 1}, 5, None, {}, [{}]]) == [{"a": 1}, {}]
    assert objects_in({"a": {}}) == objects_in(None) == objects_in("ab") == []
