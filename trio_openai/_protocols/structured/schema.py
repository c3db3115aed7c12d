"""From a class to the strict JSON schema of what a model shall answer.

The class may be made by attrs, or be a dataclass, a `TypedDict` or a pydantic model, and may contain any of the others.

OpenAI's strict mode takes a part of JSON Schema: every object lists all of its properties as required and allows no
other, what may be left out is "or null", there are no defaults, and the root is an object. What a class can say beyond
that is refused here, by the names of the class and the field, before anything is sent.

msgspec makes the schemas of plain values, with all that an `Annotated[..., msgspec.Meta(...)]` says of them. Objects,
arrays and unions are put together here: msgspec refuses a union of two classes, and knows no descriptions of fields.
How a value is made (`structured.py`) follows the same distinctions: msgspec for plain values, cattrs for the rest.

A union must be decidable at a glance, which is what keeps the work on an answer linear: at most one of its members is a
list, and two classes differ in a field that only one of them has and needs, or in the values of a `Literal`.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import itertools
import re
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NewType, TypeGuard, cast

import attrs

from .models import is_model, keys_of_model, strict_model, tags_of_model

JSONSchema = dict[str, Any]

_PLAIN = (str, int, float, bool, types.NoneType, None)
_FORMATS = {  # by their names: nothing here imports what can read a clock
    "datetime.datetime": "date-time",
    "datetime.date": "date",
    "datetime.time": "time",
    "datetime.timedelta": "duration",
    "uuid.UUID": "uuid",
}
_WELCOME = (
    "a class made by attrs.define, a dataclass, a TypedDict, a pydantic model, str, int, float, bool, "
    "Literal, an Enum of strings or of whole numbers, datetime, "
    "date, time, timedelta, UUID, list[...], tuple[..., ...], a union of these, or None"
)
_TYPE_NAMES = {str: "string", int: "integer", bool: "boolean", types.NoneType: "null"}


@attrs.frozen
class Field:
    """A field of a class: what it is called in JSON, its annotation, and whether the class can do without it."""

    name: str
    annotation: Any
    description: str | None
    is_required: bool


def is_fielded(annotation: Any) -> TypeGuard[type[Any]]:
    """Return whether this is an attrs class, a dataclass, a `TypedDict` or a pydantic model."""
    return isinstance(annotation, type) and (
        attrs.has(annotation)
        or dataclasses.is_dataclass(annotation)
        or is_typed_dict(annotation)
        or is_model(annotation)
    )


def is_typed_dict(annotation: Any) -> bool:
    """Return whether this is a `TypedDict`, of `typing` or of `typing_extensions`."""
    cls: Any = annotation
    return isinstance(cls, type) and issubclass(cls, dict) and hasattr(cast("Any", cls), "__total__")


def fields_of(cls: type[Any]) -> list[Field]:
    """Return the fields that the `__init__` of the class takes, or the keys of a `TypedDict`.

    Raises:
        TypeError: an annotation is missing, or a name in one is unknown.
    """
    hints = _hints(cls)
    if is_typed_dict(cls):
        return [_key(cls, name, hint) for name, hint in hints.items()]
    fields: list[Field] = []
    for field in attrs.fields(cls) if attrs.has(cls) else dataclasses.fields(cls):
        if not field.init:
            continue
        annotation = hints.get(field.name, field.type)
        if annotation is None:
            raise TypeError(f"{cls.__name__}.{field.name} has no type: write {field.name}: str = ..., say")
        description = field.metadata.get("description") or remark_of(annotation)
        fields.append(Field(field.name, annotation, description, not _has_default(field)))
    return fields


def _key(cls: Any, name: str, hint: Any) -> Field:
    """Return a key of a `TypedDict`. The hint decides: `__required_keys__` cannot read a hint that was text."""
    is_required: bool = name in cls.__required_keys__
    remarks: list[Any] = []
    while typing.get_origin(hint) is Annotated or _qualifier(hint) is not None:
        is_required = {"Required": True, "NotRequired": False}.get(_qualifier(hint) or "", is_required)
        hint, *more = typing.get_args(hint)
        remarks = [*more, *remarks]
    annotation = Annotated[hint, *remarks] if remarks else hint
    return Field(name, annotation, remark_of(annotation), is_required)


def _qualifier(hint: Any) -> str | None:
    """Return the name of a qualifier of a key, such as `NotRequired`."""
    name = str(typing.get_origin(hint)).rpartition(".")[2]
    return name if name in ("Required", "NotRequired", "ReadOnly") else None


def _has_default(field: Any) -> bool:
    missing = (attrs.NOTHING, dataclasses.MISSING)
    return field.default not in missing or getattr(field, "default_factory", dataclasses.MISSING) not in missing


def _hints(cls: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        known = {name: text for base in cls.__mro__ for name, text in vars(base).get("__annotations__", {}).items()}
        where = next((f".{name}" for name, text in known.items() if error.name and error.name in str(text)), "")
        raise TypeError(
            f"{cls.__name__}{where}: the name {error.name!r} is not known where the class is defined; "
            "define the classes that it speaks of at the top level of that module"
        ) from None


def plain(annotation: Any) -> tuple[Any, list[Any]]:
    """Return an annotation without its wrappers (`Annotated`, `NewType`, an alias), and the remarks in them."""
    remarks: list[Any] = []
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation, *more = typing.get_args(annotation)
            remarks = [*more, *remarks]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType" and typing.get_origin(annotation) is None:
            annotation = annotation.__value__
        else:
            return annotation, remarks


def remark_of(annotation: Any) -> str | None:
    """Return the description in an `Annotated[..., "description"]`."""
    return next((remark for remark in plain(annotation)[1] if isinstance(remark, str)), None)


def members_of(annotation: Any) -> list[Any]:
    """Return the members of a union, including nested unions; or the annotation itself."""
    bare, _ = plain(annotation)
    if typing.get_origin(bare) in (typing.Union, types.UnionType):
        return [inner for member in typing.get_args(bare) for inner in members_of(member)]
    return [annotation]


def item_of(annotation: Any) -> Any:
    """Return the item type of a `list[...]` or `tuple[..., ...]`, or None for any other annotation."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list or (origin is tuple and len(args) == 2 and args[1] is ...):
        return args[0]
    return None


