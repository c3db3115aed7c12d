"""Chat Completions: what the chunks so far add up to.

Rules, where servers differ:

* choices are told apart by `index` (0 if there is none), in any order;
* of tool calls, `tool_calls.py` says which piece belongs to which;
* the role is the first one; the finish reason is the last that is not null or empty;
* the last usage that is not all zero wins, wherever it stood (a chunk with choices, one of its own, `x_groq`); null
  never erases it;
* content as a list of parts (Mistral) is its text, and the `thinking` parts are reasoning;
* text is kept in pieces and joined when somebody looks, so a stream costs O(n).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trio_openai.types._base import Raw
from trio_openai.types.chat import (
    Annotation,
    Audio,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    ChatCompletionTokenLogprob,
    Choice,
    ChoiceLogprobs,
    CompletionUsage,
    Function,
)

from .convert import hook_for
from .json import encode_text, is_array, is_object, objects_in
from .tool_calls import Pieces, ToolCalls


class ChatSnapshot:
    """Adds chunks up. `add` folds some in; `snapshot` builds the completion so far.

    Attributes:
        text: what the last chunk added to the text of choice 0.
    """

    def __init__(self) -> None:
        self.text = ""
        self._head = ChatCompletion(object="chat.completion")
        self._choices: dict[int, _Choice] = {}

    def add(self, chunks: list[ChatCompletionChunk]) -> None:
        """Fold in one chunk or more, in the order in which they came."""
        text = ""
        for chunk in chunks:
            raw, text = chunk.raw, ""
            choices: list[Raw] | None = raw.get("choices")
            if type(choices) is list:
                for choice in choices:
                    if type(choice) is dict:
                        text += self._choice(choice).add(choice)
            if not choices or raw.get("usage") or "x_groq" in raw or "moderation" in raw:
                self._add_usage(raw)
        self.text = text
        self._add_head(chunks)

    def _add_head(self, chunks: list[ChatCompletionChunk]) -> None:
        """What describes the whole completion: of some fields the first value counts, of some the last."""
        head = self._head
        if not (head.id and head.model and head.created):
            for raw in (chunk.raw for chunk in chunks):
                head.id = head.id or raw.get("id", head.id)
                head.model = head.model or raw.get("model", head.model)
                head.created = head.created or raw.get("created", head.created)
        head.system_fingerprint = _last(chunks, "system_fingerprint") or head.system_fingerprint
        head.service_tier = _last(chunks, "service_tier") or head.service_tier

    @property
    def has_content(self) -> bool:
        """Whether anything that the model produced has arrived."""
        return any(choice.has_content for choice in self._choices.values())

    def unfinished(self, expected: int) -> bool:
        """Whether one of the choices seen, or of the `expected` number of them, has no finish reason yet."""
        done = [c.finish_reason is not None for c in self._choices.values()]
        return len(done) < expected or not all(done)

    @property
    def finish_reason(self) -> str | None:
        """That of the first choice."""
        return self._choices[min(self._choices)].finish_reason if self._choices else None

    @property
    def pieces(self) -> list[str]:
        """The text of choice 0, in a list that grows."""
        choice = self._choices.get(0)
        return choice.texts["content"] if choice else []

    @property
    def usage(self) -> Raw | None:
        """The usage so far, as it was sent."""
        return self._head.usage.raw if self._head.usage else None

    def snapshot(self) -> ChatCompletion:
        """The completion so far, an object of its own: later chunks do not change it."""
        head = self._head
        return ChatCompletion(
            id=head.id,
            choices=[self._choices[i].build() for i in sorted(self._choices)],
            created=head.created,
            model=head.model,
            object=head.object,
            usage=head.usage,
            service_tier=head.service_tier,
            system_fingerprint=head.system_fingerprint,
            moderation=head.moderation,
            prompt_filter_results=head.prompt_filter_results,
        )

    def as_chunk(self) -> Raw:
        """The one chunk that says of texts and calls what all chunks have said."""
        return {"choices": [choice.as_delta() for choice in self._choices.values()]}

    def _choice(self, raw: Raw) -> _Choice:
        index = raw.get("index")
        if type(index) is not int:
            index = 0
        return self._choices.get(index) or self._choices.setdefault(index, _Choice(index))

    def _add_usage(self, raw: Raw) -> None:
        chunk: ChatCompletionChunk = hook_for(ChatCompletionChunk)(raw, None)
        usage = chunk.usage
        if usage is None and is_object(groq := raw.get("x_groq")) and is_object(inner := groq.get("usage")):
            usage = hook_for(CompletionUsage)(inner, None)
        if usage is not None and (usage.total_tokens or usage.completion_tokens or usage.prompt_tokens):
            self._head.usage = usage
        if chunk.moderation is not None:
            self._head.moderation = chunk.moderation
        if chunk.prompt_filter_results:
            self._head.prompt_filter_results = chunk.prompt_filter_results


class _Choice:
    """One choice being added up. The fields of a delta are folded in by the table `_FOLDS`, by their wire names."""

    __slots__ = (
        "annotations",
        "audio",
        "filtered",
        "finish_reason",
        "function_call",
        "has_content",
        "index",
        "logprobs",
        "reasoning_details",
        "role",
        "texts",
        "tool_calls",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.has_content = False
        self.role: str | None = None
        self.finish_reason: str | None = None
        self.texts: dict[str, list[str]] = {"content": []}
        self.tool_calls: ToolCalls | None = None
        self.function_call: Pieces | None = None
        self.audio: Pieces | None = None
        self.annotations: list[Raw] | None = None
        self.reasoning_details: list[Raw] | None = None
        self.logprobs: dict[str, list[ChatCompletionTokenLogprob]] | None = None
        self.filtered: Raw | None = None

    def add(self, choice: Raw) -> str:
        """Fold one delta in; return its text, if this is choice 0."""
        text = ""
        delta: Raw | None = choice.get("delta")
        logprobs: Raw | None = choice.get("logprobs")
        if type(delta) is dict:  # not by `is_object`: two calls are a good part of what this costs
            if len(delta) == 1 and type(content := delta.get("content")) is str and content:  # nearly every one
                self.texts["content"].append(text := content)
                self.has_content = True
            else:
                text = "".join([self._fold(key, value) for key, value in delta.items()])
        if reason := choice.get("finish_reason"):
            self.finish_reason = reason
        if type(logprobs) is dict:
            self._add_logprobs(hook_for(ChoiceLogprobs)(logprobs, None))
        if "content_filter_results" in choice and is_object(found := choice["content_filter_results"]):
            self.filtered = {**(self.filtered or {}), **found}
        return text if self.index == 0 else ""

    def _fold(self, key: str, value: object) -> str:
        """Fold one field of a delta in; return its text."""
        fold = _FOLDS.get(key) if value is not None else None
        return (fold(self, key, value) if fold else None) or ""

    def add_text(self, key: str, value: object) -> str | None:
        if type(value) is not str:
            return "".join([self.add_text(name, text) or "" for name, text in texts_in(key, value)])
        self.texts.setdefault(key, []).append(value)
        if value:
            self.has_content = True
        return value if key == "content" else None

    def add_role(self, _: str, value: object) -> None:
        if not self.role and type(value) is str:
            self.role = value

    def add_tool_calls(self, _: str, value: object) -> None:
        if pieces := objects_in(value):
            self.tool_calls = self.tool_calls or ToolCalls()
            for piece in pieces:
                self.tool_calls.add(piece)
            self.has_content = True

    def add_function_call(self, _: str, value: object) -> None:
        if is_object(value):
            self.function_call = self.function_call or Pieces()
            self.function_call.add(value, first=("name",), joined=("arguments",))
            self.has_content = True

    def add_audio(self, _: str, value: object) -> None:
        if is_object(value):
            self.audio = self.audio or Pieces()
            self.audio.add(value, first=("id",), joined=("data", "transcript"), last=("expires_at",))
            self.has_content = True

    def add_annotations(self, _: str, value: object) -> None:
        self.annotations = self.annotations or []
        self.annotations.extend(objects_in(value))

    def add_reasoning_details(self, _: str, value: object) -> None:
        self.reasoning_details = self.reasoning_details or []
        self.reasoning_details.extend(objects_in(value))

    def _add_logprobs(self, logprobs: ChoiceLogprobs) -> None:
        self.logprobs = self.logprobs or {}
        if logprobs.content is not None:
            self.logprobs.setdefault("content", []).extend(logprobs.content)
        if logprobs.refusal is not None:
            self.logprobs.setdefault("refusal", []).extend(logprobs.refusal)

    def as_delta(self) -> Raw:
        delta: Raw = {key: "".join(pieces) for key, pieces in self.texts.items()}
        if self.tool_calls:
            delta["tool_calls"] = self.tool_calls.as_pieces()
        if self.function_call:
            delta["function_call"] = self.function_call.as_raw()
        return {"index": self.index, "delta": delta, "finish_reason": self.finish_reason}

    def build(self) -> Choice:
        logprobs = None
        if self.logprobs is not None:
            tokens = {key: list(tokens) for key, tokens in self.logprobs.items()}
            logprobs = ChoiceLogprobs(content=tokens.get("content"), refusal=tokens.get("refusal"))
        return Choice(
            index=self.index,
            message=self._message(),
            finish_reason=self.finish_reason,
            logprobs=logprobs,
            content_filter_results=self.filtered,
        )

    def _message(self) -> ChatCompletionMessage:
        texts: dict[str, Any] = {key: "".join(pieces) for key, pieces in self.texts.items() if pieces}
        return ChatCompletionMessage(
            role=self.role or "assistant",
            tool_calls=self.tool_calls.build() if self.tool_calls else None,
            function_call=self.function_call.build(Function) if self.function_call else None,
            audio=self.audio.build(Audio) if self.audio else None,
            annotations=[hook_for(Annotation)(a, None) for a in self.annotations] if self.annotations else None,
            reasoning_details=_merged_details(self.reasoning_details) if self.reasoning_details else None,
            **texts,
        )


_FOLDS: dict[str, Callable[[_Choice, str, object], str | None]] = {
    "content": _Choice.add_text,
    "refusal": _Choice.add_text,
    "reasoning_content": _Choice.add_text,
    "reasoning": _Choice.add_text,
    "role": _Choice.add_role,
    "tool_calls": _Choice.add_tool_calls,
    "function_call": _Choice.add_function_call,
    "audio": _Choice.add_audio,
    "annotations": _Choice.add_annotations,
    "reasoning_details": _Choice.add_reasoning_details,
}


def _last(chunks: list[ChatCompletionChunk], name: str) -> Any:
    """The last value that is neither null nor empty; None if there is none."""
    for chunk in reversed(chunks):
        if value := chunk.raw.get(name):
            return value
    return None


def texts_in(key: str, value: object) -> list[tuple[str, str]]:
    """The texts in a field of a delta, each with the name of the field that it is a piece of.

    Content may be a list: `{"type": "text", "text": ...}` and `{"type": "thinking", "thinking": [texts]}`.
    """
    if type(value) is str:
        return [(key, value)]
    return [
        ("reasoning_content", "".join(map(_part_text, objects_in(thinking))))
        if is_array(thinking := part.get("thinking"))
        else (key, _part_text(part))
        for part in objects_in(value)
    ]


def _part_text(part: Raw) -> str:
    text = part.get("text")
    return text if type(text) is str else ""


def _merged_details(details: list[Raw]) -> list[Raw]:
    """OpenRouter's `reasoning_details`: pieces of one type and index are one detail; their texts are joined."""
    merged: dict[tuple[str, int | str], Raw] = {}
    texts: dict[tuple[tuple[str, int | str], str], list[str]] = {}
    for number, detail in enumerate(details):
        index = detail.get("index")
        key = encode_text(detail.get("type")), index if type(index) is int else f"#{number}"
        whole = merged.setdefault(key, {})
        for name, value in detail.items():
            if name in ("text", "summary", "data") and type(value) is str:
                texts.setdefault((key, name), []).append(value)
            elif not whole.get(name):
                whole[name] = value
    for (key, name), pieces in texts.items():
        merged[key][name] = "".join(pieces)
    return list(merged.values())
