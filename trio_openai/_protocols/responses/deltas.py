"""Deltas of a Responses stream.

* A part is a text of an output item (of a message, a refusal, reasoning or a reasoning summary), or an item that is a
  tool call. `items.py` decides which item an event is about, as it does for the snapshot.
* A part ends with its own `done` event, with that of its item, or with the response, whichever comes first. A tool call
  also needs its id and its name. Without them it waits for the next of these events.
* A text that comes without deltas becomes one delta when its part ends. This happens once: the end of an item adds no
  text of a kind that had deltas, and the end of the response adds no text of a kind that was heard at all, because
  indexes and ids may have changed meanwhile.
* A response that failed or was cancelled ends no part, because the parts were cut.

"""

from __future__ import annotations

import itertools
from collections.abc import Container
from typing import Any

from trio_openai._protocols.open_parts import CONTENT, REASONING, REFUSAL, OpenPart, OpenText, TextKind
from trio_openai._wire.json import is_array, is_object
from trio_openai.types._raw import Raw
from trio_openai.types.deltas import CallKind, Delta, ToolCallArgumentsDelta, ToolCallDone

from .content_parts import PLACES, Place, texts_in
from .items import GrowingItem, GrowingItems
from .snapshot import DELTAS, DONES, TERMINAL, LastDelta

_TEXTS: dict[str, TextKind] = {
    "output_text": CONTENT,
    "refusal": REFUSAL,
    "reasoning_text": REASONING,
    "reasoning_summary_text": REASONING,
}
_TOOLS: dict[str, CallKind] = {
    "function_call_arguments": "function",
    "custom_tool_call_input": "custom",
    "mcp_call_arguments": "mcp",
}
_KINDS: dict[Place, TextKind | CallKind] = {
    place: _TEXTS.get(place.family) or _TOOLS[place.family]
    for place in PLACES
    if place.family in _TEXTS or place.family in _TOOLS
}
_TOOL_ITEMS = {place.item_type: place for place in _KINDS if place.family in _TOOLS}
_CUT = ("response.failed", "response.cancelled")


