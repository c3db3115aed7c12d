"""JSON off the wire: decoding it, and telling what it is."""

from __future__ import annotations

import json

import orjson

from trio_openai.types._base import is_array, is_object, objects_in

__all__ = ["decode_json", "encode_text", "is_array", "is_object", "objects_in"]


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
