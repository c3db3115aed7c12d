"""Responses: events of the right shape with anything in their fields, in any order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import made

from trio_openai._protocols.responses.content_parts import PLACES
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai.types import ToolCallDone

pytestmark = pytest.mark.promise(n=3)

names: st.SearchStrategy[Any] = st.sampled_from(["a", "b", "", None, 5, True, [], {}, "\ud83d", "\u00e9"])
texts: st.SearchStrategy[Any] = st.sampled_from(["", "a", "ab", "{}", "\ud83d", "\ude00", None, 3, []])
indexes: st.SearchStrategy[Any] = st.sampled_from([0, 0, 1, 2, -1, 10**12, True, None, "0", 1.5, 9999])
item_types: st.SearchStrategy[Any] = st.sampled_from(
    [place.item_type for place in PLACES] + ["future_call", None, 3, []]
)
part_types: st.SearchStrategy[Any] = st.sampled_from(
    ["output_text", "refusal", "reasoning_text", "summary_text", None, 3, {}]
)
odd: st.SearchStrategy[Any] = st.sampled_from([None, 3, {"commands": ["a", None]}, {"commands": 3}, []])


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


parts = objects(type=part_types, text=texts, refusal=texts, annotations=st.sampled_from([[], [{}], 3]), unknown=texts)
lists = st.lists(parts | st.none(), max_size=3) | st.none() | texts
items = objects(
    type=item_types,
    id=names,
    call_id=names,
    name=names,
    arguments=texts,
    input=texts,
    content=lists,
    summary=lists,
    action=odd,
    operation=odd,
    unknown=texts,
)
kinds = [f"response.{place.family}.{end}" for place in PLACES for end in ("delta", "done")]
kinds += ["response.output_item.added", "response.output_item.done"] * 4
kinds += ["response.content_part.added", "response.content_part.done", "response.reasoning_summary_part.added"]
kinds += ["response.output_text.annotation.added"]
events = objects(
    output_index=indexes,
    item_id=names,
    content_index=indexes,
    summary_index=indexes,
    command_index=indexes,
    annotation_index=indexes,
    call_id=names,
    unknown=texts | st.just([1]),
    delta=texts,
    text=texts,
    refusal=texts,
    arguments=texts,
    input=texts,
    command=texts,
    item=items | st.none(),
    part=parts,
    annotation=parts,
)
any_event = st.builds(lambda kind, event: {"type": kind, **event}, st.sampled_from(kinds), events)
usage: st.SearchStrategy[Any] = st.sampled_from(
    [None, 3, {"total_tokens": "x"}, {"total_tokens": 10**400}, {"input_tokens": []}]
)
last_event = st.builds(
    lambda kind, response: {"type": f"response.{kind}", "response": response},
    st.sampled_from(["completed", "incomplete", "failed", "cancelled", "in_progress"]),
    objects(id=names, status=texts, usage=usage, output=st.lists(items | st.none(), max_size=4) | texts),
)


@settings(deadline=None)
@given(st.lists(any_event, max_size=8), st.lists(last_event, max_size=1))
def test_whatever_is_in_the_events_nothing_raises_and_no_earlier_snapshot_changes(
    begun: list[dict[str, Any]], last: list[dict[str, Any]]
) -> None:
    protocol, before = ResponseProtocol(), [json.dumps(raw) for raw in begun + last]
    following = protocol.deltas()
    said, snapshots, raws = [], [], []
    for text in before:
        raws.append(json.loads(text))
        if (event := made(protocol, raws[-1])) is None:
            continue  # an error without an event
        protocol.add([event])
        said += following.add(event)
        snapshot = protocol.snapshot()
        snapshots.append((snapshot, json.dumps(snapshot.raw)))
        assert repr((snapshot, snapshot.output, snapshot.output_text, protocol.text, protocol.usage))
        assert protocol.deltas().end() is not None
        assert (protocol.resume_path() or "").isascii()
    said += following.end()
    protocol.failure()
    calls = [delta.part for delta in said if isinstance(delta, ToolCallDone)]
    assert len(calls) == len(set(calls))
    assert [json.dumps(snapshot.raw) for snapshot, _ in snapshots] == [raw for _, raw in snapshots]
    assert [json.dumps(raw) for raw in raws] == before  # nor is an event changed