class ResponseDeltas:
    """Translates the events of a response into deltas.

    Args:
        before: events that stand for everything that came before.
    """

    def __init__(self, before: list[Raw]) -> None:
        self._items = GrowingItems()
        self._parts: dict[GrowingItem, dict[tuple[Place, int], _OpenPart]] = {}
        self._open: dict[GrowingItem, dict[tuple[Place, int], _OpenPart]] = {}  # of these, those that are not over
        self._kinds: dict[GrowingItem, set[object]] = {}  # of these
        self._is_cut = False
        self._numbers = itertools.count()
        self._last: tuple[LastDelta, _OpenPart] | None = None  # if that was the last event
        for raw in before:
            self._add(raw, raw["type"])

    def add(self, event: Any) -> list[Delta]:
        """Take an event and return its deltas, in order."""
        raw: Raw = event.raw
        if self._last is not None:
            last, part = self._last
            if last.is_followed_by(raw):
                return [part.add(raw["delta"])] if raw["delta"] else []
            self._last = None
        return self._add(raw, name if type(name := raw.get("type") or event.type) is str else "")

    def end(self) -> list[Delta]:
        """End all open parts, because the stream is complete."""
        return [] if self._is_cut else [event for item in [*self._open] for event in self._end_of(item)]

    def _add(self, raw: Raw, kind: str) -> list[Delta]:
        if place := DELTAS.get(kind):
            return self._add_delta(raw, place) if place in _KINDS else []
        if place := DONES.get(kind):
            return self._add_done(raw, place) if place in _KINDS else []
        if kind in ("response.output_item.added", "response.output_item.done"):
            return self._add_item(raw, done=kind == "response.output_item.done")
        self._is_cut = self._is_cut or kind in _CUT
        return self._add_response(raw.get("response")) if kind in TERMINAL and not self._is_cut else []

    def _add_delta(self, raw: Raw, place: Place) -> list[Delta]:
        value = raw.get("delta")
        if type(value) is not str or not value:
            return []
        item, index = self._items.find(raw, place.item_type), place.index_in(raw)
        part = self._part(item, place, index)
        if part is None or (part.is_over and isinstance(part, OpenText)):
            part = self._begin(item, place, index)
        if part.is_over:
            return []
        self._last = (LastDelta(place, raw, []), part) if "type" in raw else None
        return [part.add(value)]

    def _add_done(self, raw: Raw, place: Place) -> list[Delta]:
        value = raw.get(place.field)
        item = self._items.find(raw, place.item_type)
        return self._add_whole(item, place, place.index_in(raw), value if type(value) is str else "")

    def _add_whole(self, item: GrowingItem, place: Place, index: int, text: str, *, is_new: bool = True) -> list[Delta]:
        """End a text. `text` is all of it if the server has sent that. `is_new` allows a text without any delta."""
        part = self._part(item, place, index)
        if part is None and text and is_new:
            part = self._begin(item, place, index)
        if part is None or part.is_over:
            return []
        said = part.end_with(text)
        if part.is_known:
            self._open[item].pop((place, index), None)
        return said

    def _add_item(self, raw: Raw, *, done: bool) -> list[Delta]:
        body = raw.get("item")
        if not is_object(body):
            return []
        item = self._items.find(raw, "", body, begins=not done)
        (item.finish if done else item.begin)(body)
        heard = {*self._kinds.get(item, ())}
        self._begin_tool(item)
        return [*self._add_texts(item, body, heard), *self._end_of(item)] if done else []

    def _begin_tool(self, item: GrowingItem) -> None:
        """Begin a part if the item is a tool call, even one without arguments."""
        kind = item.raw.get("type")
        place = _TOOL_ITEMS.get(kind) if type(kind) is str else None
        if place is not None and self._part(item, place, 0) is None:
            self._begin(item, place, 0)

    def _add_texts(self, item: GrowingItem, body: Raw, heard: Container[object]) -> list[Delta]:
        """End the texts of a complete item. Texts of kinds in `heard` count only if they have begun."""
        return [
            event
            for place, index, text in texts_in(body)
            for event in self._add_whole(item, place, index, text, is_new=_KINDS[place] not in heard)
        ]

    def _add_response(self, response: object) -> list[Delta]:
        """Take the complete response. Parts that it leaves out end too."""
        output: list[Any] = value if is_object(response) and is_array(value := response.get("output")) else []
        heard: set[object] = {kind for kinds in self._kinds.values() for kind in kinds}
        made: list[Delta] = []
        for item, index in self._items.matched(output):
            body = None if index is None else output[index]
            if index is None:
                made += self._end_of(item) if item is not None else []
            elif is_object(body) and (
                item is not None or _is_named(body) or not heard
            ):  # otherwise it may be one that was reported before
                made += self._add_last(item or GrowingItem({}), index, body, heard)
        return [*made, *self.end()]

    def _add_last(self, item: GrowingItem, index: int, body: Raw, heard: Container[object]) -> list[Delta]:
        """Take an item of the complete response."""
        item.index = index if item.index is None else item.index
        item.finish(body)
        self._begin_tool(item)
        return self._add_texts(item, body, heard)

    def _end_of(self, item: GrowingItem) -> list[Delta]:
        return [part.end() for part in self._open.pop(item, {}).values()]

    def _part(self, item: GrowingItem, place: Place, index: int) -> _OpenPart | None:
        return self._parts.get(item, {}).get((place, index))

    def _begin(self, item: GrowingItem, place: Place, index: int) -> _OpenPart:
        kind = _KINDS[place]
        if item not in self._parts:
            self._parts[item], self._kinds[item] = {}, set()
        at = item.index if item.index is not None else len(self._parts) - 1
        number = next(self._numbers)
        part = _OpenToolCall(item, kind, at, number) if isinstance(kind, str) else OpenText(kind, 0, at, number)
        self._parts[item][place, index] = part
        self._open.setdefault(item, {})[place, index] = part
        self._kinds[item].add(kind)
        return part


class _OpenToolCall(OpenPart):
    """A tool call that is not done yet."""

    __slots__ = ("_item", "_kind")

    is_call = True

    def __init__(self, item: GrowingItem, kind: CallKind, index: int, number: int) -> None:
        super().__init__(0, index, number)
        self._item = item
        self._kind: CallKind = kind

    def add(self, text: str) -> Delta:
        """Add to its arguments."""
        self._pieces.append(text)
        place = 0, self._index, self._number, self._pieces, len(self._pieces)
        return ToolCallArgumentsDelta(text, *place, self._id, self._name)

    def end(self) -> Delta:
        """End the part and return the object that says so."""
        self.is_over = True
        name = self._id or self._item.raw.get("id")
        return ToolCallDone(name, self._name, self.text, self._kind, 0, self._index, self._number)

    @property
    def is_known(self) -> bool:
        """Return whether its id and its name are known."""
        return bool(self._id and self._name)

    @property
    def _id(self) -> Any:
        """The id for its result. Without a `call_id` it is the id of the item, but only when the item is complete."""
        raw = self._item.raw
        call_id = None if self._kind == "mcp" else raw.get("call_id")
        return call_id or (raw.get("id") if self._kind == "mcp" or self._item.done else None)

    @property
    def _name(self) -> Any:
        return self._item.raw.get("name")


_OpenPart = OpenText | _OpenToolCall


def _is_named(body: Raw) -> bool:
    """Return whether an item has an id."""
    return type(body.get("call_id") or body.get("id")) is str