def is_plain_value(annotation: Any) -> bool:
    """Return whether this is a scalar type, which msgspec checks."""
    bare, _ = plain(annotation)
    is_enum = isinstance(bare, type) and issubclass(bare, enum.Enum)
    return is_enum or bare in _PLAIN or _name(bare) in _FORMATS or typing.get_origin(bare) is Literal


def _name(bare: Any) -> str:
    return f"{bare.__module__}.{bare.__qualname__}" if isinstance(bare, type) else ""


def words_of(annotation: Any) -> str:
    """Describe an annotation for an error message."""
    bare, _ = plain(annotation)
    if bare is types.NoneType:
        return "None"
    return bare.__name__ if isinstance(bare, type) and not typing.get_args(bare) else str(bare).replace("typing.", "")


# ----------------------------------------------------------------------------------------------- telling classes apart


def tags_of(cls: type[Any]) -> dict[str, set[tuple[type, object]]]:
    """Return the fields of a class that allow only certain values, with these values in JSON."""
    if is_model(cls):
        return tags_of_model(cls)
    tags: dict[str, set[tuple[type, object]]] = {}
    for field in fields_of(cls):
        bare, _ = plain(field.annotation)
        if typing.get_origin(bare) is Literal:
            tags[field.name] = {(type(value), value) for value in typing.get_args(bare)}
        elif isinstance(bare, type) and issubclass(bare, enum.Enum):
            tags[field.name] = {(type(member.value), member.value) for member in bare}
    return tags


