"""Responses: what the events so far add up to.

The terminal event holds the whole `Response`, and where it does, that is the snapshot. Before it, or where its `output`
is empty (some servers, and every failure), the output is rebuilt from the other events. Rules, where servers differ:

* an item is found by `output_index`, else by `item_id`, else it is the latest; ids may change between events;
* `output_item.added` begins an item, and so does any event that speaks of one that was never added;
* deltas are appended in pieces; a `done` event's text replaces them, unless it is empty; `output_item.done` replaces
  the whole item, except for texts that it lacks.
"""

from __future__ import annotations

from typing import Any

import attrs

from trio_openai.types._base import Raw
from trio_openai.types.responses import Response

from .convert import hook_for
from .json import is_array, is_object

Path = tuple["str | int", ...]

TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
"""The events that carry the finished response. The last is of servers that name it so; OpenAI's documents do not."""


@attrs.frozen(eq=False)  # a key of dictionaries, by identity
class Place:
    """Where a family of text events belongs: `<family>.delta` brings pieces, `<family>.done` the whole."""

    family: str
    item_type: str
    path: tuple[str, ...]  # in the item; "#" stands for the index
    field: str  # of the done event
    index: str = ""  # the event's field with the index
    part_type: str = ""  # of the part that the text is in

    def path_of(self, index: int) -> Path:
        return tuple(index if name == "#" else name for name in self.path)


PLACES = (
    Place("output_text", "message", ("content", "#", "text"), "text", "content_index", "output_text"),
    Place("refusal", "message", ("content", "#", "refusal"), "refusal", "content_index", "refusal"),
    Place("reasoning_text", "reasoning", ("content", "#", "text"), "text", "content_index", "reasoning_text"),
    Place("reasoning_summary_text", "reasoning", ("summary", "#", "text"), "text", "summary_index", "summary_text"),
    Place("function_call_arguments", "function_call", ("arguments",), "arguments"),
    Place("mcp_call_arguments", "mcp_call", ("arguments",), "arguments"),
    Place("custom_tool_call_input", "custom_tool_call", ("input",), "input"),
    Place("code_interpreter_call_code", "code_interpreter_call", ("code",), "code"),
    Place("shell_call_command", "shell_call", ("action", "commands", "#"), "command", "command_index"),
    Place("apply_patch_call_operation_diff", "apply_patch_call", ("operation", "diff"), "diff"),
)
_OUTPUT_TEXT = PLACES[0]
DELTAS = {f"response.{text.family}.delta": text for text in PLACES}
DONES = {f"response.{text.family}.done": text for text in PLACES}
_PARTS = {
    # the event: the type of the item, the list that the part is in, the event's field with the index
    "response.content_part.added": ("message", "content", "content_index"),
    "response.content_part.done": ("message", "content", "content_index"),
    "response.reasoning_summary_part.added": ("reasoning", "summary", "summary_index"),
    "response.reasoning_summary_part.done": ("reasoning", "summary", "summary_index"),
}


class Item:
    """One output item: the JSON object that it began or ended with, and the texts that arrived for it."""

    __slots__ = ("done", "index", "raw", "texts")

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.done = False
        self.index: int | None = None
        self.texts: dict[tuple[Place, int], list[str]] = {}

    def pieces(self, place: Place, event: Raw) -> list[str]:
        """The pieces of the text that an event speaks of."""
        return self.texts.setdefault((place, index_in(event, place.index)), [])

    def put(self, path: Path, value: object) -> None:
        """Set what stands at a path, unless the whole item has come."""
        if not self.done:
            self.raw = _put(self.raw, path, value)

    def as_events(self) -> list[Raw]:
        """Few events that say what those that spoke of it have said."""
        where = {"item_id": self.raw.get("id")} if self.index is None else {"output_index": self.index}
        events: list[Raw] = [{"type": "response.output_item.added", **where, "item": self.raw}]
        if self.done:
            return [*events, {"type": "response.output_item.done", **where, "item": self.build()}]
        for (place, index), pieces in self.texts.items():
            kind = f"response.{place.family}.delta"
            at = {place.index: index} if place.index else {}
            events.append({"type": kind, **where, **at, "delta": "".join(pieces)})
        return events

    def build(self) -> Raw:
        raw = self.raw
        for (place, index), pieces in self.texts.items():
            if pieces:
                path = place.path_of(index)
                raw = _put(raw, path, "".join(pieces), keep=self.done)
                if place.part_type:
                    raw = _put(raw, (*path[:-1], "type"), place.part_type, keep=True)
        return raw


