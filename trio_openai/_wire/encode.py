"""Encoding the parameters of a call as the JSON body of its request.

An object of ours is sent as what it stands for now (`types/_plain.py`): exactly as it came, with what the program has
changed. What `attrs.asdict` made of one is sent the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from enum import Enum
from math import isfinite
from typing import Any, cast

from trio_openai.types._asdict import without_raw
from trio_openai.types._base import WireObject
from trio_openai.types._plain import current
from trio_openai.types._raw import Raw

from .json import encode_exactly, encode_fast, encode_text
from .text import printable, utf8

_FROM_ANSWERS = ("messages", "input")
"""Parameters that may contain objects of an earlier answer."""


def encode_json(params: Mapping[str, Any] | list[Any]) -> bytes:
    """Encode a request's body.

    Raises:
        TypeError: a value cannot be sent as JSON.
    """
    body = _encode(params)
    if b'"raw":{' not in body or isinstance(params, list):
        return body
    return _encode({name: without_raw(value) if name in _FROM_ANSWERS else value for name, value in params.items()})


def _encode(params: Mapping[str, Any] | list[Any]) -> bytes:
    try:
        return encode_fast(params, _default)
    except TypeError:
        return _encode_slowly(params)


def _default(value: object) -> object:
    if isinstance(value, WireObject):
        return current(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _encode_slowly(params: Mapping[str, Any] | list[Any]) -> bytes:
    """Encode a value that the fast encoder refuses: lone surrogate halves, integers over 64 bits, deep nesting.

    A lone half is sent as the replacement character, because servers refuse requests that contain one.
    """
    try:
        return utf8(encode_exactly(_plain(params)))
    except RecursionError:
        problem = "a value is nested too deeply, or contains itself"
    except TypeError as error:
        problem = str(error)
    raise TypeError(f"a parameter of the request cannot be sent as JSON: {problem}")


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    raise TypeError(f"a key of an object must be a string, not {type(key).__name__}")


def _plain(value: Any, key: Callable[[Any], str] = _key) -> Any:
    """Convert a value to the types of JSON. NaN and infinity become null, as with orjson."""
    if value is None or isinstance(value, Enum):
        return None if value is None else _plain(value.value, key)
    if isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, WireObject):
        return _plain(current(value), key)
    if isinstance(value, Mapping):
        return {key(name): _plain(item, key) for name, item in cast("Raw", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key) for item in cast("Iterable[Any]", value)]
    return _other(value, key)


def result_text(unstructured: object) -> str:
    """Encode the result of a tool as JSON text.

    Raises:
        TypeError: the result cannot be sent as JSON.
    """
    return printable(encode_text(_plain(unstructured, str)))


def _other(value: Any, key: Callable[[Any], str]) -> Any:
    """Convert the other types that orjson knows: dataclasses, dates, times and UUIDs."""
    cls = value.__class__
    if hasattr(cls, "__dataclass_fields__"):
        return {field.name: _plain(getattr(value, field.name), key) for field in fields(value)}
    kind = f"{cls.__module__}.{cls.__qualname__}"
    if kind in ("datetime.datetime", "datetime.date", "datetime.time"):
        return value.isoformat()
    if kind == "uuid.UUID":
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
