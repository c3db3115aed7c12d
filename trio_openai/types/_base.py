"""The base class of all wire objects: typed views of the JSON that servers send.

A server may leave out any field, add fields of its own, or send another type than its documentation says. None of this
may crash a stream. So a wire object is a thin view of a decoded JSON object, and not a copy of it:

* Every field has a default, which stands for a field that the server did not send.
* A plain value is returned as it came, whatever its type. The annotations say what the API documents.
* A field for objects holds only objects of these classes. If the server sent anything else there, it has its default.
* `raw` is the decoded JSON object itself, including fields that this library does not know.
* A field is made when it is first read, because a program reads one or two of the 24 fields of a chunk.

The annotations are also the rules for conversion, which `_fields.py` carries out. `X | None` is an object or None. `X`
alone is an object even if the server sent none, and `list[X]` is always a list. In a union of classes, the `type` on
the wire chooses the class whose `type` field has that default; `Unknown` is for all other types.

`_plain.py` is the way back, from an object to JSON.

"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, dataclass_transform

import attrs

from ._fields import hook_for
from ._plain import copied
from ._raw import JSONDict, Raw
from ._text import has_lone_half

_T = TypeVar("_T")

_LONGEST_REPR = 400

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_short.maxlist = _short.maxdict = 3
_short.maxlevel = 2


_NO_READERS = cast("Mapping[str, Callable[[Raw], Any]]", {})


def json_name(name: str) -> dict[str, str]:
    """Return the metadata of a field whose JSON name is not a Python name, such as `self-harm`."""
    return {"json": name}


@dataclass_transform(field_specifiers=(attrs.field,))
def wire(cls: type[_T]) -> type[_T]:
    """Decorate a wire class: give it slots, and an `__init__` that only assigns.

    What attrs would write beside that for each of two hundred classes, `WireObject` has once: it halves the import.
    """
    return attrs.define(cls, slots=True, repr=False, eq=False, match_args=False, getstate_setstate=False)


@wire
class WireObject:
    """A JSON object that a server sent, or that was added up from several.

    Two objects are equal if they have the same class and equal fields. `raw` is not compared.

    Attributes:
        raw: the decoded JSON object, including unknown fields. Treat it as read-only, because it is shared. It is empty
            for an object that a program made. To change what is sent, assign to the fields.
    """

    if TYPE_CHECKING:  # type checkers recognize an attrs class by this
        __attrs_attrs__: ClassVar[Any]

    raw: Raw = attrs.field(factory=dict[str, Any], kw_only=True)

    __readers__: ClassVar[Mapping[str, Callable[[Raw], Any]]] = (
        _NO_READERS  # a function for each field that reads it from `raw`; set by `_fields.py`
    )
    __unknown__: ClassVar[Any]  # the class for a `type` that no class of a union has; set below

    def _read_field(self, name: str) -> Any:
        """Read a field for the first time: an object from the wire begins with `raw` alone."""
        try:
            read = self.__readers__[name]
        except KeyError:
            cls = type(self)
            if "__readers__" in cls.__dict__:
                raise _no_attribute(self, name) from None
            hook_for(cls)  # makes the readers; the first object of this class in this process may come from pickle
            return self._read_field(name)
        value = read(self.raw)
        setattr(self, name, value)
        return value

    if not TYPE_CHECKING:  # otherwise a type checker would accept any name
        __getattr__ = _read_field

    def to_dict(self) -> JSONDict:
        """Return this object as JSON, as a copy.

        The result has everything that the server sent, including unknown fields, and every change that the program made
        to a field, at every level. For an object that the program made, it has the fields that are set. The same is
        sent if the object is part of a request.
        """
        return cast("JSONDict", copied(self))

    def to_json(self, *, indent: int | None = None) -> str:
        """Return `to_dict()` as JSON text. It can always be written to a file, whatever the server sent.

        Args:
            indent: spaces for each level; None puts everything into one line.
        """
        return json_text(self.to_dict(), indent)

    def __eq__(self, other: object) -> bool:
        """Equality by fields."""
        return isinstance(other, WireObject) and other.__class__ is self.__class__ and self._fields() == other._fields()

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]  # the objects are mutable

    def __repr__(self) -> str:
        """Return the fields that are set, shortened."""
        shown = (
            f"{name}={_show(value)}" for name, value in self._fields().items() if value is not None and value != []
        )
        text = f"{type(self).__name__}({', '.join(shown)})"
        return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}...)"

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in attrs.fields(type(self)) if field.name != "raw"}


def was_read(made: WireObject, name: str) -> bool:
    """Return whether a field was read or set, without reading it."""
    try:
        object.__getattribute__(made, name)
    except AttributeError:
        return False
    return True


_INSTEAD = {
    "model_dump": "to_dict()",
    "model_dump_json": "to_json()",
    "dict": "to_dict()",
    "json": "to_json()",
    "copy": "copy.copy(...), or attrs.evolve(..., name=value) to change fields",
    "model_copy": "attrs.evolve(..., name=value)",
    "model_extra": "raw, which holds unknown fields too",
    "model_fields_set": "raw, which holds exactly what the server sent",
    "get": "the fields as attributes, or to_dict()",
    "items": "to_dict().items()",
    "parsed": "response_format= with a class, or text_format= for responses, to get an answer that has it",
    "keys": "to_dict().keys()",
    "values": "to_dict().values()",
}


def _no_attribute(owner: WireObject, name: str) -> AttributeError:
    """Return the error for a missing attribute. For methods of openai-python it names the replacement."""
    hint = f"; use {_INSTEAD[name]}" if name in _INSTEAD else ""
    return AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}{hint}", name=name, obj=owner)


def json_text(value: object, indent: int | None) -> str:
    """Return a decoded value as JSON text. Lone surrogate halves are escaped, so that the text can be encoded.

    Raises:
        ValueError: it is nested too deeply for Python's encoder.
    """
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
        return json.dumps(value, indent=indent, separators=separators) if has_lone_half(text) else text
    except RecursionError:
        raise ValueError("the object is nested too deeply for JSON text; use to_dict()") from None


def _show(value: object) -> str:
    """Return a short repr of a value. Wire objects shorten themselves."""
    if isinstance(value, WireObject):
        return repr(value)
    if isinstance(value, list) and any(isinstance(item, WireObject) for item in cast("list[object]", value)):
        items = cast("list[object]", value)
        return f"[{', '.join(_show(v) for v in items[:3])}{', ...' if len(items) > 3 else ''}]"
    return _short.repr(value)


@wire
class Unknown(WireObject):
    """An object of a `type` that this library does not know. Its fields are in `raw`, and can be read as attributes."""

    type: str | None = None

    def __getattr__(self, name: str) -> Any:
        """Return a field of `raw`, if the server sent it."""
        if name in attrs.fields_dict(type(self)) and name != "raw":
            return self._read_field(name)
        fields: Raw = {} if name in ("raw", "__deepcopy__") else self.raw
        if name in fields:
            return fields[name]
        if name in _INSTEAD:
            raise _no_attribute(self, name)
        raise AttributeError(f"{type(self).__name__} has no field {name!r}; it holds {', '.join(fields) or 'none'}")

    def _fields(self) -> Raw:
        return {"type": self.type, **self.raw}


WireObject.__unknown__ = Unknown


@wire
class UnknownEvent(Unknown):
    """An event of a `type` that this library does not know. Its fields are in `raw`, and can be read as attributes."""

    type: str | None = None
    sequence_number: int | None = None


class NamedEvent(dict[str, Any]):
    """An event of `stream_request`: its JSON object, and its name.

    Attributes:
        name: the SSE field `event`. It is empty if the server sent none.
    """

    __slots__ = ("name",)

    def __init__(self, raw: Raw, name: str) -> None:
        super().__init__(raw)
        self.name: str = name

    def to_dict(self) -> Raw:
        """Return the JSON object, as a copy."""
        return cast("Raw", copied(self))

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the JSON object as text, as `WireObject.to_json` does."""
        return json_text(self, indent)

    def __repr__(self) -> str:
        return f"NamedEvent({super().__repr__()}, name={self.name!r})"
