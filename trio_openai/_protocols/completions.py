"""Completions, the endpoint without a chat: text in pieces, by choice.

The rules are those of `snapshot_chat.py`, where they apply: choices by `index`, the last finish reason that is not
empty, the last usage that is not all zero, of unknown fields the last value.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from trio_openai._wire.json import is_array, is_object, objects_in
from trio_openai._wire.protocol import Ending, ending_beside_choices
from trio_openai._wire.text import join_text
from trio_openai.errors import APIError
from trio_openai.types._fields import hook_for
from trio_openai.types._raw import Raw
from trio_openai.types.completions import Completion

from .chat.choice import copied, keep_joined, keep_last

_NOT_EMPTY = ("id", "created", "model", "object", "system_fingerprint")
_OF_CHOICE = ("index", "text", "finish_reason", "logprobs")


class _LegacyChoice:
    """One choice being added up.

    Attributes:
        texts: pieces of its text.
        is_finished: it has its finish reason, and no text has come since.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.finish_reason: str | None = None
        self.is_finished = False
        self._logprobs: Raw = {}
        self._extra: Raw = {}

    def add(self, choice: Raw) -> str:
        """Fold a piece in; return its text."""
        text = choice.get("text")
        if type(text) is str and text:
            self.texts.append(text)
            self.is_finished = False
        if reason := choice.get("finish_reason"):
            self.finish_reason = reason
            self.is_finished = True
        if is_object(logprobs := choice.get("logprobs")):
            for name, values in logprobs.items():
                keep_joined(self._logprobs, name, values)
        for key, value in choice.items():
            if key not in _OF_CHOICE:
                keep_last(self._extra, key, value)
        return text if type(text) is str else ""

    def as_raw(self, index: int) -> Raw:
        """Return the choice so far, as a JSON object that later pieces do not change."""
        raw = {"index": index, "text": join_text(self.texts), "finish_reason": self.finish_reason, **self._extra}
        return {**raw, "logprobs": copied(self._logprobs)} if self._logprobs else raw


class CompletionProtocol:
    """Completions: ends with `[DONE]`, or with the body once every choice has its finish reason.

    Args:
        choices: how many choices were asked for.
    """

    def __init__(self, choices: int = 1) -> None:
        self.text = ""
        self._expected = choices
        self._choices: dict[int, _LegacyChoice] = {}
        self._head: Raw = {"object": "text_completion"}
        self._usage: Raw | None = None
        self.has_content = False
        self._hook: Callable[[Raw, object], Completion] = hook_for(Completion)

    def event(self, raw: Raw, name: str) -> Completion | Ending[Completion]:
        event = self._hook(raw, None)
        return ending_beside_choices(raw, name, event) or event

    def add(self, events: list[Completion]) -> None:
        for event in events:
            self._add(event.raw)

    def _add(self, raw: Raw) -> None:
        self.text = ""
        for choice in objects_in(raw.get("choices")):
            index = given if type(given := choice.get("index")) is int else 0
            text = self._choices.setdefault(index, _LegacyChoice()).add(choice)
            self.has_content = self.has_content or bool(text)
            self.text += text if index == 0 else ""
        for key, value in raw.items():
            if key not in ("choices", "usage") and (value or key not in _NOT_EMPTY):
                keep_last(self._head, key, value)
        if is_object(usage := raw.get("usage")) and (usage.get("total_tokens") or usage.get("completion_tokens")):
            self._usage = usage

    def is_answer(self, raw: Raw) -> bool:
        return any(type(choice.get("text")) is str for choice in objects_in(raw.get("choices")))

    def knows(self, name: str) -> bool:
        return name == "text_completion"

    def whole_without_end(self) -> bool:
        done = [choice.is_finished for choice in self._choices.values()]
        return len(done) >= self._expected and all(done)

    @property
    def reason(self) -> str | None:
        return self._choices[min(self._choices)].finish_reason if self._choices else None

    @property
    def usage(self) -> object:
        return self._usage

    def failure(self) -> APIError | None:
        return None

    def snapshot(self) -> Completion:
        choices = [self._choices[index].as_raw(index) for index in sorted(self._choices)]
        raw = {**self._head, "choices": choices}
        return self._hook(raw if self._usage is None else {**raw, "usage": self._usage}, None)

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
