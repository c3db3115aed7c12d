"""JSON: the only module that knows which library decodes and encodes it.

orjson does if it is installed, else msgspec, else the standard library. A program must not notice which. So the fast
libraries only handle what all of them handle alike, and everything else goes through the standard library:

* `NaN` and `Infinity`, which Python servers write, and lone surrogate halves: the fast libraries refuse them;
* integers over 64 bits: orjson makes floats of them without notice, so long rows of digits are looked for before;
* nesting: up to 1024 levels are decoded (`json_deep.py`), more are refused.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn

from trio_openai.types._base import is_array, is_object, objects_in

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
    "loader_for",
    "objects_in",
    "use_backend",
]

Backend = Literal["orjson", "msgspec", "stdlib"]
Loads = Callable[[bytes], object]
Dumps = Callable[[object, Callable[[Any], Any]], bytes]

BACKENDS: tuple[Backend, ...] = ("orjson", "msgspec", "stdlib")

# An integer over 64 bits has 19 digits at least. Of 18 digits in a row, every sixth byte finds three.
_STEP = 6
_DIGITS_TO_ZERO = bytes(48 if 48 <= byte <= 57 else 0 for byte in range(256))
_LONG_INTEGER = re.compile(rb"(?<![0-9.])[0-9]{19,}+(?![.eE])")


def has_long_integer(batch: Sequence[bytes]) -> bool:
    """Return whether some of these JSON texts may have an integer over 64 bits. Fast if there are no long numbers."""
    joined = batch[0] if len(batch) == 1 else b"\n".join(batch)
    if b"000" not in joined[::_STEP].translate(_DIGITS_TO_ZERO):
        return False
    return _LONG_INTEGER.search(joined) is not None


def loader_for(batch: Sequence[bytes]) -> Loads:
    """Return the fastest function that decodes these JSON texts right.

    It raises `ValueError` for what is no strict JSON. `decode_json` may still decode that.
    """
    return decode_json if _is_inexact and has_long_integer(batch) else _loads


def decode_json(data: bytes) -> object:
    """Decode JSON, also with what Python servers write and the standard forbids: `NaN`, and lone surrogate halves.

    Raises:
        ValueError: it is no JSON; or an integer has more digits than Python converts (4300).
    """
    try:
        if not (_is_inexact and has_long_integer((data,))):
            return _loads(data)
    except ValueError:
        pass
    return _decode_slowly(data, _LENIENT)


def decode_text(text: str) -> object:
    """Decode JSON that is text already, as `decode_json` does. It may contain surrogate halves.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return _decode_slowly(text.encode(errors="surrogatepass"), _LENIENT, text)
    return decode_json(data)


def decode_strictly(data: bytes) -> object:
    """Decode JSON, without `NaN` and `Infinity`. The words of the error do not depend on the backend.

    Raises:
        ValueError: it is no JSON.
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
    """Encode what the fastest encoder takes; `default` makes something else of what is no JSON.

    Raises:
        TypeError: it does not take this, or there is none.
    """
    return _dumps(value, default)


def encode_text(value: object) -> str:
    """JSON text of a decoded value, whatever is in it: what `decode_json` takes, this gives back. Never raises."""
    try:
        return encode_exactly(value)
    except RecursionError:
        return "(nested too deeply)"


def encode_exactly(value: object) -> str:
    """Return the JSON text of a decoded value.

    Raises:
        RecursionError: it is nested too deeply for Python's encoder.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _orjson() -> tuple[Loads, Dumps]:
    import orjson

    # A copy: what orjson returns holds on to 4 KiB at least.
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

    return loads, _no_fast_encoder  # msgspec's encodes objects of attrs and sets without asking


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
    """Use the first of these backends that is installed, from now on. Tests call this to go through all of them."""
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
