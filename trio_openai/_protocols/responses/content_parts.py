"""Responses: where texts belong in an output item, and the parts of its content that they are in."""

from __future__ import annotations

import functools
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import attrs

from trio_openai._wire.json import is_array, is_object, objects_in
from trio_openai._wire.text import is_beginning, join_text
from trio_openai.types import response_items as types
from trio_openai.types._base import Raw


@attrs.frozen(eq=False)  # a key of dictionaries, by identity
class Place:
    """Where a family of text events belongs: `<family>.delta` brings pieces, `<family>.done` the whole.

    Attributes:
        family: the name of the events.
        item_type: the type of the items that they are about.
        path: in the item; "#" stands for the index.
        field: of the done event, that with the whole text.
        index: of the events, the field with the index.
        part_type: the type of the part that the text is in, if it is in one.
    """

    family: str
    item_type: str
    path: tuple[str, ...]
    field: str
    index: str = ""
    part_type: str = ""

    @property
    def is_call(self) -> bool:
        """Return whether it is what a tool is called with."""
        return self.path in (("arguments",), ("input",))

    def index_in(self, raw: Raw) -> int:
        """Return the index that an event names."""
        return index_in(raw, self.index) if self.index else 0


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
OUTPUT_TEXT = PLACES[0]
_OF_PARTS = {place.part_type: place for place in PLACES if place.part_type}


def index_in(raw: Raw, name: str, missing: int = 0) -> int:
    """Return an index of an event; `missing` if it names none, or one that cannot be."""
    value = raw.get(name)
    return value if type(value) is int and value >= 0 else missing


class Unknown:
    """Fields that the API does not have, from the events about an item or a part.

    Lists are joined; of anything else the last value counts.
    """

    __slots__ = ("_fields", "_lists")

    def __init__(self) -> None:
        self._fields: Raw = {}
        self._lists: dict[str, list[Any]] = {}

    def add(self, fields: Raw) -> None:
        """Take those of one more event."""
        for name, value in fields.items():
            if is_array(value):
                self._lists.setdefault(name, []).extend(value)
            else:
                self._fields[name] = value

    def build(self) -> Raw:
        """Return them all, in an object that does not change."""
        return {**self._fields, **{name: [*values] for name, values in self._lists.items()}}


class ContentPart:
    """A part of an item's content or summary: the object that it began or ended with, and what arrived for it.

    Attributes:
        raw: the object. It is the part's own: no event shares it.
        texts: the pieces of its text; of two texts, if a server puts them at one index.
        annotations: those that came one by one.
        unknown: what events about it said that the API does not have.
    """

    __slots__ = ("annotations", "raw", "texts", "unknown")

    def __init__(self, raw: Raw) -> None:
        self.raw = {**raw}
        self.texts: dict[Place, list[str]] = {}
        self.annotations: dict[int, Any] | None = None
        self.unknown: Unknown | None = None

    @property
    def kind(self) -> str | None:
        """Return its type, as the server has said it, or as its texts are."""
        kind = self.raw.get("type")
        return kind if type(kind) is str else next((place.part_type for place in self.texts), None)

    @property
    def has_text(self) -> bool:
        """Return whether there is anything that must not be lost."""
        return any(self.texts.values()) or any(self.raw.get(place.path[-1]) for place in _OF_PARTS.values())

    def annotate(self, event: Raw) -> None:
        """Take an annotation."""
        before = self.raw.get("annotations")
        self.annotations = {} if self.annotations is None else self.annotations
        next_index = len(before) if is_array(before) else 0
        next_index += len(self.annotations)
        self.annotations[index_in(event, "annotation_index", missing=next_index)] = event.get("annotation")

    def take(self, body: Raw, *, is_whole: bool) -> None:
        """Take the object itself; `is_whole`: the texts in it are the last word."""
        renew(self.raw, body, known_fields(body.get("type")))
        for place, pieces in self.texts.items() if is_whole else ():
            replace_text(pieces, body.get(place.path[-1]))
        if body.get("annotations"):
            self.annotations = None

    def remember(self) -> None:
        """Hold its text as if it had come in pieces."""
        place = _OF_PARTS.get(self.kind or "")
        if place is not None and not self.texts.get(place):
            text = self.raw.get(place.path[-1])
            self.texts[place] = [text] if type(text) is str and text else []

    def build(self) -> Raw:
        """Return the object so far."""
        raw = {**self.unknown.build(), **self.raw} if self.unknown else {**self.raw}
        for place, pieces in self.texts.items():
            if pieces:
                raw[place.path[-1]] = join_text(pieces)
                raw["type"] = raw.get("type") or place.part_type
        if self.annotations:
            raw["annotations"] = filled(raw.get("annotations"), self.annotations)
        return raw


