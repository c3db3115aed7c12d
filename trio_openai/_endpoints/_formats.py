"""Parameters that take a class as the format of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from trio_openai._mistakes import format_hint
from trio_openai._protocols.answers import Decode, as_object
from trio_openai.types import WireObject

if TYPE_CHECKING:  # they are imported when a class is given: they need what not everybody has installed
    from trio_openai._protocols.structured.answer_format import AnswerFormat
    from trio_openai.types import ParsedChatCompletion, ParsedResponse

Params = dict[str, Any]
ParsedT = TypeVar("ParsedT", "ParsedChatCompletion[Any]", "ParsedResponse[Any]")


def chat_format(params: Params) -> AnswerFormat[Any] | None:
    """The format that a class given as `response_format` stands for, which takes its place; None if there is none.

    Raises:
        TypeError: the class has something that a schema cannot say, or it is none.
        ImportError: what is needed for it is not installed.
    """
    given = params.get("response_format")
    if given is None or isinstance(given, Mapping | WireObject):
        return None
    wanted = _format("response_format", given, "a dictionary, or a class made by attrs.define")
    params["response_format"] = {"type": "json_schema", "json_schema": wanted.json_schema}
    return wanted


def text_format(params: Params) -> AnswerFormat[Any] | None:
    """The same for `text_format`, which becomes a member of `text`. Raises the same."""
    given = params.pop("text_format", None)
    if given is None:
        return None
    if params.get("text") is not None:
        raise TypeError(
            "text_format and text both say what the text shall be: give one of them "
            '(with text_format, other members of text as extra_body={"text": ...})'
        )
    wanted = _format("text_format", given, "a class made by attrs.define" if isinstance(given, type) else "a class")
    params["text"] = text = {"format": {"type": "json_schema", **wanted.json_schema}}
    extra = params.get("extra_body")
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
    """A plain answer that can be parsed."""
    make = as_object(cls)
    return lambda content: make(content).judged_by(wanted.judge, is_whole=True)
