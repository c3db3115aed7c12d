"""JSON off the wire: decoding it, and telling what it is."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

import orjson

from trio_openai.types._base import Raw


def decode_json(data: bytes) -> object:
    """Decode JSON, also with what Python servers write and the standard forbids: `NaN`, and half a surrogate pair.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data.decode())
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


def encode_text(value: object) -> str:
    """JSON text of a decoded value, whatever is in it: what `decode_json` takes, this gives back. Never raises."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        return "(nested too deeply)"


def is_object(value: object) -> TypeGuard[Raw]:
    """Whether a decoded value is a JSON object."""
    return type(value) is dict


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Whether a decoded value is a JSON array."""
    return type(value) is list


def objects_in(value: object) -> list[Raw]:
    """The objects among the items of an array; none if it is no array."""
    return [item for item in value if is_object(item)] if is_array(value) else []