def _differ(one: type[Any], other: type[Any]) -> bool:
    """Return whether no JSON object can belong to both classes."""
    tags, others = tags_of(one), tags_of(other)
    if any(values.isdisjoint(others.get(name, values)) for name, values in tags.items()):
        return True
    (required, known), (others_required, others_known) = keys_of(one), keys_of(other)
    return bool(required - others_known or others_required - known)


def keys_of(cls: type[Any]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names in JSON of the fields that a class requires, and of all its fields."""
    if is_model(cls):
        return keys_of_model(cls)
    fields = fields_of(cls)
    return frozenset(field.name for field in fields if field.is_required), frozenset(field.name for field in fields)


# ---------------------------------------------------------------------------------------------------------- the schema


def strict_schema(cls: type[Any]) -> JSONSchema:
    """Return the strict schema of a class.

    Raises:
        TypeError: it has something that the strict mode cannot say.
    """
    schemas = _Schemas()
    ref = schemas.ref(cls)
    root: JSONSchema = dict(schemas.definitions[schemas.names[cls]])
    if not schemas.is_used(ref, by=schemas.definitions):
        del schemas.definitions[schemas.names[cls]]
    return schemas.with_definitions(root)


def object_schema(fields: Sequence[Field], where: str) -> JSONSchema:
    """Return the strict schema of an object with these fields and no class; `where` is for the sentence of an error.

    Raises:
        TypeError: a field has something that the strict mode cannot say.
    """
    schemas = _Schemas()
    return schemas.with_definitions(schemas.members(fields, where))


class _Schemas:
    """The schemas of a class and of those that it speaks of, by their names in `$defs`."""

    def __init__(self) -> None:
        self.names: dict[type[Any], str] = {}
        self.definitions: dict[str, JSONSchema] = {}

    def ref(self, cls: type[Any]) -> JSONSchema:
        """Return a reference to the schema of a class, which is made on first use."""
        if cls not in self.names:
            self.names[cls] = name = self._new_name(schema_name(cls))  # before the schema: it may refer to itself
            self.definitions[name].update(self._model(cls, name) if is_model(cls) else self._object(cls))
        return {"$ref": f"#/$defs/{self.names[cls]}"}

    def _new_name(self, stem: str) -> str:
        """Return a name for a definition, and reserve it."""
        tries = itertools.chain([stem], (f"{stem}_{number}" for number in itertools.count(2)))
        name = next(name for name in tries if name not in self.definitions)
        self.definitions[name] = {}
        return name

    def _model(self, cls: type[Any], name: str) -> JSONSchema:
        """Return the schema of a model, and add the definitions that it refers to."""
        schema, definitions = strict_model(cls, name, lambda own: self._new_name(_allowed(own)))
        for own, definition in definitions.items():
            self.definitions[own].update(definition)
        return schema

    def with_definitions(self, root: JSONSchema) -> JSONSchema:
        """Return a schema together with the definitions that it refers to."""
        return {**root, "$defs": self.definitions} if self.definitions else root

    def is_used(self, ref: JSONSchema, *, by: object) -> bool:
        """Return whether a value contains a reference."""
        if isinstance(by, dict):
            parts: Iterable[object] = cast("dict[str, object]", by).values()
            return by == ref or any(self.is_used(ref, by=part) for part in parts)
        return isinstance(by, list) and any(self.is_used(ref, by=part) for part in cast("list[object]", by))

    def _object(self, cls: type[Any]) -> JSONSchema:
        if getattr(cls, "__parameters__", ()):
            raise TypeError(f"{cls.__name__} is generic, and a schema is not: give a class without type variables")
        return {
            "title": cls.__name__,
            **_described(_docstring(cls)),
            **self.members(fields_of(cls), cls.__name__),
        }

    def members(self, fields: Sequence[Field], where: str) -> JSONSchema:
        """Return the schema of an object without its name."""
        return {
            "type": "object",
            "properties": {field.name: self._property(field, f"{where}.{field.name}") for field in fields},
            "required": [field.name for field in fields],
            "additionalProperties": False,
        }

    def _property(self, field: Field, where: str) -> JSONSchema:
        schema = self._value(field.annotation, where)
        if not field.description:
            return schema
        if "$ref" in schema:  # which takes no company
            schema = {"anyOf": [schema]}
        return {**schema, "description": field.description}

    def _value(self, annotation: Any, where: str) -> JSONSchema:
        bare, remarks = plain(annotation)
        if is_plain_value(bare):
            return _plain_schema(bare, remarks, where)
        if (item := item_of(bare)) is not None:
            array = _by_msgspec(list[Any], remarks, where)
            return {**array, "items": self._value(item, where)}
        described = _described(next((r.description for r in remarks if getattr(r, "description", None)), None))
        members = members_of(bare)
        if len(members) > 1:
            _check_union(members, where)
            return {**described, "anyOf": [self._value(member, where) for member in members]}
        if is_fielded(bare):
            return {**described, "anyOf": [self.ref(bare)]} if described else self.ref(bare)
        raise TypeError(f"{where}: a strict schema cannot say {words_of(bare)}; it can say {_WELCOME}")


def _check_union(members: Sequence[Any], where: str) -> None:
    bare = [plain(member)[0] for member in members]
    if sum(item_of(member) is not None for member in bare) > 1:
        raise TypeError(f"{where}: of a union, only one member can be a list; make it a list of a union")
    for one, other in itertools.combinations(filter(is_fielded, bare), 2):
        if not _differ(one, other):
            raise TypeError(
                f"{where}: {one.__name__} and {other.__name__} cannot be told apart; give each a field such as "
                f'kind: Literal["{one.__name__.lower()}"]'
            )


def _plain_schema(bare: Any, remarks: list[Any], where: str) -> JSONSchema:
    if typing.get_origin(bare) is Literal:
        schema: JSONSchema = {**_by_msgspec(Any, remarks, where), "enum": _values(bare, where)}
    else:
        schema = _by_msgspec(bare, remarks, where)
    for definition in schema.pop("$defs", {}).values():  # of an enumeration
        schema.pop("$ref")
        schema = {**definition, **schema}
    if _name(bare) in _FORMATS:  # msgspec says no more than "string" of times that may have no zone
        schema.setdefault("format", _FORMATS[_name(bare)])
    if "enum" in schema and "type" not in schema:
        names = sorted({_TYPE_NAMES[type(value)] for value in schema["enum"]})
        schema["type"] = names[0] if len(names) == 1 else names
    return schema


def _values(literal: Any, where: str) -> list[Any]:
    values = list(typing.get_args(literal))
    for value in values:
        if type(value) not in _TYPE_NAMES:
            raise TypeError(
                f"{where}: a Literal of strings, whole numbers, True, False, None has a schema; not {value!r}"
            )
    return values


def _by_msgspec(bare: Any, remarks: list[Any], where: str) -> JSONSchema:
    import msgspec

    try:
        return msgspec.json.schema(Annotated[bare, *remarks] if remarks else bare)
    except TypeError as error:
        raise TypeError(f"{where}: {words_of(bare)} has no schema: {str(error).splitlines()[0]}") from None


def _described(text: str | None) -> JSONSchema:
    return {"description": text} if text else {}


def _docstring(cls: type[Any]) -> str | None:
    text = cls.__doc__
    if (
        not text or text == dict.__doc__ or (dataclasses.is_dataclass(cls) and text.startswith(f"{cls.__name__}("))
    ):  # which Python wrote
        return None
    return inspect.cleandoc(text)


def schema_name(cls: type[Any]) -> str:
    """Return the name of a class in the form that the API accepts."""
    return _allowed(cls.__name__)


def _allowed(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]
