"""Answers that were asked for in the shape of a class: the whole answer with `parsed`, and what stands there if not.

How a class becomes a schema, and a text an object of the class, is said in `_protocols/structured/schema.py` and
`_protocols/structured/answer_format.py`; an object here is given that as a function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeAlias, TypeVar, cast

import attrs

from ._base import wire
from .chat import ChatCompletion, ChatCompletionMessage, Choice
from .response_items import ResponseOutputMessage, ResponseOutputRefusal, ResponseOutputText
from .responses import Response

T = TypeVar("T")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)

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

    if not TYPE_CHECKING:  # with `__getattr__`, type checkers would accept any name

        def __getattr__(self, name: str) -> Any:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_") and name not in ("reason", "text", "refusal", "problems"):
                message += f", since there is no object ({self}): test `if parsed:` first"
            raise AttributeError(message, name=name, obj=self)


@attrs.frozen
class Said:
    """The text of an answer, and the reason why it stopped if it did not reach its own end."""

    text: str = ""
    refusal: str | None = None
    stopped: Reason | None = None


Judge: TypeAlias = Callable[[Said], T | Unparsed]
"""What makes an object of the class of what was said, if that can be done."""


@attrs.frozen
class AnswerAttempt(Generic[AnswerT_co]):
    """One of the answers to a call with `ask_again`.

    Attributes:
        answer: The complete answer, with its `usage`.
        error: The reason why it has no object, in words, or None if it has one. `answer.parsed` has the details.
    """

    answer: AnswerT_co
    error: str | None


class _Judged(Generic[T]):
    """The base of answers that can be parsed."""

    is_whole: bool = True
    _judge: Judge[Any] | None = None
    _parsed: object = None
    _earlier: tuple[AnswerAttempt[Any], ...] = ()

    def judged_by(self, judge: Judge[T], *, is_whole: bool) -> Self:
        """Return this answer with its class, and whether it is final. Internal."""
        self._judge, self.is_whole = judge, is_whole
        return self

    @property
    def parsed(self) -> T | Unparsed:
        """The answer as an object of the class, or why it is none. Made when it is first asked for."""
        if self._judge is None:  # a program has made this object
            return Unparsed("unfinished")
        if self._parsed is None:
            self._parsed = self._judge(self.said())
        return cast("T | Unparsed", self._parsed)

    @property
    def attempts(self) -> tuple[AnswerAttempt[Self], ...]:
        """All answers to this call, the last of which is this one. There are several only with `ask_again`."""
        parsed = self.parsed
        return *self._earlier, AnswerAttempt(self, str(parsed) if isinstance(parsed, Unparsed) else None)

    def asked_after(self, earlier: tuple[AnswerAttempt[Any], ...]) -> None:
        """Record the attempts before this answer. Internal."""
        self._earlier = earlier

    def said(self) -> Said:
        """Return the text to be parsed. Internal."""
        raise NotImplementedError


class ParsedChatCompletionMessage(ChatCompletionMessage, Generic[T]):
    """The message of a choice that was requested with `response_format=` a class."""

    _judge: Judge[Any] | None = None
    _stopped: Reason | None = None
    _parsed: object = None

    @property
    def parsed(self) -> T | None:
        """The answer as an object of the class, or None. For choice 0, `completion.parsed` has the reason."""
        made = self.outcome()
        return None if isinstance(made, Unparsed) else cast("T", made)

    def outcome(self) -> object:
        """Return the object, or an `Unparsed` with the reason why there is none. Internal."""
        if self._judge is None:
            return Unparsed("unfinished")
        if self._parsed is None:
            self._parsed = self._judge(self.said())
        return self._parsed

    def said(self) -> Said:
        """Return the text to be parsed. Internal."""
        return Said(_text(self.content), _text(self.refusal) or None, self._stopped)

    def judged_by(self, judge: Judge[Any] | None, stopped: Reason | None) -> None:
        """Give this message its class, and the reason why it stopped early. Internal."""
        self._judge, self._stopped = judge, stopped


@wire
class ParsedChoice(Choice, Generic[T]):
    """A choice that was requested with `response_format=` a class. Its `message` has `parsed`."""

    if TYPE_CHECKING:
        message: ParsedChatCompletionMessage[T] = attrs.field(  # pyright: ignore[reportIncompatibleVariableOverride]
            factory=ParsedChatCompletionMessage[T]
        )
    else:  # the fields of wire objects are read by their annotations, which are no generic aliases
        message: ParsedChatCompletionMessage = attrs.field(factory=ParsedChatCompletionMessage)


class ParsedChatCompletion(ChatCompletion, _Judged[T]):
    """A chat completion that was asked for with `response_format=` a class.

    Attributes:
        choices: the choices. The `message` of each has its own `parsed`, which is an object of the class or None.
        parsed: the answer (choice 0) as an object of the class, or an `Unparsed` that says why it is none.
        is_whole: whether nothing can follow.
    """

    if TYPE_CHECKING:
        choices: list[ParsedChoice[T]]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleVariableOverride]
    else:
        choices: list[ParsedChoice]

        def __getattr__(self, name: str) -> Any:
            value = self._read_field(name)
            if name == "choices":
                for choice in value:
                    choice.message.judged_by(self._judge, self._stopped(choice))
            return value

    @property
    def parsed(self) -> T | Unparsed:
        """The answer as an object of the class, or why it is none. Made when it is first asked for."""
        message = getattr(self._first(), "message", None)
        if isinstance(message, ParsedChatCompletionMessage):  # so that both give the same object
            return cast("T | Unparsed", cast("ParsedChatCompletionMessage[T]", message).outcome())
        return super().parsed

    def said(self) -> Said:
        """Return the text to be parsed. Internal."""
        choice = self._first()
        if choice is None:
            return Said(stopped=None if self.is_whole else "unfinished")
        message = choice.message
        return Said(_text(message.content), _text(message.refusal) or None, self._stopped(choice))

    def _first(self) -> Choice | None:
        return next((choice for choice in self.choices if not choice.index), None)

    def _stopped(self, choice: Choice) -> Reason | None:
        is_over = self.is_whole or choice.finish_reason is not None
        return _stop(choice.finish_reason) if is_over else "unfinished"


class ParsedResponse(Response, _Judged[T]):
    """A response that was asked for with `text_format=` a class.

    Attributes:
        parsed: the answer (the last text of the last message) as an object of the class, or an `Unparsed`.
        is_whole: whether nothing can follow.
    """

    @property
    def output_parsed(self) -> T | None:
        """The answer as an object of the class, or None; `parsed` has the reason."""
        made = self.parsed
        return None if isinstance(made, Unparsed) else made

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
