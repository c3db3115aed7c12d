"""Encoding and decoding JSON. No other module knows which library does it.

orjson is used if it is installed, else msgspec, else the standard library. Programs must not notice the difference. So
the fast libraries handle only what all three handle alike, and the standard library handles the rest:

* `NaN` and `Infinity`, which Python servers write, and lone surrogate halves. The fast libraries refuse both.
* Integers over 64 bits. orjson silently turns them into floats, so long rows of digits are searched for before
  decoding.
* Nesting. Up to 1024 levels are decoded (`json_deep.py`), and deeper JSON is refused.

"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn

from trio_openai.types._raw import is_array, is_object, objects_in

from .json_deep import check_depth, decode_deep

__all__ = [
    "decode_json",
    "decode_strictly",
    "decode_text",
    "encode_exactly",
    "encode_fast",
    "encode_text",
    "is_array",
    "is_object",
    "load_one",
    "loader_for",
    "objects_in",
    "use_backend",
]

Backend = Literal["orjson", "msgspec", "stdlib"]
Loads = Callable[[bytes], object]
Dumps = Callable[[object, Callable[[Any], Any]], bytes]

BACKENDS: tuple[Backend, ...] = ("orjson", "msgspec", "stdlib")

# An integer over 64 bits has at least 19 digits. So every third byte finds at least six of its digits in a row. Every
# sixth byte would find three, but it also finds three in `gpt-4o-2024-08-06` and in most long ids.
_STEP, _FOUND = 3, b"000000"
_DIGITS_TO_ZERO = bytes(48 if 48 <= byte <= 57 else 0 for byte in range(256))
_LONG_ROW = b"0" * 19
_LONG_INTEGER = re.compile(rb"(?<![0-9.])[0-9]{19,}+(?![.eE])")


def has_long_integer(batch: Sequence[bytes]) -> bool:
    """Return whether one of these JSON texts may have an integer over 64 bits. Fast if there are no long numbers."""
    joined = batch[0] if len(batch) == 1 else b"\n".join(batch)
    # Digits that are three bytes apart may be in a row by accident. To look at every byte then takes 0.5 µs for an
    # event of 300 bytes, and the regular expression 7.
    if _FOUND not in joined[::_STEP].translate(_DIGITS_TO_ZERO) or _LONG_ROW not in joined.translate(_DIGITS_TO_ZERO):
        return False
    return _LONG_INTEGER.search(joined) is not None


def loader_for(batch: Sequence[bytes]) -> Loads:
    """Return the fastest function that decodes these JSON texts correctly.

    It raises `ValueError` for anything but strict JSON, which `decode_json` may still decode.
    """
    return decode_json if _is_inexact and has_long_integer(batch) else _loads


def load_one(data: bytes) -> object:
    """Do what the function that `loader_for` returns would do, for one JSON text."""
    if _is_inexact and has_long_integer((data,)):
        return decode_json(data)
    return _loads(data)


def decode_json(data: bytes) -> object:
    """Decode JSON. Also accept `NaN` and lone surrogate halves, which Python servers write and the standard forbids.

    Raises:
        ValueError: the data are not JSON, or an integer has more digits than Python converts (4300).
    """
    try:
        if not (_is_inexact and has_long_integer((data,))):
            return _loads(data)
    except ValueError:
        pass
    return _decode_slowly(data, _LENIENT)


def decode_text(text: str) -> object:
    """Decode JSON text as `decode_json` does. The text may contain surrogate halves.

    Raises:
        ValueError: the text is not JSON.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return _decode_slowly(text.encode(errors="surrogatepass"), _LENIENT, text)
    return decode_json(data)


def decode_strictly(data: bytes) -> object:
    """Decode JSON without `NaN` and `Infinity`. The error message does not depend on the backend.

    Raises:
        ValueError: the data are not JSON.
    """
    return _decode_slowly(data, _STRICT)


def _decode_slowly(data: bytes, decoder: json.JSONDecoder, text: str | None = None) -> object:
    check_depth(data)
    text = data.decode() if text is None else text
    try:
        return decoder.decode(text)
    except RecursionError:
        return decode_deep(text, decoder)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not allowed")


_LENIENT = json.JSONDecoder()
_STRICT = json.JSONDecoder(parse_constant=_refuse)


def encode_fast(value: object, default: Callable[[Any], Any]) -> bytes:
    """Encode a value with the fast encoder. `default` converts objects that are not JSON.

    Raises:
        TypeError: the encoder refuses the value, or there is no fast encoder.
    """
    return _dumps(value, default)


def encode_text(value: object) -> str:
    """Return the JSON text of any decoded value. Never raises."""
    try:
        return encode_exactly(value)
    except RecursionError:
        return "(nested too deeply)"


def encode_exactly(value: object) -> str:
    """Return the JSON text of a decoded value.

    Raises:
        RecursionError: the value is nested too deeply for Python's encoder.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _orjson() -> tuple[Loads, Dumps]:
    import orjson

    # Copy the result, because the bytes that orjson returns keep at least 4 KiB allocated.
    return orjson.loads, lambda value, default: b"%b" % orjson.dumps(value, default=default)


def _msgspec() -> tuple[Loads, Dumps]:
    import msgspec

    decode = msgspec.json.decode

    def loads(data: bytes) -> object:
        check_depth(data)
        try:
            return decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from None

    return loads, _no_fast_encoder  # msgspec's encoder encodes attrs objects and sets without asking


def _stdlib() -> tuple[Loads, Dumps]:
    return functools.partial(_decode_slowly, decoder=_LENIENT), _no_fast_encoder


def _no_fast_encoder(_value: object, _default: Callable[[Any], Any]) -> bytes:
    raise TypeError("there is no fast encoder")


_MAKERS: dict[Backend, Callable[[], tuple[Loads, Dumps]]] = {"orjson": _orjson, "msgspec": _msgspec, "stdlib": _stdlib}
_loads: Loads
_dumps: Dumps
_is_inexact: bool
_backend: Backend


def use_backend(*backends: Backend) -> None:
    """Switch to the first of these backends that is installed. Tests use this to try each of them."""
    global _loads, _dumps, _is_inexact, _backend
    for name in backends:
        try:
            _loads, _dumps = _MAKERS[name]()
        except ImportError:
            continue
        _is_inexact, _backend = name == "orjson", name
        return
    raise ImportError(f"none of {', '.join(backends)} is installed")


def backend() -> Backend:
    """Return the backend that is in use."""
    return _backend


use_backend(*BACKENDS)
