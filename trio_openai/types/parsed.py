"""Answers that were asked for in the shape of a class: the whole answer with `parsed`, and what stands there if not.

How a class becomes a schema, and a text an object of the class, is said in `_protocols/structured/schema.py` and
`_protocols/structured/answer_format.py`; an object here is given that as a function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, Self, TypeAlias, TypeVar, cast

import attrs

from .chat import ChatCompletion
from .response_items import ResponseOutputMessage, ResponseOutputRefusal, ResponseOutputText
from .responses import Response

T = TypeVar("T")

Reason: TypeAlias = Literal["unfinished", "refusal", "length", "content_filter", "failed", "no_text", "invalid"]

_SENTENCES: dict[Reason, str] = {
    "unfinished": "the answer is not whole",
    "refusal": "the model refused",
    "length": "the answer was cut at the limit of tokens",
    "content_filter": "the answer was cut by a content filter",
    "failed": "the response failed or was cancelled",
    "no_text": "the answer has no text",
    "invalid": "the answer does not fit the class",
}


@attrs.frozen
class Unparsed:
    """The replacement for an object that could not be made, and the reason. It counts as false.

    Attributes:
        reason: `unfinished` (the stream is open, was cut, or was closed), `refusal`, `length` (the limit of tokens),
            `content_filter`, `failed` (a response that failed or was cancelled), `no_text` (tool calls, say), or
            `invalid` (it is not the JSON that the class asks for).
        text: all that the model wrote.
        refusal: what it wrote to refuse.
        problems: of an `invalid` answer, what does not fit and where: `$.steps[0].size: Expected `int`, got `str``.
    """

    reason: Reason
    text: str = ""
    refusal: str | None = None
    problems: tuple[str, ...] = ()

    def __bool__(self) -> Literal[False]:
        return False

    def __str__(self) -> str:
        details = self.refusal if self.reason == "refusal" else "; ".join(self.problems)
        return f"{_SENTENCES[self.reason]}: {details}" if details else _SENTENCES[self.reason]


@attrs.frozen
class Said:
    """The text of an answer, and the reason why it stopped if it did not reach its own end."""

    text: str = ""
    refusal: str | None = None
    stopped: Reason | None = None


Judge: TypeAlias = Callable[[Said], T | Unparsed]
"""What makes an object of the class of what was said, if that can be done."""


class _Judged(Generic[T]):
    """The base of answers that can be parsed."""

    is_whole: bool = True
    _judge: Judge[Any] | None = None
    _parsed: object = None

    def judged_by(self, judge: Judge[T], *, is_whole: bool) -> Self:
        """Return this answer with its class, and whether it is final. Internal."""
        self._judge, self.is_whole = judge, is_whole
        return self

    @property
    def parsed(self) -> T | Unparsed:
        """The answer as an object of the class, or why it is none. Made when it is first asked for."""
        if self._parsed is None:
            assert self._judge is not None
            self._parsed = self._judge(self.said())
        return cast("T | Unparsed", self._parsed)

    def said(self) -> Said:
        """Return the text to be parsed. Internal."""
        raise NotImplementedError


class ParsedChatCompletion(ChatCompletion, _Judged[T]):
    """A chat completion that was asked for with `response_format=` a class.

    Attributes:
        parsed: the answer (choice 0) as an object of the class, or an `Unparsed` that says why it is none.
        is_whole: whether nothing can follow.
    """

    def said(self) -> Said:
        """Return the text to be parsed. Internal."""
        choice = next((choice for choice in self.choices if not choice.index), None)
        if choice is None:
            return Said(stopped=None if self.is_whole else "unfinished")
        message, reason = choice.message, choice.finish_reason
        is_over = self.is_whole or reason is not None
        return Said(_text(message.content), _text(message.refusal) or None, _stop(reason) if is_over else "unfinished")


class ParsedResponse(Response, _Judged[T]):
    """A response that was asked for with `text_format=` a class.

    Attributes:
        parsed: the answer (the last text of the last message) as an object of the class, or an `Unparsed`.
        is_whole: whether nothing can follow.
    """

    def said(self) -> Said:
        """Return the text to be parsed. Internal."""
        messages = [item for item in self.output if isinstance(item, ResponseOutputMessage)]
        parts = messages[-1].content if messages else []
        texts = [part.text for part in parts if isinstance(part, ResponseOutputText)]
        refusals = [part.refusal for part in parts if isinstance(part, ResponseOutputRefusal)]
        return Said(_text(texts[-1]) if texts else "", "".join(map(_text, refusals)) or None, self._stopped())

    def _stopped(self) -> Reason | None:
        if self.status in ("failed", "cancelled"):
            return "failed"
        if self.incomplete_details is not None:
            return _stop(self.incomplete_details.reason) or "unfinished"
        is_over = self.status == "completed" or (self.is_whole and self.status != "incomplete")
        return None if is_over else "unfinished"


_STOPS: dict[str, Reason] = {
    "length": "length",
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}


def _stop(reason: object) -> Reason | None:
    return _STOPS.get(reason) if isinstance(reason, str) else None


def _text(value: object) -> str:
    """Return a field that should be a string, whatever the server sent."""
    return value if isinstance(value, str) else ""
