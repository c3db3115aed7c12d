"""Helpers for the tests of deltas: a short notation, and rules that hold for all deltas."""

from __future__ import annotations

from typing import Any

from trio_openai.types import PartDelta, ToolCallDone
from trio_openai.types.deltas import Delta


def short(deltas: list[Delta]) -> list[str]:
    """`content a`, `content! all`, `call c1 f {"a"`, `call! c1 f {"a": 1}`: the kind, and what it says; `!` is done."""
    return [in_short(delta) for delta in deltas]


def in_short(delta: Delta) -> str:
    kind, _, state = delta.type.partition(".")
    mark = "!" if state == "done" else ""
    if isinstance(delta, ToolCallDone):
        return f"{delta.kind}{mark} {delta.id} {delta.name} {delta.arguments}"
    if kind == "tool_call":
        return f"call {delta.id} {delta.name} {delta.delta}"  # type: ignore[union-attr]
    return f"{kind}{mark} {delta.delta if isinstance(delta, PartDelta) else delta.text}"


def dones(deltas: list[Delta]) -> list[str]:
    return [in_short(delta) for delta in deltas if delta.type.endswith(".done")]


def text_of(done: Any) -> str:
    return str(done.arguments if isinstance(done, ToolCallDone) else done.text)


def check_parts(deltas: list[Delta]) -> None:
    """Check each part: no delta is empty, none follows the end, and all of them add up to the final text."""
    texts: dict[int, str] = {}
    ended: set[int] = set()
    for delta in deltas:
        assert delta.part not in ended
        if isinstance(delta, PartDelta):
            assert delta.delta
            texts[delta.part] = texts.get(delta.part, "") + delta.delta
            assert delta.snapshot == texts[delta.part]
        else:
            ended.add(delta.part)
            assert text_of(delta) == texts.get(delta.part, "")
    assert sorted({delta.part for delta in deltas}) == list(range(len({delta.part for delta in deltas})))
