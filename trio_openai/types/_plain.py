"""Writing wire objects: from an object back to the JSON object that it stands for.

The rule: start with `raw`, and replace every field that the program has changed. A field has changed if its value is
not the one that reading `raw` gives. Unknown fields stay. An object that nobody changed returns `raw` itself, so it is
sent exactly as it came. An object that a program made has no `raw`; it returns the fields that are set.

"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, cast

import attrs

from ._base import Raw, WireObject, is_array, is_object
from ._fields import hook_for


def current(wire: WireObject) -> Raw:
    """Return the JSON object that a wire object stands for now. Nothing in it is copied that did not change."""
    raw = wire.raw
    if not raw and _was_constructed(wire):
        return {name: now for name, value in _slots(wire) if _is_set(value, now := _plain(value))}
    edits = _edits(wire)
    return {**raw, **{name: _plain(value) for name, value in edits}} if edits else raw


def _was_constructed(wire: WireObject) -> bool:
    """Return whether `__init__` has filled the fields. An object that a server sent as `{}` has nothing in them."""
    return len(_slots(wire)) == len(_names(type(wire)))


def _is_set(value: object, now: object) -> bool:
    """Return whether a field of an object that the program made says anything."""
    return value is not None and not (isinstance(value, WireObject) and not now)


def _slots(wire: WireObject) -> list[tuple[str, Any]]:
    """Return the fields that have been read or assigned. The others are still what `raw` says."""
    found: list[tuple[str, Any]] = []
    for name in _names(type(wire)):
        try:
            found.append((name, object.__getattribute__(wire, name)))
        except AttributeError:
            pass
    return found


def _field_names(cls: type[WireObject]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(cls) if field.name != "raw")


_names = cast("Callable[[type[WireObject]], tuple[str, ...]]", functools.cache(_field_names))


def _edits(wire: WireObject) -> list[tuple[str, Any]]:
    """Return the fields that are not what reading `raw` gives."""
    fresh: WireObject = hook_for(type(wire))(wire.raw, None)
    return [(name, value) for name, value in _slots(wire) if not _is_same(value, getattr(fresh, name))]


def _is_same(value: Any, fresh: Any) -> bool:
    if value is fresh:
        return True
    if isinstance(value, WireObject) and isinstance(fresh, WireObject):
        return type(value) is type(fresh) and _equal(value.raw, fresh.raw) and not _edits(value)
    if is_array(value) and is_array(fresh):
        return len(value) == len(fresh) and all(map(_is_same, value, fresh))
    return bool(type(value) is type(fresh)) and _equal(value, fresh)


def _equal(value: object, other: object) -> bool:
    try:
        return value is other or value == other
    except RecursionError:
        return False


def _plain(value: object) -> object:
    """Return a value of a field with JSON objects in place of wire objects."""
    if isinstance(value, WireObject):
        return current(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Iterable[object]", value)]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast("Raw", value).items()}
    return value


def copied(value: Any) -> Any:
    """Return a copy of decoded JSON that shares no list or dict with it. A loop, since JSON may be nested deeply."""
    top = [value]
    todo: list[tuple[Any, Any]] = [(top, 0)]
    for place, key in todo:  # which grows meanwhile
        item = place[key]
        if isinstance(item, WireObject):
            item = current(item)
        if isinstance(item, dict):
            place[key] = inner = dict(cast("Raw", item))
            todo += [(inner, name) for name in inner]
        elif isinstance(item, list | tuple):
            place[key] = items = list(cast("Iterable[Any]", item))
            todo += [(items, index) for index in range(len(items))]
    return top[0]


# `attrs.asdict` puts `raw` beside the fields, at every level. Nothing else is left of the class, so it is recognized by
# its keys. A program may have left out fields that are None, taken some out, or added some of its own.

_SCHEMAS = ("parameters", "properties", "input_schema", "output_schema", "schema")
"""Where a program's own names are keys, and `raw` may be one."""


def without_raw(value: Any) -> Any:
    """Return a value with every dict that `attrs.asdict` made of a wire object as the JSON object it stands for."""
    if isinstance(value, list | tuple):
        return [without_raw(item) for item in cast("Iterable[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("Raw", value)
    given = {name: item if name in _SCHEMAS or name == "raw" else without_raw(item) for name, item in fields.items()}
    names = _names_of_asdict(given)
    return given if names is None else _from_asdict(given, names)


def _from_asdict(given: Raw, names: frozenset[str]) -> Raw:
    """Put the fields over `raw`. What only stands for a missing field is left out, as is what the program took out."""
    raw: Raw = given.pop("raw")
    kept = {name: value for name, value in raw.items() if name in given or name not in names}
    absent: tuple[object, ...] = (None, {}, []) if raw else (None, {})
    return {**kept, **{name: value for name, value in given.items() if name in raw or value not in absent}}


def _names_of_asdict(given: Raw) -> frozenset[str] | None:
    """Return the fields of the wire class that a dict was made of by `attrs.asdict`; None if it was not."""
    raw = given.get("raw")
    keys = given.keys() - {"raw"}
    if not is_object(raw) or not keys or (raw and keys.isdisjoint(raw)):
        return None
    known = keys | raw.keys()
    fits = [names for names in _shapes() if keys <= names | raw.keys() or (len(names) >= _MANY and names <= keys)]
    return max(fits, key=lambda names: len(names & known), default=None)


_MANY = 4


def _shapes() -> list[frozenset[str]]:
    """Return the names of the fields of every wire class that has been defined."""
    classes: list[type[WireObject]] = [WireObject]
    for cls in classes:  # which grows meanwhile
        classes += cls.__subclasses__()
    return [frozenset(names) for cls in classes if (names := _names(cls))]
