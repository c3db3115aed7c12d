"""The snapshot of a Responses stream: the events so far, added up to one `Response`.

The last event of a stream holds the whole `Response`, and its values count. But it never erases text that was
delivered: items, content parts and texts that it leaves out or empties stay. Before the last event, the output is
rebuilt from the other events; also if the `output` of the last event is empty, as with some servers and after every
failure.

Servers differ. These rules decide what counts:

* `output_item.added` begins an item. So does any event about an item that was never added.
* Deltas are appended. The text of a `done` event replaces them, unless it is empty or only the beginning of them.
* `output_item.done` replaces the whole item, except for texts that it lacks.
* Fields that the API does not know are kept in the response, the item or the content part that their event is about.
  The last value counts; lists in deltas are concatenated.

`items.py` finds the item that an event is about, and `content_parts.py` the text inside of the item. `add` is a hot
path: most deltas follow another delta of the same text, and `LastDelta` recognizes them without looking anything up.

"""

from __future__ import annotations

from typing import Any, get_args

import attrs

from trio_openai._wire.json import is_array, is_object
from trio_openai.types._fields import hook_for
from trio_openai.types._raw import Raw
from trio_openai.types.responses import Response, ResponseStreamEvent

from .content_parts import OUTPUT_TEXT, PLACES, Place, index_in, joined_texts, renew, replace_text
from .items import GrowingItem, GrowingItems, order_of, with_call_id

TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
"""The events that carry the finished response. The last is of servers that name it so; OpenAI's documents do not."""

DELTAS = {f"response.{text.family}.delta": text for text in PLACES}
DONES = {f"response.{text.family}.done": text for text in PLACES}
_PARTS = {
    # the event: the list that the part is in, the event's field with the index
    "response.content_part.added": ("content", "content_index"),
    "response.content_part.done": ("content", "content_index"),
    "response.reasoning_summary_part.added": ("summary", "summary_index"),
    "response.reasoning_summary_part.done": ("summary", "summary_index"),
}
_ITEM_OF_PART = {place.part_type: place.item_type for place in PLACES if place.part_type}
_EVENT_FIELDS = {name for cls in get_args(ResponseStreamEvent) for name in attrs.fields_dict(cls)} - {"raw"}
_EVENT_FIELDS.update(place.field for place in PLACES)
_EVENT_FIELDS.add("obfuscation")  # padding, so that nobody can tell words by their length
_RESPONSE_FIELDS = frozenset(attrs.fields_dict(Response))


class LastDelta:
    """The delta that was added last. The next delta usually belongs to the same text, which is then known already."""

    __slots__ = ("_index", "_index_field", "_item", "_kind", "_output_index", "_size", "pieces", "place")

    def __init__(self, place: Place, raw: Raw, pieces: list[str]) -> None:
        self.place, self.pieces = place, pieces
        self._kind, self._item, self._output_index = raw.get("type"), raw.get("item_id"), raw.get("output_index")
        self._index_field = place.index
        self._index = raw.get(place.index)
        self._size = len(raw)  # a delta with more fields may have some that the API does not know

    def is_followed_by(self, raw: Raw) -> bool:
        """Return whether an event is another delta of the same text, and nothing else."""
        return (
            raw.get("type") == self._kind
            and raw.get("item_id") == self._item
            and raw.get("output_index") == self._output_index
            and raw.get(self._index_field) == self._index
            and type(raw.get("delta")) is str
            and len(raw) == self._size
        )


