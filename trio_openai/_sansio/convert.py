"""From a decoded JSON object to an object of `trio_openai.types`.

cattrs does the work, with hooks of our own for the wire's classes, for two reasons. Its stock hooks coerce (a null in a
`str` field becomes `'None'`) and refuse (an unknown enum value is an error), and a stream must survive both. And a hook
written out for one class, with its fields in place and the hooks of its parts held, is faster than any that looks
things up. `types/_base.py` says how an annotation is read; this file turns those rules into source text, once a class.

A hook never raises on what a server sent, and does not copy: `raw` is the object it was given.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, Literal, cast

import attrs
import cattrs

from trio_openai.types._base import Raw, Unknown, WireObject

Hook = Callable[[Raw, object], Any]

converter = cattrs.Converter()


def hook_for(cls: Any) -> Hook:
    """The function that makes a `cls` (a class or a union of them) of a decoded JSON object. Get it once and hold it.

    Its second argument is the type, as cattrs calls its hooks; ours do not look at it.
    """
    return cast("Hook", converter.get_structure_hook(cls))


def _is_wire(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, WireObject)


def _is_wire_union(annotation: object) -> bool:
    """Whether this is a union of classes of ours, and of nothing else."""
    return typing.get_origin(annotation) in _UNIONS and all(map(_is_wire, typing.get_args(annotation)))


_UNIONS = (typing.Union, types.UnionType)


@converter.register_structure_hook_factory(_is_wire)
def _class_hook(cls: type[WireObject]) -> Hook:  # pyright: ignore[reportUnusedFunction]
    """Write out `made.id = get("id"); made.delta = part(get("delta")); ...` for one class, and compile it.

    The slots are set here and not by the class's `__init__`, which would only pass twenty arguments on: a chunk of a
    chat costs 2.0 µs so, and 3.1 otherwise (`benchmarks/README.md` says on what).
    """
    namespace: dict[str, Any] = {"cls": cls, "new": cls.__new__}
    hints = typing.get_type_hints(cls)
    fields = [f for f in attrs.fields(cls) if f.name != "raw"]
    lines = [
        "def structure(raw, _):",
        "get = raw.get",
        "made = new(cls)",
        "made.raw = raw",
        *(f"made.{field.name} = {_field(field, hints[field.name], namespace)}" for field in fields),
        "made.__attrs_post_init__()" if hasattr(cls, "__attrs_post_init__") else "",
        "return made",
    ]
    source = "\n    ".join(lines)
    exec(compile(source, f"<hook of {cls.__name__}>", "exec"), namespace)  # noqa: S102 - made of our own names only
    return cast("Hook", namespace["structure"])


def _field(field: attrs.Attribute[Any], annotation: object, namespace: dict[str, Any]) -> str:
    """The expression for one field; what it needs beside the object's `get` goes into the namespace."""
    kind, part = _read(annotation)
    hook, default = f"hook_{field.name}", f"default_{field.name}"
    if part is not None:
        namespace[hook] = converter.get_structure_hook(part)
    factory = getattr(field.default, "factory", None)
    namespace[default] = factory or field.default
    missing = f"{default}()" if factory else "None" if field.default is None else default
    match kind:
        case "object":
            return f"{hook}(v, None) if type(v := get({field.name!r})) is dict else {missing}"
        case "objects":
            items = f"[{hook}(i, None) for i in v if type(i) is dict]"
            return f"{items} if type(v := get({field.name!r})) is list else {missing}"
        case "list":
            return f"v if type(v := get({field.name!r})) is list else {missing}"
        case "value":
            return f"get({field.name!r})" if missing == "None" else f"get({field.name!r}, {missing})"


def _read(annotation: object) -> tuple[Literal["object", "objects", "list", "value"], Any]:
    """What an annotation asks for: the kind of field, and the class or union of classes of its objects."""
    if typing.get_origin(annotation) in _UNIONS:
        members = tuple(a for a in typing.get_args(annotation) if a is not types.NoneType)
        annotation = typing.Union[members]  # noqa: UP007 - the members are only known now
    if _is_wire(annotation) or _is_wire_union(annotation):
        return "object", annotation
    if typing.get_origin(annotation) is list:
        kind, part = _read(typing.get_args(annotation)[0])
        return ("objects", part) if kind == "object" else ("list", None)
    return "value", None


@converter.register_structure_hook_factory(_is_wire_union)
def _union_hook(union: object) -> Hook:  # pyright: ignore[reportUnusedFunction]
    """Choose by the wire's `type`; each class names its own as the default of its `type` field."""
    members: tuple[type[WireObject], ...] = typing.get_args(union)
    hooks = {attrs.fields_dict(cls)["type"].default: hook_for(cls) for cls in members}
    unknown = hooks.pop(None, hook_for(Unknown))

    def structure(raw: Raw, _: object) -> Any:
        tag = raw.get("type")
        return (hooks.get(tag, unknown) if type(tag) is str else unknown)(raw, None)

    return structure
