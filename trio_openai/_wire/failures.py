"""Understanding the errors that servers report.

Compatible servers report an error in many shapes: `{"error": {"message", "code", "type", "param"}}`, the same without
the outer object, `{"error": "text"}`, `{"detail": ...}`, an HTML page, plain text, half of any of these, or nothing.
Each becomes an error with a readable sentence. Its other fields hold what else was found, and `body` holds everything.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

from trio_openai.errors import APIError
from trio_openai.types._raw import Raw

from .json import decode_json, encode_text, is_array, is_object
from .text import printable

_E = TypeVar("_E", bound=APIError)
_TEXT_SHOWN = 300  # characters of a message
_TEXT_READ = 4096  # characters of a body that are looked at for one: patterns on a hostile page could take minutes
_LINES_READ = 1000  # lines that are looked at for one
_JSON_START = re.compile(rb"^[ \t]*[{\[]", re.MULTILINE)
TEXTS = ("message", "msg", "error_message", "error_msg", "errorMessage")  # where gateways put their words
_ERROR_WORD = re.compile(rb'"(?:errors?|detail|message|msg|success|object|type)"')  # see `is_error`
_MOST_NESTED = 5  # messages inside of messages


def decode_body(body: bytes) -> object:
    """Decode a body as JSON, or else as text. Return None if it is empty. Never raises."""
    try:
        return decode_json(body)
    except ValueError:
        return body.decode(errors="replace").strip() or None


def decode_replaced(data: bytes) -> object:
    """Return the JSON value that the bytes are, or their text. Invalid UTF-8 is replaced, as the HTML standard says."""
    try:
        return decode_json(data)
    except UnicodeDecodeError:
        text = data.decode(errors="replace")
    except ValueError:
        return data.decode(errors="replace")
    return decode_body(text.encode()) or ""


def is_error(said: object) -> bool:
    """Return whether a decoded body is one of the shapes in which servers report an error."""
    if is_array(said):
        return any(map(is_error, said[:1]))
    if not is_object(said):
        return False
    if any(said.get(name) for name in ("error", "detail", "errors")) or said.get("success") is False:
        return True
    texts = [said.get(name) for name in TEXTS]
    if isinstance(said.get("title"), str) and "status" in said:  # RFC 9457
        return True
    kinds = (said.get("object"), said.get("type"), said.get("status"))
    return "error" in kinds or any(isinstance(text, str) and text for text in texts)


def error_in_text(words: bytes) -> object | None:
    """Return the error that lines outside of the protocol report; None if they do not.

    It is JSON, with other lines before it or without, or a line `error: ...` as llama.cpp writes it at status 200.
    """
    for line in words.split(b"\n", _LINES_READ)[:_LINES_READ]:
        name, _, value = line.partition(b":")
        if name == b"error":
            return decode_body(value) or ""
    start = _JSON_START.search(words)
    said = decode_body(words[start.end() - 1 :]) if start and _ERROR_WORD.search(words) else None
    return said if is_error(said) else None


def sentence(text: str) -> str:
    """Return a short line that says what a text or an HTML page does."""
    return _sentence(text, 0)


def api_error(cls: type[_E], said: object, *, prefix: str = "", **fields: Any) -> _E:
    """Make an error of what a server said.

    Args:
        cls: the error's class.
        said: the decoded body, or the text that it was.
        prefix: what comes before the server's words, such as `HTTP 429`.
        fields: `request_id`, `partial`.
    """
    about = _error_object(said)
    words = _message(about) or "the server gave no reason"
    message = f"{prefix}: {words}" if prefix else words
    code, kind, param = about.get("code"), about.get("type"), about.get("param")
    return cls(
        message,
        code=code if isinstance(code, str | int) else None,
        type=kind if isinstance(kind, str) and kind != "error" else None,
        param=param if isinstance(param, str) else None,
        body=said,
        **fields,
    )


def _error_object(said: object) -> Raw:
    """Return the JSON object that describes the error, without the objects and arrays around it."""
    if is_array(said) and said:
        said = said[0]  # Gemini's compatible endpoint wraps its error in a list
    if not is_object(said):
        return {"message": said} if said else {}
    inner = said.get("error")
    if is_object(inner):
        return inner
    return {name: value for name, value in said.items() if value is not None}


def _message(about: Raw, depth: int = 0) -> str:
    for name in ("message", "detail", "msg", *TEXTS[2:], "error", "title", "errors"):
        if about.get(name):
            return _sentence(about[name], depth + 1)
    return _shortened(encode_text(about)) if about else ""


def _sentence(value: object, depth: int) -> str:
    """Return a readable line for the value that a server sent as the message."""
    if depth > _MOST_NESTED:
        return _shortened(encode_text(value))
    if isinstance(value, str):
        return _shortened(_without_markup(value[:_TEXT_READ]))
    if is_array(value):
        return "; ".join(_sentence(item, depth + 1) for item in value[:5])
    if is_object(value):
        where = value.get("loc")
        place = ".".join(_plain(part) for part in where[:9]) + ": " if is_array(where) else ""
        return _shortened(place + _message(value, depth))
    return _shortened(encode_text(value))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else encode_text(value)


def _without_markup(text: str) -> str:
    """Return the title of an HTML page, or its text."""
    if not re.match(r"\s*<(!doctype|html|head|body|\?xml)", text, re.IGNORECASE):
        return text
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return title.group(1) if title else re.sub(r"<[^>]*>", " ", text)


def _shortened(text: str) -> str:
    """Return one line of a text that can be printed, cut where it is too long."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + "…"


def has_failed(choice: Raw) -> bool:
    """Return whether a choice reports an error, which ends its stream."""
    error = choice.get("error")
    return bool(error) and (is_object(error) or choice.get("finish_reason") == "error")
