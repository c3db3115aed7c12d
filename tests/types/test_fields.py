"""Tests that no field of a wire object raises anything, whatever JSON the server sent."""

from __future__ import annotations

import copy
import importlib
import pkgutil
import sys
from typing import Any

import attrs
import pytest
from cases import case
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import any_json

import trio_openai.types
from trio_openai._protocols.structured.answer_format import answer_format
from trio_openai._wire.json import decode_json
from trio_openai.types import ParsedChatCompletion, ParsedResponse
from trio_openai.types._base import WireObject
from trio_openai.types._fields import hook_for
from trio_openai.types._raw import Raw

pytestmark = pytest.mark.promise(n=3)


def all_classes() -> list[type[WireObject]]:
    for module in pkgutil.iter_modules(trio_openai.types.__path__):
        importlib.import_module(f"trio_openai.types.{module.name}")
    classes: list[type[WireObject]] = [WireObject]
    for cls in classes:  # which grows meanwhile
        classes += [sub for sub in cls.__subclasses__() if sub.__module__.startswith("trio_openai.")]
    # Classes with slots are made twice. The first one may still be there, until it is collected.
    public = {cls for cls in classes if getattr(sys.modules[cls.__module__], cls.__name__) is cls}
    return sorted(public, key=lambda cls: cls.__name__)


CLASSES = all_classes()
HOSTILE: list[Any] = [
    *(10**400, -(10**30), float("inf"), float("nan"), 2**63, -1, 0, 1.5, True, False, None),
    *("", "\ud83d", "x" * 10_000, "\x00", [], {}, [None], [[]], [{}], {"": {}}, [{"type": "x"}], {"type": []}),
    {"type": {"type": None}, "raw": 1, "to_dict": 2, "__class__": 3, "__dict__": {}, "error": "\udc00"},
    decode_json(b"[" * 1000 + b"]" * 1000),
    decode_json(b'{"type":' * 1000 + b"1" + b"}" * 1000),
]


def look_at_everything(value: Any, depth: int = 0) -> None:
    """Read every field and property, at every level, and use what programs use."""
    for item in value[:3] if isinstance(value, list) else []:
        if isinstance(item, WireObject):
            look_at_everything(item, depth)
    if not isinstance(value, WireObject) or depth > 8:
        return
    cls = type(value)
    names = [field.name for field in attrs.fields(cls)]
    names += [name for name in dir(cls) if isinstance(getattr(cls, name, None), property) and name != "parsed"]
    for name in names:
        look_at_everything(getattr(value, name), depth + 1)
    assert repr(value)
    assert value.to_dict() is not None
    assert copy.copy(value).raw is value.raw


def fields_of(cls: type[WireObject]) -> list[str]:
    return [field.name for field in attrs.fields(cls) if field.name != "raw"]


def test_no_field_raises_whatever_hostile_value_is_in_it() -> None:
    assert len(CLASSES) > 200
    for cls in CLASSES:
        hook = hook_for(cls)
        for value in HOSTILE:
            with case(cls):
                look_at_everything(hook(dict.fromkeys(fields_of(cls), value), None))


@settings(max_examples=5, deadline=None)
@given(data=st.data())
def look_at_any_json_in(cls: type[WireObject], data: st.DataObject) -> None:
    names = st.sampled_from([*fields_of(cls), "unknown"])
    raw: Raw = data.draw(st.dictionaries(names, any_json, max_size=6))
    look_at_everything(hook_for(cls)(raw, None))


def test_no_field_raises_whatever_json_is_in_it() -> None:
    for cls in CLASSES:
        with case(cls):
            look_at_any_json_in(cls)


@attrs.frozen
class Answer:
    size: int
    names: list[str]


PARSED = [
    {"choices": [{"index": "a", "message": {"content": 5, "refusal": []}, "finish_reason": {}}]},
    {"choices": [{"message": {"content": '{"size": 1e999, "names": ["\\ud83d"]}'}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": '{"size": %s, "names": []}' % ("9" * 5000)}, "finish_reason": "stop"}]},
    {"choices": [{"message": {"content": '{"size": 1, "names": %s}' % ("[" * 3000)}, "finish_reason": "stop"}]},
    {"output": [{"type": "message", "content": [{"type": "output_text", "text": "[" * 3000}]}], "status": "completed"},
    {"output": [{"type": "message", "content": [{"type": "output_text", "text": {}}]}], "status": []},
    {"output": 5, "incomplete_details": {"reason": []}},
]


@pytest.mark.parametrize("raw", PARSED, ids=lambda raw: repr(raw)[:40])
def test_parsed_never_raises_whatever_the_model_wrote(raw: Raw) -> None:
    form = answer_format(Answer)
    for cls in (ParsedChatCompletion, ParsedResponse):
        made = hook_for(cls)(raw, None).judged_by(form.judge, is_whole=True)
        assert not made.parsed
