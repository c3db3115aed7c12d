"""Recognize what `attrs.asdict` makes of a wire object, so that it is sent as the JSON object it stands for.

`attrs.asdict` puts `raw` beside the fields, at every level. Nothing else is left of the class, so it is recognized by
its keys. A program may have left out fields that are None, taken some out, or added some of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from ._base import WireObject
from ._plain import field_names
from ._raw import Raw, is_object

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
    return [frozenset(names) for cls in classes if (names := field_names(cls))]
