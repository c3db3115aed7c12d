"""Writing wire objects: from an object back to the JSON object that it stands for.

The rule: start with `raw`, and replace every field that the program has changed. A field has changed if its value is
not the one that reading `raw` gives. Unknown fields stay. An object that nobody changed returns `raw` itself, so it is
sent exactly as it came. An object that a program made has no `raw`; it returns the fields that are set.

"""

# pyright: reportUnknownArgumentType=false
# The values here are any JSON, with any wire object in it.

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, cast

import attrs

from ._fields import hook_for, is_wire
from ._raw import Raw, is_array


def current(wire: Any) -> Raw:
    """Return the JSON object that a wire object stands for now. Nothing in it is copied that did not change."""
    raw, names = wire.raw, _json_names(type(wire))
    if not raw and _was_constructed(wire):
        return {names[name]: now for name, value in _slots(wire) if _is_set(value, now := _plain(value))}
    edits = _edits(wire)
    return {**raw, **{names[name]: _plain(value) for name, value in edits}} if edits else raw


def _was_constructed(wire: Any) -> bool:
    """Return whether `__init__` has filled the fields. An object that a server sent as `{}` has nothing in them."""
    return len(_slots(wire)) == len(field_names(type(wire)))


def _is_set(value: object, now: object) -> bool:
    """Return whether a field of an object that the program made says anything."""
    return value is not None and not (is_wire(type(value)) and not now)


def _slots(wire: Any) -> list[tuple[str, Any]]:
    """Return the fields that have been read or assigned. The others are still what `raw` says."""
    found: list[tuple[str, Any]] = []
    for name in field_names(type(wire)):
        try:
            found.append((name, object.__getattribute__(wire, name)))
        except AttributeError:
            pass
    return found


def _read_field_names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(cls) if field.name != "raw")


field_names = cast("Callable[[type[Any]], tuple[str, ...]]", functools.cache(_read_field_names))


def _read_json_names(cls: type[Any]) -> dict[str, str]:
    return {field.name: field.metadata.get("json", field.name) for field in attrs.fields(cls)}


_json_names = cast("Callable[[type[Any]], dict[str, str]]", functools.cache(_read_json_names))


def _edits(wire: Any) -> list[tuple[str, Any]]:
    """Return the fields that are not what reading `raw` gives."""
    fresh: Any = hook_for(type(wire))(wire.raw, None)
    return [(name, value) for name, value in _slots(wire) if not _is_same(value, getattr(fresh, name))]


def _is_same(value: Any, fresh: Any) -> bool:
    if value is fresh:
        return True
    if is_wire(type(value)) and is_wire(type(fresh)):
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
    if is_wire(type(value)):
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
        if is_wire(type(item)):
            item = current(item)
        if isinstance(item, dict):
            place[key] = inner = dict(cast("Raw", item))
            todo += [(inner, name) for name in inner]
        elif isinstance(item, list | tuple):
            place[key] = items = list(cast("Iterable[Any]", item))
            todo += [(items, index) for index in range(len(items))]
    return top[0]