class Items:
    """The output items that events speak of."""

    def __init__(self) -> None:
        self._by_index: dict[int, Item] = {}
        self._by_id: dict[str, Item] = {}
        self._items: list[Item] = []

    def find(self, raw: Raw, item_type: str, body: Raw | None = None) -> Item:
        """The item that an event speaks of, made if there is none."""
        index, item_id = raw.get("output_index"), raw.get("item_id") or (body or {}).get("id")
        item: Item | None = None
        named = self._by_id.get(item_id) if type(item_id) is str else None
        if type(index) is int:
            item = self._by_index.get(index) or (named if named and named.index is None else None)
        elif named is not None or type(item_id) is str:
            item = named
        elif self._items and body is None:
            item = self._items[-1]
        if item is None:
            item = Item({"type": item_type} if item_type else {})
            self._items.append(item)
        if type(index) is int:
            self._by_index[index], item.index = item, index
        if type(item_id) is str:
            self._by_id[item_id] = item
            item.put(("id",), item.raw.get("id") or item_id)
        return item

    def at(self, index: int) -> Item | None:
        """The item with an output index."""
        return self._by_index.get(index)

    @property
    def in_order(self) -> list[Item]:
        """By output index; those without one, in the order in which they came, after the rest."""
        indexed = [self._by_index[i] for i in sorted(self._by_index)]
        return indexed + [item for item in self._items if not any(item is other for other in indexed)]


class LastDelta:
    """A delta that was added. Most are followed by another of the same text, which then need not be looked for."""

    __slots__ = ("_index", "_index_field", "_item", "_kind", "_output_index", "pieces", "place")

    def __init__(self, place: Place, raw: Raw, pieces: list[str]) -> None:
        self.place, self.pieces = place, pieces
        self._kind, self._item, self._output_index = raw.get("type"), raw.get("item_id"), raw.get("output_index")
        self._index_field = place.index
        self._index = raw.get(place.index)

    def is_followed_by(self, raw: Raw) -> bool:
        """Whether an event is another one of this text."""
        return (
            raw.get("type") == self._kind
            and raw.get("item_id") == self._item
            and raw.get("output_index") == self._output_index
            and raw.get(self._index_field) == self._index
            and type(raw.get("delta")) is str
        )


