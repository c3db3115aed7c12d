"""Completions, the endpoint without a chat: text in pieces, by choice.

The rules are those of `snapshot_chat.py`, where they apply: choices by `index`, the last finish reason that is not
empty, the last usage that is not all zero.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from trio_openai.errors import APIError
from trio_openai.types._base import Raw
from trio_openai.types.completions import Completion, CompletionChoice, CompletionLogprobs

from .convert import hook_for
from .dialects import Reported
from .failures import api_error
from .json import is_array, is_object, objects_in
from .usage import used_tokens

_HEAD = ("id", "created", "model", "object", "system_fingerprint")


class _Choice:
    """One choice being added up."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.finish_reason: str | None = None
        self.logprobs: dict[str, list[object]] = {}

    def add(self, choice: Raw) -> str:
        """Fold a piece in; return its text."""
        text = choice.get("text")
        if type(text) is str and text:
            self.texts.append(text)
        if reason := choice.get("finish_reason"):
            self.finish_reason = reason
        if is_object(logprobs := choice.get("logprobs")):
            for name, values in logprobs.items():
                if is_array(values):
                    self.logprobs.setdefault(name, []).extend(values)
        return text if type(text) is str else ""

    def build(self, index: int) -> CompletionChoice:
        """The choice so far, an object of its own."""
        logprobs = {name: list(values) for name, values in self.logprobs.items()}
        return CompletionChoice(
            index=index,
            text="".join(self.texts),
            finish_reason=self.finish_reason,
            logprobs=hook_for(CompletionLogprobs)(logprobs, None) if logprobs else None,
        )


class CompletionDialect:
    """Completions: ends with `[DONE]`, or with the body once every choice has its finish reason.

    Args:
        choices: how many choices were asked for.
    """

    ended = False  # only `[DONE]` and the end of the body say so

    def __init__(self, choices: int = 1) -> None:
        self.text = ""
        self._expected = choices
        self._choices: dict[int, _Choice] = {}
        self._head = Completion(object="text_completion")
        self._hook: Callable[[Raw, object], Completion] = hook_for(Completion)

    def ordinary(self, raw: Raw) -> None:
        """None is decoded ahead: this endpoint is seldom used."""

    def add(self, events: list[Completion]) -> None:
        """Each has been added up when it was made, which is when it is handed out."""

    @property
    def has_content(self) -> bool:
        return any(choice.texts for choice in self._choices.values())

    def event(self, raw: Raw, name: str) -> Completion:  # noqa: ARG002
        event, head = self._hook(raw, None), self._head
        for field in _HEAD:
            if value := raw.get(field):
                setattr(head, field, value)
        if (usage := event.usage) is not None and (usage.total_tokens or usage.completion_tokens):
            head.usage = usage
        self.text = ""
        for choice in objects_in(raw.get("choices")):
            index = given if type(given := choice.get("index")) is int else 0
            text = self._choices.setdefault(index, _Choice()).add(choice)
            self.text += text if index == 0 else ""
        return event

    def error(self, raw: Raw, name: str) -> Reported | None:
        """An `error` member, an `error` message, or an object that is one (vLLM)."""
        if raw.get("error") or name == "error" or "error" in (raw.get("object"), raw.get("type")):
            return Reported(api_error(APIError, raw), is_event=bool(raw.get("choices")))
        return None

    def whole_without_end(self) -> bool:
        done = [choice.finish_reason is not None for choice in self._choices.values()]
        return len(done) >= self._expected and all(done)

    @property
    def reason(self) -> str | None:
        return self._choices[min(self._choices)].finish_reason if self._choices else None

    @property
    def tokens(self) -> int | None:
        return used_tokens(self._head.usage.raw) if self._head.usage else None

    def failure(self) -> APIError | None:
        return None

    def snapshot(self) -> Completion:
        head = self._head
        return Completion(
            id=head.id,
            choices=[self._choices[index].build(index) for index in sorted(self._choices)],
            created=head.created,
            model=head.model,
            object=head.object,
            system_fingerprint=head.system_fingerprint,
            usage=head.usage,
        )

    def resume_path(self) -> str | None:
        return None

    def delta_of(self, event: Completion) -> tuple[Hashable, str] | None:
        choices = event.raw.get("choices")
        if event.raw.get("usage") or not (is_array(choices) and len(choices) == 1 and is_object(choices[0])):
            return None
        choice = choices[0]
        says_more = any(value for key, value in choice.items() if key not in ("index", "text"))
        text, index = choice.get("text"), choice.get("index")
        return (index, text) if type(text) is str and type(index) is int and not says_more else None

    def with_delta(self, event: Completion, text: str) -> Completion:
        return self._hook({**event.raw, "choices": [{**event.raw["choices"][0], "text": text}]}, None)
