"""Reading wire objects: from a decoded JSON object to an object of a wire class.

A hook is the function that makes the objects of a class. It never raises because of what a server sent, and it does not
copy: `raw` is the object that it was given. Fields are made when they are first read, by the class's `__readers__`.
`_base.py` explains how an annotation is read; this file turns annotations into functions.

"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, cast

import attrs

from ._raw import Raw, is_array, is_object, objects_in

Hook = Callable[[Raw, object], Any]


def hook_for(cls: Any) -> Hook:
    """Return the function that makes a `cls` (a wire class or a union of them) of a decoded JSON object.

    The function takes a second argument, as hooks of cattrs do, and ignores it.
    """
    return _hook(cls)


@functools.cache
def _hook(cls: Any) -> Hook:
    return _class_hook(cls) if is_wire(cls) else _union_hook(cls)


def is_wire(annotation: object) -> bool:
    """Return whether this is a wire class: `WireObject`, which is above this file, or a subclass."""
    return isinstance(annotation, type) and hasattr(annotation, "__readers__")


def is_wire_union(annotation: object) -> bool:
    """Return whether this is a union of wire classes and of nothing else."""
    return typing.get_origin(annotation) in _UNIONS and all(map(is_wire, typing.get_args(annotation)))


_UNIONS = (typing.Union, types.UnionType)


def _class_hook(cls: type[Any]) -> Hook:
    """Return the function that makes an object with nothing but its `raw`.

    A chat chunk is three objects with 24 fields. Filling them all costs more than decoding the JSON, and a
    program reads one or two of them.
    """
    new: Any = cls.__new__
    cls.__readers__ = _Readers(cls)

    def structure(raw: Raw, _: object) -> Any:
        made = new(cls)
        made.raw = raw
        return made

    return (lambda raw, _: _initialized(structure(raw, _))) if hasattr(cls, "__attrs_post_init__") else structure


def _initialized(made: Any) -> Any:
    made.__attrs_post_init__()
    return made


class _Readers(dict[str, Callable[[Raw], Any]]):
    """Return how to find each field of a class in the JSON. It is made on first use, since there are 200 classes."""

    def __init__(self, cls: type[Any]) -> None:
        super().__init__()
        self._cls = cls

    def __missing__(self, name: str) -> Callable[[Raw], Any]:
        if not self:
            hints = typing.get_type_hints(self._cls)
            fields = (field for field in attrs.fields(self._cls) if field.name != "raw")
            self.update({field.name: _reader(field, hints[field.name]) for field in fields})
            if name in self:
                return self[name]
        raise KeyError(name)


def _reader(field: attrs.Attribute[Any], annotation: object) -> Callable[[Raw], Any]:
    """Return the function that finds one field in a JSON object."""
    if (read := field.metadata.get("read")) is not None:
        return cast("Callable[[Raw], Any]", read)
    name: str = field.metadata.get("json", field.name)
    kind, part = _read(annotation)
    factory = getattr(field.default, "factory", None)
    missing: Callable[[], Any] = factory or (lambda: field.default)
    if kind == "value" and factory is None:
        default = field.default
        return lambda raw: raw.get(name, default)
    if kind == "value":
        return lambda raw: raw[name] if name in raw else missing()
    if kind == "list":
        return lambda raw: value if is_array(value := raw.get(name)) else missing()
    hook: Hook = hook_for(part)
    if kind == "objects":
        return lambda raw: (
            [hook(item, None) for item in objects_in(value)] if is_array(value := raw.get(name)) else missing()
        )
    return lambda raw: hook(value, None) if is_object(value := raw.get(name)) else missing()


def _read(annotation: object) -> tuple[Literal["object", "objects", "list", "value"], Any]:
    """Return the kind of field that an annotation means, and the class or union of classes of its objects."""
    if typing.get_origin(annotation) in _UNIONS:
        members = tuple(a for a in typing.get_args(annotation) if a is not types.NoneType)
        annotation = typing.Union[members]  # noqa: UP007 - the members are only known now
    if is_wire(annotation) or is_wire_union(annotation):
        return "object", annotation
    if typing.get_origin(annotation) is list:
        kind, part = _read(typing.get_args(annotation)[0])
        return ("objects", part) if kind == "object" else ("list", None)
    return "value", None


def _union_hook(union: object) -> Hook:
    """Return the function that chooses a class by `type`. If two classes share a type, the first one counts."""
    members: tuple[type[Any], ...] = typing.get_args(union)
    hooks = {attrs.fields_dict(cls)["type"].default: hook_for(cls) for cls in reversed(members)}
    unknown = hooks.pop(None, None) or hook_for(members[0].__unknown__)

    def structure(raw: Raw, _: object) -> Any:
        tag = raw.get("type")
        return (hooks.get(tag, unknown) if type(tag) is str else unknown)(raw, None)

    return structure