class ResponseSnapshot:
    """Adds events up. `add` folds one in; `snapshot` builds the response so far.

    Attributes:
        has_content: whether anything that the model produced has arrived.
        text: the output text that the last event added.
    """

    def __init__(self) -> None:
        self.has_content = False
        self.text = ""
        self._response: Raw = {}
        self._whole: Response | None = None  # of the terminal event, where it has its output
        self._items = Items()
        self._latest: LastDelta | None = None  # if that was the last event
        self._spoken = False  # whether there has been any text

    @property
    def id(self) -> str | None:
        """The response's."""
        given = self._response.get("id")
        return given if type(given) is str else None

    def add(self, events: list[Any]) -> None:
        """Fold in one event or more, in the order in which they came."""
        for event in events:
            raw: Raw = event.raw
            latest = self._latest
            if latest is not None and latest.is_followed_by(raw):
                latest.pieces.append(raw["delta"])
                self.text = raw["delta"] if latest.place is _OUTPUT_TEXT else ""
            else:
                self._latest = None
                self._add(event, raw)

    def _add(self, event: Any, raw: Raw) -> None:
        kind = name if type(name := raw.get("type") or event.type) is str else ""
        text = ""
        if place := DELTAS.get(kind):
            text = self._add_delta(raw, place)
        elif place := DONES.get(kind):
            text = self._add_done(raw, place)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            text = self._add_item(raw, done=kind == "response.output_item.done")
        elif kind in _PARTS:
            self._add_part(raw, *_PARTS[kind])
        elif kind == "response.output_text.annotation.added":
            self._add_annotation(raw)
        elif is_object(response := raw.get("response")):
            text = self._add_response(response, kind, event)
        if text:
            self._spoken = True
        self.text = text

    @property
    def pieces(self) -> list[str]:
        """The latest output text, in a list that grows; none if it came whole."""
        for item in reversed(self._items.in_order):
            for (place, _), pieces in reversed(item.texts.items()):
                if place is _OUTPUT_TEXT:
                    return pieces
        return []

    @property
    def usage(self) -> object:
        """The usage so far, as it was sent."""
        return self._response.get("usage")

    def snapshot(self) -> Response:
        """The response so far. Later events do not change it."""
        if self._whole is not None:
            return self._whole
        output = [item.build() for item in self._items.in_order]
        return _response({**self._response, "output": output})

    def as_events(self) -> list[Raw]:
        """Few events that say of items and texts what all events have said."""
        return [event for item in self._items.in_order for event in item.as_events()]

    def _add_delta(self, raw: Raw, place: Place) -> str:
        value = raw.get("delta")
        if type(value) is not str or not value:
            return ""
        pieces = self._items.find(raw, place.item_type).pieces(place, raw)
        pieces.append(value)
        self._latest = LastDelta(place, raw, pieces) if "type" in raw else None
        self.has_content = True
        return value if place is _OUTPUT_TEXT else ""

    def _add_done(self, raw: Raw, place: Place) -> str:
        """The end of a text. It returns the text if no delta brought any of it before."""
        value = raw.get(place.field)
        if type(value) is not str or not value:
            return ""
        pieces = self._items.find(raw, place.item_type).pieces(place, raw)
        is_new = not pieces
        pieces[:] = [value]
        self.has_content = True
        return value if is_new and place is _OUTPUT_TEXT else ""

    def _add_item(self, raw: Raw, *, done: bool) -> str:
        """An item begins or is complete. It returns the text of a message that came whole."""
        body = raw.get("item")
        if not is_object(body):
            return ""
        item = self._items.find(raw, "", body)
        item.raw = body
        item.done = done
        if item.raw.get("type") not in (None, "message", "reasoning"):
            self.has_content = True
        if not done or any(place is _OUTPUT_TEXT for place, _ in item.texts):
            return ""
        text = _response({"output": [item.raw]}).output_text
        self.has_content = self.has_content or bool(text)
        return text

    def _add_part(self, raw: Raw, item_type: str, place: str, index: str) -> None:
        part = raw.get("part")
        if is_object(part):
            self._items.find(raw, item_type).put((place, index_in(raw, index)), part)

    def _add_annotation(self, raw: Raw) -> None:
        item = self._items.find(raw, "message")
        path: Path = ("content", index_in(raw, "content_index"), "annotations")
        before = _get(item.raw, path)
        index = index_in(raw, "annotation_index", missing=len(before) if is_array(before) else 0)
        item.put((*path, index), raw.get("annotation"))

    def _add_response(self, response: Raw, kind: str, event: Any) -> str:
        """An event that carries the response itself."""
        self._response = {**self._response, **response}
        if kind not in TERMINAL or not response.get("output"):
            return ""
        self._whole = whole = event.response if isinstance(event.response, Response) else _response(response)
        self.has_content = True
        return "" if self._spoken else whole.output_text


def _response(raw: Raw) -> Response:
    response: Response = hook_for(Response)(raw, None)
    return response


def index_in(raw: Raw, name: str, missing: int = 0) -> int:
    """An index of an event, or what stands for it if there is none."""
    value = raw.get(name)
    return value if type(value) is int and 0 <= value < _MOST_PARTS else missing


_MOST_PARTS = 10_000  # an index beyond that is nonsense, and would make a list of that length


def _put(place: Any, path: Path, value: object, *, keep: bool = False) -> Any:
    """A copy of a JSON value with another value at a path, sharing all that is beside the path.

    Objects and lists on the way are made where there are none. With `keep`, a value that stands there already stays.
    """
    name, *rest = path
    if isinstance(name, int):
        copy: Any = [*place] if is_array(place) else []
        copy.extend([None] * (name + 1 - len(copy)))
        before = copy[name]
    else:
        copy = {**place} if is_object(place) else {}
        before = copy.get(name)
    if rest:
        copy[name] = _put(before, tuple(rest), value, keep=keep)
    elif not (keep and before):
        copy[name] = value
    return copy


def _get(place: object, path: Path) -> object:
    """What stands at a path, or None."""
    for name in path:
        if isinstance(name, int):
            place = place[name] if is_array(place) and name < len(place) else None
        else:
            place = place.get(name) if is_object(place) else None
    return place
