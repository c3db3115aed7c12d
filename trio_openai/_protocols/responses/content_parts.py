"""The content parts of an output item, and the places in an item where texts belong."""

from __future__ import annotations

import functools
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import attrs

from trio_openai._wire.json import is_array, is_object, objects_in
from trio_openai._wire.text import is_beginning, join_text
from trio_openai.types import response_items as types
from trio_openai.types._raw import Raw


@attrs.frozen(eq=False)  # a key of dictionaries, by identity
class Place:
    """The place in an item for a family of text events: `<family>.delta` adds text, `<family>.done` has all of it.

    Attributes:
        family: the beginning of the names of the events.
        item_type: the type of the items that the events are about.
        path: the path to the text in the item; "#" stands for the index.
        field: the field of the `done` event with the whole text.
        index: the field of the events with the index.
        part_type: the type of the content part that holds the text, if one does.
    """

    family: str
    item_type: str
    path: tuple[str, ...]
    field: str
    index: str = ""
    part_type: str = ""

    @property
    def is_call(self) -> bool:
        """True if the text is the arguments or the input of a tool call."""
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
    """Return an index in an event, or `missing` if it is absent or invalid."""
    value = raw.get(name)
    return value if type(value) is int and value >= 0 else missing


class UnknownPart:
    """Fields that the API does not know, from the events about an item or a content part.

    Lists are concatenated. For everything else, the last value counts.
    """

    __slots__ = ("_fields", "_lists")

    def __init__(self) -> None:
        self._fields: Raw = {}
        self._lists: dict[str, list[Any]] = {}

    def add(self, fields: Raw) -> None:
        """Add the fields of an event."""
        for name, value in fields.items():
            if is_array(value):
                self._lists.setdefault(name, []).extend(value)
            else:
                self._fields[name] = value

    def build(self) -> Raw:
        """Return all fields as a new object."""
        return {**self._fields, **{name: [*values] for name, values in self._lists.items()}}


class ContentPart:
    """A content part of an item, or a part of its summary.

    Attributes:
        raw: the object that the part began or ended with. It is a copy.
        texts: its text as a list of strings. There are two lists if a server puts two texts at one index.
        annotations: the annotations that came one by one, by index.
        unknown: the fields of its events that the API does not know.
    """

    __slots__ = ("annotations", "raw", "texts", "unknown")

    def __init__(self, raw: Raw) -> None:
        self.raw = {**raw}
        self.texts: dict[Place, list[str]] = {}
        self.annotations: dict[int, Any] | None = None
        self.unknown: UnknownPart | None = None

    @property
    def kind(self) -> str | None:
        """The type of the part, from the server or else from its texts."""
        kind = self.raw.get("type")
        return kind if type(kind) is str else next((place.part_type for place in self.texts), None)

    @property
    def has_text(self) -> bool:
        """True if the part has text, which must not be lost."""
        return any(self.texts.values()) or any(self.raw.get(place.path[-1]) for place in _OF_PARTS.values())

    def annotate(self, event: Raw) -> None:
        """Add an annotation."""
        before = self.raw.get("annotations")
        self.annotations = {} if self.annotations is None else self.annotations
        next_index = len(before) if is_array(before) else 0
        next_index += len(self.annotations)
        self.annotations[index_in(event, "annotation_index", missing=next_index)] = event.get("annotation")

    def take(self, body: Raw, *, is_whole: bool) -> None:
        """Take the object itself. If it `is_whole`, its texts replace those that came in deltas."""
        renew(self.raw, body, known_fields(body.get("type")))
        for place, pieces in self.texts.items() if is_whole else ():
            replace_text(pieces, body.get(place.path[-1]))
        if body.get("annotations"):
            self.annotations = None

    def remember(self) -> None:
        """Keep the text of the object as if it had come in deltas, so that a later object cannot erase it."""
        place = _OF_PARTS.get(self.kind or "")
        if place is not None and not self.texts.get(place):
            text = self.raw.get(place.path[-1])
            self.texts[place] = [text] if type(text) is str and text else []

    def build(self) -> Raw:
        """Return the part so far, as a new object."""
        raw = {**self.unknown.build(), **self.raw} if self.unknown else {**self.raw}
        for place, pieces in self.texts.items():
            if pieces:
                raw[place.path[-1]] = join_text(pieces)
                raw["type"] = raw.get("type") or place.part_type
        if self.annotations:
            raw["annotations"] = filled(raw.get("annotations"), self.annotations)
        return raw


def merged(parts: dict[int, Any], told: list[Any], *, is_new: bool) -> dict[int, Any]:
    """Merge the parts that came one by one with those of the whole item.

    A text that the item leaves out or empties stays. If the item is not new, only parts at the same index are merged.
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
    """Pair parts by index. If the indexes do not fit (a server counts from 1), pair parts of one type in order."""
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
    """Interleave the objects heard in events with the final list, and return pairs of an object and its final index.

    The object is None for an entry that was not heard. The index is None for an object that is not in the final list;
    it follows the object that was heard before it.
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
    """Return a copy of a list with other values at some indexes. Missing indexes leave no gap."""
    made: dict[int, Any] = dict(enumerate(value)) if is_array(value) else {}
    made.update(by_index)
    return [made[index] for index in sorted(made)]


def replace_text(pieces: list[str], whole: object, *, is_call: bool = False) -> None:
    """Replace the pieces of a text by the whole text that the server sent.

    A text that is only the beginning of the pieces is ignored, because delivered text is never erased. The arguments of
    a call are JSON, where a shorter text may be the correct one.
    """
    if type(whole) is str and whole and (is_call or not is_beginning(whole, pieces)):
        pieces[:] = [whole]


def renew(raw: Raw, body: Raw, known: frozenset[str]) -> None:
    """Replace the fields of an object by those of a later one, in place.

    Fields that the API does not know stay. So do the ids, the type and the name if the later object lacks them.
    """
    identity = {name: value for name in _IDENTITY if (value := raw.get(name)) and not body.get(name)}
    for name in known.difference(body):
        raw.pop(name, None)
    raw.update(body)
    raw.update(identity)


_IDENTITY = ("type", "id", "call_id", "name")


def known_fields(kind: object) -> frozenset[str]:
    """Return the fields that the API knows in an item or a content part of a type."""
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
    """Return the texts of an item that belong to the answer, each with its place and index."""
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
    """Return the joined texts of some items, by place."""
    pieces: dict[Place, list[str]] = defaultdict(list)
    for item in items:
        for place, _, text in texts_in(item):
            pieces[place].append(text)
    return {place: join_text(texts) for place, texts in pieces.items()}