def merged(parts: dict[int, Any], told: list[Any], *, is_new: bool) -> dict[int, Any]:
    """Return the parts that came one by one together with those of the whole item.

    A text that the item leaves out, or empties, stays. If it is not new, only parts at the same index are looked at.
    """
    if not is_new:
        for index, body in enumerate(told):
            part = parts.get(index)
            if isinstance(part, ContentPart) and is_object(body) and part.kind == body.get("type"):
                part.take(body, is_whole=True)
        return parts
    heard = sorted((index, part) for index, part in parts.items() if isinstance(part, ContentPart))
    made: list[Any] = []
    for part, place in _aligned(heard, told):
        body = None if place is None else told[place]
        if part is None:
            made.append(ContentPart(body) if is_object(body) else body)
        elif is_object(body):
            part.take(body, is_whole=True)
            made.append(part)
        elif part.has_text:
            made.append(part)
    return dict(enumerate(made))


def _aligned(heard: list[tuple[int, ContentPart]], told: list[Any]) -> list[tuple[ContentPart | None, int | None]]:
    """Pair parts by their index, or, if these are others (a server counts from 1), those of one type in their order."""
    kinds = [body.get("type") if is_object(body) else None for body in told]
    pairs: dict[int, int] = {}
    if all(index < len(told) and part.kind in (None, kinds[index]) for index, part in heard):
        pairs = {number: index for number, (index, _) in enumerate(heard)}
    else:
        free: dict[str, deque[int]] = defaultdict(deque)
        for index, kind in enumerate(kinds):
            if type(kind) is str:
                free[kind].append(index)
        for number, (_, part) in enumerate(heard):
            if same := free.get(part.kind or ""):
                pairs[number] = same.popleft()
    return interleaved([part for _, part in heard], len(told), pairs)


def interleaved(heard: Sequence[Any], told: int, pairs: dict[int, int]) -> list[tuple[Any | None, int | None]]:
    """Return what was heard with its index in what was told, in that order.

    What was not heard is None. What was not told stands after what was heard before it, with the index None.
    """
    missing: dict[int, list[tuple[Any | None, int | None]]] = defaultdict(list)
    latest = -1
    for number, one in enumerate(heard):
        latest = pairs.get(number, latest)
        if number not in pairs:
            missing[latest].append((one, None))
    found = {index: heard[number] for number, index in pairs.items()}
    made = [*missing[-1]]
    for index in range(told):
        made.append((found.get(index), index))
        made += missing.get(index, ())
    return made


def filled(value: object, by_index: Mapping[int, Any]) -> list[Any]:
    """Return a list with other values at some indexes. An index that nothing has come for leaves no hole."""
    made: dict[int, Any] = dict(enumerate(value)) if is_array(value) else {}
    made.update(by_index)
    return [made[index] for index in sorted(made)]


def replace_text(pieces: list[str], whole: object, *, is_call: bool = False) -> None:
    """Replace the pieces of a text by what the server says is all of it.

    A beginning of what was delivered does not: a text that was delivered is never erased. Arguments of a call are JSON,
    of which a beginning can be the whole, so there any text counts.
    """
    if type(whole) is str and whole and (is_call or not is_beginning(whole, pieces)):
        pieces[:] = [whole]


def renew(raw: Raw, body: Raw, known: frozenset[str]) -> None:
    """Replace an object by a later one, in place.

    Fields that the API does not have stay. So does what says which object it is, where the later one does not.
    """
    identity = {name: value for name in _IDENTITY if (value := raw.get(name)) and not body.get(name)}
    for name in known.difference(body):
        raw.pop(name, None)
    raw.update(body)
    raw.update(identity)


_IDENTITY = ("type", "id", "call_id", "name")


def known_fields(kind: object) -> frozenset[str]:
    """Return the fields that the API has in an item or a part of a type."""
    return _known_fields().get(kind, _NOTHING) if type(kind) is str else _NOTHING


_NOTHING: frozenset[str] = frozenset()


@functools.cache
def _known_fields() -> dict[str, frozenset[str]]:
    classes = (
        *get_args(types.ResponseOutputItem),
        *get_args(types.ResponseContentPart),
        types.ResponseReasoningSummary,
    )
    fields = {cls: attrs.fields_dict(cls) for cls in classes}
    return {
        names["type"].default: frozenset(names) - {"raw", "type", "id"}
        for names in fields.values()
        if names["type"].default is not None
    }


def texts_in(body: Raw) -> list[tuple[Place, int, str]]:
    """Return the texts of an item that are parts of the answer, with where they stand."""
    found: list[tuple[Place, int, str]] = []
    for place in PLACES:
        if place.item_type != body.get("type") or not (place.part_type or place.is_call):
            continue
        parts = objects_in(body.get(place.path[0])) if place.part_type else [body]
        for index, part in enumerate(parts):
            text = part.get(place.path[-1])
            if type(text) is str and (not place.part_type or part.get("type") == place.part_type):
                found.append((place, index, text))
    return found


def joined_texts(items: list[Raw]) -> dict[Place, str]:
    """Return the texts of items, joined, of each kind."""
    pieces: dict[Place, list[str]] = defaultdict(list)
    for item in items:
        for place, _, text in texts_in(item):
            pieces[place].append(text)
    return {place: join_text(texts) for place, texts in pieces.items()}
