"""Structured outputs: parameters that take a class as the format of the result.

A class given as `response_format` (Chat Completions) or `text_format` (Responses) is replaced by its JSON schema, and
the result is parsed into an instance of it. The code for that is imported with the first class, because few programs
use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trio_openai._mistakes import format_hint
from trio_openai._protocols.plain_answers import Decode, as_object
from trio_openai.types import WireObject

from ._operations import Params

if TYPE_CHECKING:
    from trio_openai._protocols.structured.answer_format import AnswerFormat
    from trio_openai.types import ParsedChatCompletion, ParsedResponse

_CLASSES = "a class: one made by attrs.define, a dataclass, a TypedDict, or a pydantic model"
ParsedT = TypeVar("ParsedT", "ParsedChatCompletion[Any]", "ParsedResponse[Any]")


def chat_format(params: Params) -> AnswerFormat[Any] | None:
    """Replace a class given as `response_format` by its JSON schema.

    Returns:
        The format that parses the result, or None if `response_format` is not a class.

    Raises:
        TypeError: `response_format` is neither a dictionary nor a class with fields, or a field's type has no schema.
        ImportError: A package that the class needs is not installed.
    """
    given = params.get("response_format")
    if given is None or isinstance(given, Mapping | WireObject):
        return None
    wanted = _format("response_format", given, f"a dictionary, or {_CLASSES}")
    params["response_format"] = {"type": "json_schema", "json_schema": wanted.json_schema}
    return wanted


def text_format(params: Params) -> AnswerFormat[Any] | None:
    """Replace a class given as `text_format` by its JSON schema in `text`.

    Returns:
        The format that parses the result, or None if there is no `text_format`.

    Raises:
        TypeError: `text_format` is not a class with fields, a field's type has no schema, or `text` is given as well.
        ImportError: A package that the class needs is not installed.
    """
    given = params.pop("text_format", None)
    if given is None:
        return None
    if params.get("text") is not None:
        raise TypeError(
            "text_format and text both set the format of the text: give one of them "
            '(with text_format, pass other members of text as extra_body={"text": ...})'
        )
    wanted = _format("text_format", given, _CLASSES)
    params["text"] = text = {"format": {"type": "json_schema", **wanted.json_schema}}
    extra = params.get("extra_body")
    # `extra_body` replaces whole parameters, so its `text` would drop the schema.
    if isinstance(extra, Mapping) and isinstance(more := cast("Params", extra).get("text"), Mapping):
        params["extra_body"] = {**cast("Params", extra), "text": {**cast("Params", more), **text}}
    return wanted


def _format(parameter: str, given: Any, takes: str) -> AnswerFormat[Any]:
    from trio_openai._protocols.structured.schema import is_fielded

    if not is_fielded(given):
        raise TypeError(f"{parameter} takes {takes}, not {format_hint(given)}")
    from trio_openai._protocols.structured.answer_format import answer_format

    return answer_format(given)


def as_parsed(cls: type[ParsedT], wanted: AnswerFormat[Any]) -> Decode[ParsedT]:
    """Return a function that makes a parsed result of a response's body."""
    make = as_object(cls)
    return lambda content: make(content).judged_by(wanted.judge, is_whole=True)