class ResponseSnapshot:
    """Adds events up. `add` takes events, and `snapshot` builds the response so far.

    Attributes:
        has_content: whether the model has produced anything.
        text: the output text that the last event added.
    """

    def __init__(self) -> None:
        self.has_content = False
        self.text = ""
        self._response: Raw = {}
        self._last: tuple[Raw, object] | None = None  # the response of the last event, and the same as an object
        self._whole: Response | None = None  # what that adds up to with all before; made when somebody looks
        self._items = GrowingItems()
        self._latest: LastDelta | None = None  # if that was the last event
        self._spoken = False  # whether there has been any text
        self._answer: tuple[GrowingItem, int, list[str]] | None = (
            None  # of the latest output text: item, index and pieces
        )

    @property
    def id(self) -> str | None:
        """The id of the response, or None."""
        given = self._response.get("id")
        return given if type(given) is str else None

    def add(self, events: list[Any]) -> None:
        """Add events, in the order in which they came."""
        for event in events:
            raw: Raw = event.raw
            latest = self._latest
            if latest is not None and latest.is_followed_by(raw):
                latest.pieces.append(raw["delta"])
                self.text = raw["delta"] if latest.place is OUTPUT_TEXT else ""
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
        """The latest output text as a list of strings that grows. Empty if the text came without deltas."""
        return self._answer[2] if self._answer else []

    @property
    def usage(self) -> object:
        """The usage so far, as it was sent."""
        return self._response.get("usage")

    def snapshot(self) -> Response:
        """Return the response so far. Later events do not change the object."""
        if self._last is not None and self._whole is None:
            self._whole = self._build_whole(*self._last)
        if self._whole is not None:
            return self._whole
        return _response({**self._response, "output": [item.build() for item in self._items.in_order]})

    def as_events(self) -> list[Raw]:
        """Return a few events that describe all items and texts so far."""
        return [event for item in self._items.in_order for event in item.as_events()]

    def _pieces(self, item: GrowingItem, place: Place, raw: Raw) -> list[str]:
        """Return the list of strings for the text that an event is about."""
        index = place.index_in(raw)
        pieces = item.pieces(place, index)
        if place is OUTPUT_TEXT and (self._answer is None or self._answer[2] is not pieces):
            latest = self._answer
            if latest is None or (order_of(latest[0]), latest[1]) <= (order_of(item), index):
                self._answer = item, index, pieces
        if unknown := _unknown_fields(raw):
            item.add_unknown(place, index, unknown)
        return pieces

    def _add_delta(self, raw: Raw, place: Place) -> str:
        value = raw.get("delta")
        if type(value) is not str or not value:
            return ""
        item = self._items.find(raw, place.item_type)
        pieces = self._pieces(item, place, raw)
        self.has_content = True
        if item.is_over(place):
            return ""  # a tool may have run
        pieces.append(value)
        self._latest = LastDelta(place, raw, pieces) if "type" in raw and not _unknown_fields(raw) else None
        return value if place is OUTPUT_TEXT else ""

    def _add_done(self, raw: Raw, place: Place) -> str:
        """Take the end of a text. Return the text if it had no deltas."""
        value = raw.get(place.field)
        if type(value) is not str or not (value or place.is_call):
            return ""
        item = self._items.find(raw, place.item_type)
        pieces = self._pieces(item, place, raw)
        is_new = not pieces
        if not item.is_over(place) and (is_new or not item.done):
            replace_text(pieces, value, is_call=not place.part_type)
        item.end_call(place)
        self.has_content = self.has_content or bool(value)
        return value if is_new and place is OUTPUT_TEXT else ""

    def _add_item(self, raw: Raw, *, done: bool) -> str:
        """Take the beginning or the end of an item. Return the text of a message that came without deltas."""
        body = raw.get("item")
        if not is_object(body):
            return ""
        item = self._items.find(raw, "", body, begins=not done)
        was_done = item.done
        (item.finish if done else item.begin)({**_unknown_fields(raw), **body})
        if body.get("type") not in (None, "message", "reasoning"):
            self.has_content = True
        if not done or was_done or item.has_output_text:
            return ""
        text = _response({"output": [body]}).output_text
        self.has_content = self.has_content or bool(text)
        return text

    def _add_part(self, raw: Raw, name: str, index: str) -> None:
        body = raw.get("part")
        if not is_object(body):
            return
        kind = body.get("type")
        item_type = _ITEM_OF_PART.get(kind, "") if type(kind) is str else ""
        item = self._items.find(raw, item_type or ("reasoning" if name == "summary" else ""))
        if not item.done:
            item.part(name, index_in(raw, index)).take({**_unknown_fields(raw), **body}, is_whole=False)

    def _add_annotation(self, raw: Raw) -> None:
        item = self._items.find(raw, "message")
        if not item.done and is_object(raw.get("annotation")):
            item.part("content", index_in(raw, "content_index")).annotate(raw)

    def _add_response(self, response: Raw, kind: str, event: Any) -> str:
        """Take an event that carries the response itself."""
        self._response.update(_unknown_fields(event.raw))
        self._response.update(response)
        if kind not in TERMINAL:
            return ""
        self._last = response, event.response
        if not response.get("output"):
            return ""
        self.has_content = True
        return "" if self._spoken else self.snapshot().output_text

    def _build_whole(self, response: Raw, given: object) -> Response:
        """Return the response of the last event itself, or a copy with everything that it leaves out."""
        output = response.get("output")
        if output:  # then it is the response, and lacks nothing but what the API does not have
            renew(self._response, response, _RESPONSE_FIELDS)
        raw = {**self._response, "output": _FinalOutput(self._items, output if is_array(output) else []).build()}
        return given if isinstance(given, Response) and raw == response else _response(raw)


class _FinalOutput:
    """Merges the output of the last event with the items that came before."""

    def __init__(self, items: GrowingItems, output: list[Any]) -> None:
        self._output = output
        self._pairs = items.matched(output)
        self._lost = self._lost_texts() if any(index is None for _, index in self._pairs) else set[Place]()
        unmatched = [output[index] for item, index in self._pairs if item is None and index is not None]
        self._new = {text for body in unmatched if is_object(body) for text in joined_texts([body]).items()}

    def _lost_texts(self) -> set[Place]:
        """Return the kinds of text that are shorter in the output than what was delivered."""
        heard = joined_texts([item.build() for item, _ in self._pairs if item is not None])
        told = joined_texts([body for body in self._output if is_object(body)])
        return {place for place, text in heard.items() if text not in told.get(place, "")}

    def build(self) -> list[Any]:
        """Return the whole output."""
        return [self._built(item, index) for item, index in self._pairs if index is not None or self._stays(item)]

    def _stays(self, item: GrowingItem | None) -> bool:
        """Return whether to keep an item that the output leaves out. It goes if another item has all of its text."""
        if item is None or not self._output or item.raw.get("type") not in ("message", "reasoning"):
            return item is not None
        texts = joined_texts([item.build()]).items()
        return any(text[1] and text[0] in self._lost and text not in self._new for text in texts)

    def _built(self, item: GrowingItem | None, index: int | None) -> Any:
        body = None if index is None else self._output[index]
        if item is None:
            return with_call_id(body) if is_object(body) else body
        if is_object(body):
            item.finish(body, is_last=True)
        return item.build(is_over=True)


def _unknown_fields(raw: Raw) -> Raw:
    """Return the fields of an event that the API does not know."""
    return {} if raw.keys() <= _EVENT_FIELDS else {name: raw[name] for name in raw.keys() - _EVENT_FIELDS}


def _response(raw: Raw) -> Response:
    response: Response = hook_for(Response)(raw, None)
    return response
