"""Responses: the output items that a stream's events are about.

Servers differ in how they say which item that is. The rules:

* An item is found by `output_index`. Ids may change from event to event (GitHub Copilot), so an unknown id alone does
  not make another item.
* Some servers send `output_index: 0` with every item. An event with another id is about another item if the item at
  that index is done, has another type or another `call_id`, or if the event is an `output_item.added` and the item has
  had one.
* Without an index, the id counts (llama.cpp). Without both, the latest item of the type that the event is about.

`GrowingItems.matched` finds the items again in the output of the last event, where some servers leave out or renumber
them.
Everything is kept in dictionaries by index until somebody looks: one event costs the same however many came before, and
an index of 9999 costs no more than one of 0.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from trio_openai._wire.json import is_array, is_object
from trio_openai._wire.text import join_text
from trio_openai.types._raw import Raw

from .content_parts import (
    PLACES,
    ContentPart,
    Place,
    UnknownPart,
    filled,
    interleaved,
    joined_texts,
    known_fields,
    merged,
    renew,
    replace_text,
)

_ITEM_TYPES = frozenset(place.item_type for place in PLACES)
_ANSWERED = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "shell_call", "local_shell_call", "apply_patch_call"}
)
"""Calls that the program answers, by their `call_id`."""


class GrowingItem:
    """One output item: the JSON object that it began or ended with, and the texts that arrived for it.

    Attributes:
        raw: the object, without the texts. It is the item's own: no event shares it.
        index: its place in the output, if the server has said so.
        ids: the ids that events gave it.
        is_begun: whether an event brought the object itself.
        done: whether the whole object has come.
        has_output_text: whether a part of its text has come.
        unknown: what events about it said that the API does not have.
    """

    __slots__ = (
        "_is_over",
        "_parts",
        "_texts",
        "done",
        "has_output_text",
        "ids",
        "index",
        "is_begun",
        "raw",
        "unknown",
    )

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.index: int | None = None
        self.ids: set[str] = set()
        self.unknown: UnknownPart | None = None
        self.is_begun = self.done = self.has_output_text = False
        self._parts: dict[str, dict[int, Any]] = {}  # by the name of the list, and the index
        self._texts: dict[tuple[Place, int], list[str]] = {}  # those that are not in a part
        self._is_over = False  # whether arguments were handed out as complete

    def part(self, name: str, index: int) -> ContentPart:
        """Return a part of its `content` or `summary`, a new one if there is none."""
        parts = self._parts.setdefault(name, {})
        part = parts.get(index)
        if not isinstance(part, ContentPart):
            told = self.raw.get(name)
            told = told[index] if is_array(told) and index < len(told) else None
            part = parts[index] = ContentPart(told if is_object(told) else {})
        return part

    def pieces(self, place: Place, index: int) -> list[str]:
        """Return the pieces of a text, a list that grows."""
        if place.part_type:
            self.has_output_text = self.has_output_text or place is PLACES[0]
            part = self.part(place.path[0], index)
            if self.done:
                part.remember()
            return part.texts.setdefault(place, [])
        return self._texts.setdefault((place, index), [])

    def add_unknown(self, place: Place, index: int, fields: Raw) -> None:
        """Take fields that the API does not have, from an event about a text."""
        holder = self.part(place.path[0], index) if place.part_type else self
        holder.unknown = holder.unknown or UnknownPart()
        holder.unknown.add(fields)

    def is_over(self, place: Place) -> bool:
        """Return whether the arguments are complete. A tool may have run with them, so they never change again."""
        return place.is_call and (self.done or self._is_over)

    def end_call(self, place: Place) -> None:
        """Remember that the arguments are complete, if the id and the name of the call are known."""
        if place.is_call and self.raw.get("name") and self.raw.get("id" if place.family[:3] == "mcp" else "call_id"):
            self._is_over = True

    def begin(self, body: Raw) -> None:
        """Take the object with which the item begins."""
        if not self.done:
            renew(self.raw, body, known_fields(body.get("type")))
            self.is_begun = True

    def finish(self, body: Raw, *, is_last: bool = False) -> None:
        """Take the whole item. Fields that the API does not know stay, and so do texts that it leaves out.

        Parts at other indexes are searched only the first time and at the end of the response. So a server that repeats
        the event a thousand times causes no extra work. The end of the response does not mark the item as done: the
        end of the stream ends its parts for late readers.
        """
        is_new = is_last or not self.done
        if is_last:
            self._remember()
        for name, parts in self._parts.items():
            told: list[Any] = value if is_array(value := body.get(name)) else []
            self._parts[name] = merged(parts, told, is_new=is_new)
        for (place, index), pieces in self._texts.items() if is_new else ():
            if not (pieces and self.is_over(place)):
                replace_text(pieces, _text_at(body, place, index), is_call=True)
        renew(self.raw, body, known_fields(body.get("type")))
        self.raw.update({name: [] for name, parts in self._parts.items() if parts})  # the parts hold the content now
        self.is_begun, self.done = True, self.done or not is_last

    def _remember(self) -> None:
        """Keep the texts of the object as if they had come in deltas, so that the next object cannot erase them."""
        for name in ("content", "summary"):
            for index, told in enumerate(value if is_array(value := self.raw.get(name)) else ()):
                if is_object(told):
                    self.part(name, index)
            for part in self._parts.get(name, {}).values():
                if isinstance(part, ContentPart):
                    part.remember()
        for place in PLACES:
            is_here = not place.part_type and place.item_type == self.raw.get("type")
            text = _text_at(self.raw, place, 0) if is_here else None
            if type(text) is str and text:
                self._texts.setdefault((place, 0), [text])

    def build(self, *, is_over: bool = False) -> Raw:
        """Return the item so far, as a new object. `is_over` says that nothing can follow."""
        raw = {**self.unknown.build(), **self.raw} if self.unknown else {**self.raw}
        for name, parts in self._parts.items():
            if parts:
                built = {
                    index: part.build() if isinstance(part, ContentPart) else part for index, part in parts.items()
                }
                raw[name] = filled(raw.get(name), built)
        texts: dict[Place, dict[int, str]] = defaultdict(dict)
        for (place, index), pieces in self._texts.items():
            if pieces:
                texts[place][index] = join_text(pieces)
        for place, by_index in texts.items():
            _put_texts(raw, place, by_index)
        return with_call_id(raw) if is_over or self.done else raw

    def as_events(self) -> Iterator[Raw]:
        """Yield a few events that describe the item so far."""
        where: Raw = {"item_id": name} if (name := self.raw.get("id")) else {}
        if self.index is not None:
            where["output_index"] = self.index
        yield {"type": "response.output_item.added", **where, "item": {**self.raw}}
        if self.done:
            yield {"type": "response.output_item.done", **where, "item": self.build()}
            return
        for place, index, pieces in self._all_texts():
            if pieces:
                at = {place.index: index} if place.index else {}
                yield {"type": f"response.{place.family}.delta", **where, **at, "delta": join_text(pieces)}

    def _all_texts(self) -> Iterator[tuple[Place, int, list[str]]]:
        for (place, index), pieces in self._texts.items():
            yield place, index, pieces
        for parts in self._parts.values():
            for index, part in parts.items():
                for place, pieces in part.texts.items() if isinstance(part, ContentPart) else ():
                    yield place, index, pieces


def _text_at(body: Raw, place: Place, index: int) -> object:
    """Return the value at a place in an item, for texts outside of content parts."""
    value: Any = body
    for name in place.path:
        if name == "#":
            value = value[index] if is_array(value) and index < len(value) else None
        else:
            value = value.get(name) if is_object(value) else None
    return value


def _put_texts(raw: Raw, place: Place, texts: dict[int, str]) -> None:
    """Put texts into an object at their place. Inner objects are copied, not changed."""
    *before, last = [name for name in place.path if name != "#"]
    for name in before:
        inner: Raw = {**value} if is_object(value := raw.get(name)) else {}
        raw[name] = inner
        raw = inner
    raw[last] = filled(raw.get(last), texts) if "#" in place.path else texts[0]


def with_call_id(raw: Raw) -> Raw:
    """Return the item with a `call_id`. If the server gave a call none, its own id takes that role."""
    kind, name = raw.get("type"), raw.get("id")
    is_answered = type(kind) is str and kind in _ANSWERED and type(name) is str and name
    return {**raw, "call_id": name} if is_answered and not raw.get("call_id") else raw


@attrs.frozen
class _About:
    """The information in an event about its item: index, ids and type."""

    index: int | None
    id: str | None
    call_id: str | None
    kind: str | None
    body: Raw | None
    begins: bool

    @classmethod
    def of(cls, raw: Raw, item_type: str, body: Raw | None, *, begins: bool) -> _About:
        index, own = raw.get("output_index"), body or {}
        return cls(
            index if type(index) is int and index >= 0 else None,
            _text(raw.get("item_id")) or _text(own.get("id")),
            _text(own.get("call_id")) or _text(raw.get("call_id")),
            _text(own.get("type")) or item_type or None,
            body,
            begins,
        )

    def is_about_another(self, item: GrowingItem) -> bool:
        """Return whether the event cannot be about the item at its place."""
        call_id, kind = _text(item.raw.get("call_id")), _text(item.raw.get("type"))
        is_new_id = self.id is not None and bool(item.ids) and self.id not in item.ids
        if call_id and self.call_id and call_id != self.call_id:
            return True
        if kind and self.kind and kind != self.kind and self._says_type_of(item, kind):
            return True
        if item.done and (is_new_id or (self.begins and self.id is None)):
            return call_id is None or call_id != self.call_id or (self.begins and is_new_id)
        if self.begins and item.is_begun and self.body:
            names = _text(item.raw.get("name")), _text(self.body.get("name"))
            return is_new_id or (self.id is None and None not in names and names[0] != names[1])
        return False

    def _says_type_of(self, item: GrowingItem, kind: str) -> bool:
        """Return whether to trust the type in the event. In a text event it counts only if no id contradicts it."""
        return self.body is not None or (self.id not in item.ids and {kind, self.kind} <= _ITEM_TYPES)


class GrowingItems:
    """The output items of a response. `find` returns the item that an event is about."""

    def __init__(self) -> None:
        self._all: list[GrowingItem] = []
        self._at: dict[int, GrowingItem] = {}  # the latest with an index
        self._named: dict[tuple[int | None, str], GrowingItem] = {}  # by index and id; without an index, the latest
        self._called: dict[tuple[int | None, str], GrowingItem] = {}  # the same by `call_id`
        self._latest: dict[str, GrowingItem] = {}  # of a type

    def find(self, raw: Raw, item_type: str, body: Raw | None = None, *, begins: bool = False) -> GrowingItem:
        """Return the item that an event is about. Create it if it is new.

        Args:
            raw: the event.
            item_type: the type of items that such events are about, if there is one.
            body: the item itself, if the event brings it.
            begins: whether it is the event that an item begins with.
        """
        about = _About.of(raw, item_type, body, begins=begins)
        item = self._known(about)
        if item is None or about.is_about_another(item):
            item = GrowingItem({"type": item_type or "message"} if body is None else {})
            self._all.append(item)
        self._note(item, about)
        return item

    def _known(self, about: _About) -> GrowingItem | None:
        index = about.index
        item = self._called.get((index, about.call_id)) if about.call_id else None
        if item is None and about.id is not None:
            item = self._named.get((index, about.id))
        if item is not None:
            return item
        if index is not None:
            named = self._at.get(index) or self._named.get((None, about.id or ""))
            return named if named is not None and named.index in (None, index) else None
        if about.id is not None or about.begins or not self._all:
            return None
        item = self._latest.get(about.kind or "") or self._all[-1]
        return item if not item.done or (item is self._all[-1] and about.body is None) else None

    def _note(self, item: GrowingItem, about: _About) -> None:
        """Remember the index and the ids under which the event named the item."""
        for index in {about.index, None}:
            if about.id is not None:
                self._named[index, about.id] = item
            if about.call_id is not None:
                self._called[index, about.call_id] = item
        if about.index is not None:
            self._at[about.index], item.index = item, about.index
        if about.id is not None:
            item.ids.add(about.id)
            item.raw["id"] = item.raw.get("id") or about.id
        if about.call_id is not None:
            item.raw["call_id"] = item.raw.get("call_id") or about.call_id
        self._latest[about.kind or _text(item.raw.get("type")) or ""] = item

    @property
    def in_order(self) -> list[GrowingItem]:
        """The items sorted by output index. Those without an index come last."""
        return sorted(self._all, key=order_of)

    def matched(self, output: Sequence[Any]) -> list[tuple[GrowingItem | None, int | None]]:
        """Match the items with the output of the last event, in the order of that output.

        Returns:
            Pairs of an item and its index in the output. The item is None if no event was about it. The index is None
            if the output leaves the item out; it then follows the item that was before it.
        """
        heard = self.in_order
        return interleaved(heard, len(output), _Matching(heard).with_output(output))


def order_of(item: GrowingItem) -> float:
    """Return the sort key of an item."""
    return math.inf if item.index is None else item.index


class _Matching:
    """Finds items in an output: by `call_id`, then by id, by index, and at last by type in their order."""

    def __init__(self, heard: list[GrowingItem]) -> None:
        self._heard = heard
        self._pairs: dict[int, int] = {}
        self._texts: dict[int, dict[Place, str]] = {}  # of the items that were compared
        self._by: dict[object, deque[int]] = defaultdict(deque)
        for number, item in enumerate(heard):
            call_id, kind = _text(item.raw.get("call_id")), _text(item.raw.get("type"))
            keys: list[object] = [("call", call_id), ("index", item.index), ("type", kind, call_id is None)]
            for key in keys + [("id", name) for name in item.ids]:
                self._by[key].append(number)

    def with_output(self, output: Sequence[Any]) -> dict[int, int]:
        """Return the index in the output for each item."""
        told = [(index, body) for index, body in enumerate(output) if is_object(body)]
        for way in (self._by_call_id, self._by_id, self._by_index, self._by_type):
            told = [(index, body) for index, body in told if not way(index, body)]
        return self._pairs

    def _by_call_id(self, index: int, body: Raw) -> bool:
        return bool(call_id := _text(body.get("call_id"))) and self._pair(("call", call_id), index, body)

    def _by_id(self, index: int, body: Raw) -> bool:
        return bool(name := _text(body.get("id"))) and self._pair(("id", name), index, body)

    def _by_index(self, index: int, body: Raw) -> bool:
        return self._pair(("index", index), index, body)

    def _by_type(self, index: int, body: Raw) -> bool:
        kind, has_call_id = _text(body.get("type")), _text(body.get("call_id")) is not None
        return self._pair(("type", kind, True), index, body) or (
            not has_call_id and self._pair(("type", kind, False), index, body)
        )

    def _pair(self, key: object, index: int, body: Raw) -> bool:
        """Pair a body with the first unpaired item under this key, if it may be the same item."""
        numbers = self._by.get(key)
        while numbers and numbers[0] in self._pairs:
            numbers.popleft()
        if not numbers or not self._may_be(numbers[0], body):
            return False
        self._pairs[numbers.popleft()] = index
        return True

    def _may_be(self, number: int, body: Raw) -> bool:
        """Return whether a body may be that item. If the id differs, its texts must fit the delivered ones."""
        item = self._heard[number]
        call_ids = _text(item.raw.get("call_id")), _text(body.get("call_id"))
        if item.raw.get("type") not in (None, body.get("type")) or (
            None not in call_ids and call_ids[0] != call_ids[1]
        ):
            return False
        name = _text(body.get("id"))
        if name is None or not item.ids or name in item.ids or None not in call_ids:
            return True
        if number not in self._texts:
            self._texts[number] = joined_texts([item.build()])
        told = joined_texts([body])
        heard = ((text, told.get(place, "")) for place, text in self._texts[number].items())
        return all(text in new or text.startswith(new) for text, new in heard)


def _text(value: object) -> str | None:
    """Return a string that is not empty, or None."""
    return value if type(value) is str and value else None
