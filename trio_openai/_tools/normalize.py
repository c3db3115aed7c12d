"""Repairs a model's tool calls so that strict servers accept them in the next request.

The next request repeats the calls that the model made. Servers check requests more strictly than their own output, so:

* Arguments must be a JSON object. Blank arguments become `{}`. Anything else is wrapped in an object as text, where the
  model can see what it wrote
  (https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/fine-grained-tool-streaming).
* Every call needs an id that is a non-empty string, and two calls of a round must not share one.
* Names may only contain the characters that the API allows.

Whatever is valid already is sent back unchanged.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict, deque
from collections.abc import Callable, Sequence

from trio_openai._protocols.structured import answer_format as structured
from trio_openai._wire.json import encode_text, is_object
from trio_openai._wire.text import utf8
from trio_openai.types._raw import Raw
from trio_openai.types.deltas import ToolCallDone

INVALID_JSON = "INVALID_JSON"
"""The key under which arguments are sent back that were not a JSON object."""

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64
_ITEM_TYPES = {"function": "function_call", "custom": "custom_tool_call"}

Description = tuple[str, str, str, str]
"""A call's kind, id, name, and arguments or text."""


def arguments_to_send(call: ToolCallDone) -> str:
    """Return a call's arguments as the text of a JSON object; for a custom tool, its text."""
    text = utf8(call.arguments).decode()
    if call.kind == "custom":
        return text
    if not text.strip():
        return "{}"
    value = _decoded(text)
    if not is_object(value):
        return encode_text({INVALID_JSON: text})
    return text if text.strip().startswith("{") else encode_text(value)


def _decoded(text: str) -> object:
    try:
        return structured.decoded(text)
    except ValueError:
        return None


def name_to_send(name: object) -> str:
    """Return a tool's name with only the characters that the API allows."""
    return _FORBIDDEN.sub("_", _text(name))[:_LONGEST_NAME] or "unknown"


def name_to_show(name: object) -> str:
    """Return a tool's name for an error message, whatever the server sent as one. Never raises."""
    try:
        return f"{name!r:.100}"
    except RecursionError:
        return "(nested too deeply)"


def distinct_ids(given: Sequence[object], used: set[str]) -> list[str]:
    """Return one id for each call of a round: the server's own if it is valid and new, else one made up here.

    Args:
        given: the ids that the server sent.
        used: every id of the conversation so far. An id made up here repeats none of them; the ids of this round are
            added.
    """
    ids: dict[str, None] = {}
    numbers = itertools.count(2)
    for place, name in enumerate(map(_text, given)):
        base = chosen = name or f"call_{place}"
        while chosen in ids or (chosen != name and chosen in used):
            chosen = f"{base}_{next(numbers)}"
        ids[chosen] = None
    used.update(ids)
    return list(ids)


def _text(value: object) -> str:
    """Return a string that can be encoded as UTF-8, or an empty string for any other value."""
    return utf8(value).decode().strip() if isinstance(value, str) else ""


# --------------------------------------------------------------------------------------------------- items of Responses


def id_of(call: ToolCallDone, item: Raw | None) -> str:
    """Return the id that the output of a call must refer to, as the server sent it; empty if it sent none."""
    return _id_of_item(item) if item is not None else _text(call.id)


def _id_of_item(item: Raw) -> str:
    """Return the item's `call_id`, or its `id` where a server sends no `call_id`."""
    return _text(item.get("call_id")) or _text(item.get("id"))


def items_of_calls(items: list[Raw], calls: Sequence[ToolCallDone]) -> list[int | None]:
    """Return the index of each call's item in the output, or None if the output lacks it.

    Some servers change ids and order between the events and the final response. So match by all known fields first,
    then by kind and id, then by kind, name and arguments, and finally by kind alone. Each item is matched once.
    """
    found: dict[int, int] = {}
    free = {place: _described(item) for place, item in enumerate(items) if item.get("type") in _ITEM_TYPES.values()}
    sought = {number: _sought(call) for number, call in enumerate(calls)}
    for key in _KEYS:
        waiting: defaultdict[tuple[str, ...], deque[int]] = defaultdict(deque)
        for place, description in free.items():
            waiting[key(description)].append(place)
        for number in [*sought]:
            if places := waiting.get(key(sought[number])):
                found[number] = places.popleft()
                del sought[number], free[found[number]]
    return [found.get(number) for number in range(len(calls))]


_KEYS: tuple[Callable[[Description], tuple[str, ...]], ...] = (
    lambda description: description,
    lambda description: description[:2],
    lambda description: (description[0], *description[2:]),
    lambda description: description[:1],
)


def _described(item: Raw) -> Description:
    text = item.get("input" if item["type"] == "custom_tool_call" else "arguments")
    return item["type"], _id_of_item(item), _text(item.get("name")), _text(text)


def _sought(call: ToolCallDone) -> Description:
    return _ITEM_TYPES.get(call.kind, ""), _text(call.id), _text(call.name), _text(call.arguments)


def item_to_send(call: ToolCallDone, call_id: str, item: Raw | None) -> Raw:
    """Return the item of a call to send back, based on `item`, the one that the server sent (if it did)."""
    text = "input" if call.kind == "custom" else "arguments"
    wanted: Raw = {
        "type": _ITEM_TYPES[call.kind],
        "call_id": call_id,
        "name": name_to_send(call.name),
        text: arguments_to_send(call),
    }
    return {**(item or {}), **wanted}
