"""The answers of endpoints that have no class here: from a body to an object of the class that a program asks for.

`decoder_of` returns a function that decodes a whole body. `maker_of` returns one that makes an object of a decoded JSON
value, such as an item of a page. Both look at the class first, so that a class that cannot be used is a `TypeError`
before anything is sent.

A class of `trio_openai.types` is lenient, as everywhere. Every other class is strict about the types that it declares:
cattrs would make `"None"` of a null, and a list of letters of a string. Members that the class does not declare are
ignored, because servers add new ones.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any, TypeGuard, cast

import attrs
import cattrs
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn
from cattrs.strategies import configure_union_passthrough

from trio_openai._wire.failures import TEXTS, api_error, decode_body, is_error
from trio_openai._wire.json import decode_json, is_array, is_object
from trio_openai.errors import APIError, APIResponseValidationError
from trio_openai.types._fields import hook_for, is_wire, is_wire_union
from trio_openai.types._raw import Raw

from .plain_answers import Decode, as_nothing, as_object, has_required_fields

Maker = Callable[[Any], Any]
"""Makes an object of a decoded JSON value. It raises one of `_UNFIT` if the value does not fit."""
Hook = Callable[[Any, Any], Any]

_UNFIT = (cattrs.BaseValidationError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
_SHOWN = 200  # characters of a body
_LONGEST_PROBLEM = 300  # characters; pydantic says much
_OF_ERRORS = frozenset(
    {
        *("error", "errors", "detail", "code", "type", "param", "status", "status_code", "success", "object", "title"),
        *("request_id", *TEXTS),
    }
)
"""The members of an object that only reports an error. Other objects may have an `error` too, such as a failed job."""


def decoder_of(cast_to: Any) -> Decode[Any]:
    """Return the function that makes a `cast_to` of the body of an answer.

    Args:
        cast_to: None or `dict` for a JSON object; `bytes` or `str` for the body itself; `object` for any JSON value;
            `type(None)` to ignore the body; or a class that `maker_of` accepts.

    Raises:
        TypeError: It is none of these.
    """
    if is_wire(cast_to) and has_required_fields(cast_to):
        return as_object(cast_to)
    for known, decode in _DECODERS:
        if cast_to is known or cast_to == known:
            return decode
    make = maker_of(cast_to)
    return lambda content: made(make, cast_to, decoded(content), content)


def maker_of(cls: Any) -> Maker:
    """Return the function that makes an object of a class.

    Args:
        cls: A class of `trio_openai.types`; a class of attrs; a dataclass, a `TypedDict` or a pydantic model; a list,
            dictionary or union of such classes; or `object`, which takes any value as it is.

    Raises:
        TypeError: It is none of these.
    """
    if cls is object or cls is Any:
        return lambda value: value
    if not _is_usable(cls):
        what = f"an object of {type(cls).__name__}" if not isinstance(cls, type) else f"the class {cls.__name__}"
        raise TypeError(
            "cast_to takes a class of trio_openai.types, a class of attrs, a dataclass, a TypedDict, Page[...], "
            f"list[...], dict[...], bytes, str or object, not {what}"
        )
    if hasattr(cls, "model_validate"):  # a pydantic model, which validates by itself
        return cast("Maker", cls.model_validate)
    try:
        hook: Hook = _converter().get_structure_hook(cls)
    except (cattrs.StructureHandlerNotFoundError, NameError) as error:
        raise TypeError(
            f"cast_to cannot be {_name(cls)}: {error} (an annotation has to name a type that JSON can have, or a class "
            "that is defined at the top level of its module)"
        ) from error
    return lambda value: hook(value, cls)


def made(make: Maker, cls: Any, value: object, content: bytes) -> Any:
    """Make an object of a decoded value.

    Args:
        make: The function that `maker_of` returned for the class.
        cls: The class.
        value: The value.
        content: The whole body, to be quoted.

    Raises:
        APIResponseValidationError: The value does not fit the class. `body` is the value.
    """
    try:
        return make(value)
    except _UNFIT as error:
        from .structured.answer_format import problems  # few answers do not fit

        found = problems(error, "$")
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    words = "; ".join(" ".join(problem.split())[:_LONGEST_PROBLEM] for problem in found[:3]) + more
    raise APIResponseValidationError(f"the answer does not fit {_name(cls)}: {words}: {_shown(content)}", body=value)


def decoded(content: bytes) -> object:
    """Return the JSON value of a body.

    Raises:
        APIError: The server only reports an error, although its status is a success.
        APIResponseValidationError: The body is not JSON.
    """
    try:
        value: object = decode_json(content)
    except ValueError:
        body = decode_body(content)
    else:
        if _is_only_error(value):
            raise api_error(APIError, value)
        return value
    raise APIResponseValidationError(f"the answer is not JSON: {_shown(content)}", body=body)


def decoded_object(content: bytes) -> Raw:
    """Return the JSON object of a body. An empty body, such as that of status 204, gives an empty one.

    Raises:
        APIError: As `decoded`.
        APIResponseValidationError: The body is not a JSON object.
    """
    if not content.strip():
        return {}
    value = decoded(content)
    if is_object(value):
        return value
    raise APIResponseValidationError(
        f"the answer is not a JSON object (cast_to=object accepts any JSON): {_shown(content)}", body=value
    )


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        problem = f"the answer is not text in UTF-8 ({error.reason} at byte {error.start}); cast_to=bytes returns it"
    raise APIResponseValidationError(f"{problem}: {_shown(content)}", body=content.decode(errors="replace"))


def _bytes(content: bytes) -> bytes:
    return content


_DECODERS: tuple[tuple[Any, Decode[Any]], ...] = (
    (None, decoded_object),
    (dict, decoded_object),
    (dict[str, Any], decoded_object),
    (dict[str, object], decoded_object),
    (bytes, _bytes),
    (str, _text),
    (types.NoneType, as_nothing),
)


def _shown(content: bytes) -> str:
    return repr(content[:_SHOWN].decode(errors="replace"))


def _is_only_error(value: object) -> bool:
    """Return whether an answer reports an error and has nothing else."""
    if is_array(value):
        return len(value) == 1 and _is_only_error(value[0])  # Gemini's compatible endpoint wraps its error in a list
    if not is_object(value) or not value.keys() <= _OF_ERRORS:
        return False
    return is_error({name: item for name, item in value.items() if name not in TEXTS})


# The classes of programs.


def _name(cls: Any) -> str:
    return cls.__name__ if isinstance(cls, type) else str(cls)


def _is_usable(cls: Any) -> bool:
    if typing.get_origin(cls) is not None:
        return typing.get_origin(cls) is not typing.Literal
    return isinstance(cls, type) and (cls in (str, int, float, bool, list, dict) or _has_fields(cls) or _is_other(cls))


def _is_other(cls: type[Any]) -> bool:
    return hasattr(cls, "model_validate") or hasattr(cls, "__total__")


def _has_fields(cls: Any) -> bool:
    """Return whether this is a class of attrs or a dataclass, perhaps with type arguments."""
    origin = typing.get_origin(cls) or cls
    return isinstance(origin, type) and (attrs.has(origin) or hasattr(origin, "__dataclass_fields__"))


@functools.cache
def _converter() -> cattrs.Converter:
    """Return the converter for all classes of programs. It ignores unknown members and coerces nothing."""
    converter = cattrs.Converter(detailed_validation=True)
    for cls in (str, int, float, bool):
        converter.register_structure_hook(cls, _plain_hook(cls))
    made_by: Any = converter  # cattrs types its generators only partly
    # The last one that fits counts, and classes of ours are classes of attrs, too.
    factories: list[tuple[Callable[[Any], bool], Callable[[Any], Hook]]] = [
        (_has_fields, lambda cls: _checked(is_object, "an object", make_dict_structure_fn(cls, converter))),
        (_is_typed_dict, lambda cls: _checked(is_object, "an object", made_by.gen_structure_typeddict(cls))),
        (_is_mapping, lambda cls: _checked(is_object, "an object", made_by.gen_structure_mapping(cls))),
        (_is_collection, lambda cls: _checked(is_array, "a list", _collection_hook(cls, converter))),
        (lambda cls: cls is object, lambda _: lambda value, _: value),
        (_is_ours, lambda cls: _checked(is_object, "an object", hook_for(cls))),
        (_is_pydantic, lambda cls: lambda value, _: cls.model_validate(value)),
    ]
    for predicate, factory in factories:
        converter.register_structure_hook_factory(predicate, factory)
    configure_union_passthrough(str | int | float | bool | None, converter)
    return converter


def _is_typed_dict(cls: Any) -> bool:
    return isinstance(cls, type) and hasattr(cls, "__total__") and hasattr(cls, "__required_keys__")


def _is_mapping(cls: Any) -> bool:
    return cls is dict or typing.get_origin(cls) in (dict, Mapping, MutableMapping)


_COLLECTIONS: dict[Any, Callable[[list[Any]], Any]] = {
    list: list,
    Sequence: list,
    MutableSequence: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
}


def _is_collection(cls: Any) -> bool:
    """Return whether this is a list, a set, or a tuple whose items are all of one type."""
    origin, args = typing.get_origin(cls), typing.get_args(cls)
    return cls is list or (origin in _COLLECTIONS and (origin is not tuple or args[1:] == (...,)))


def _collection_hook(cls: Any, converter: cattrs.Converter) -> Hook:
    items: Any = list[(*typing.get_args(cls), Any)[0]]  # type: ignore[misc]
    hook: Hook = list_structure_factory(items, converter)
    make = _COLLECTIONS[typing.get_origin(cls) or list]
    return lambda value, _: make(hook(value, items))


def _is_ours(cls: Any) -> bool:
    return is_wire(cls) or is_wire_union(cls)


def _is_pydantic(cls: Any) -> bool:
    return isinstance(cls, type) and hasattr(cls, "model_validate")


def _checked(is_kind: Callable[[object], TypeGuard[Any]], kind: str, hook: Hook) -> Hook:
    """Return a hook that refuses values of another kind than the one that it reads."""

    def structure(value: Any, cls: Any) -> Any:
        if not is_kind(value):
            raise ValueError(f"expected {kind}, got {_kind_of(value)}")
        return hook(value, cls)

    return structure


_WORDS: dict[type, str] = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _plain_hook(wanted: type[Any]) -> Hook:
    accepted = (int, float) if wanted is float else (wanted,)

    def structure(value: Any, cls: Any) -> Any:
        # True is an int in Python, but not in JSON.
        if type(value) not in accepted:
            raise ValueError(f"expected {_WORDS[wanted]}, got {_kind_of(value)}")
        return cls(value) if type(value) is not cls else value

    return structure


def _kind_of(value: object) -> str:
    if value is None:
        return "null"
    return _WORDS.get(type(value)) or ("a list" if is_array(value) else "an object")
