"""Chat Completions: the chunks of a stream, the whole completion, and what both hold.

Field names are the API's. Fields that only compatible servers send and that programs read (`reasoning_content`,
`reasoning`, `reasoning_details`) stand beside them; all others are in `raw`.
"""

from __future__ import annotations

from typing import Any

import attrs

from ._base import WireObject, wire
from ._raw import Raw

_new = object.__new__  # makes an object without its `__init__`


@wire
class PromptTokensDetails(WireObject):
    """The prompt's tokens by kind."""

    audio_tokens: int | None = None
    cache_write_tokens: int | None = None
    cached_tokens: int | None = None
    image_tokens: int | None = None
    text_tokens: int | None = None


@wire
class CompletionTokensDetails(WireObject):
    """The completion's tokens by kind."""

    accepted_prediction_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    rejected_prediction_tokens: int | None = None
    text_tokens: int | None = None


@wire
class CompletionUsage(WireObject):
    """Tokens used by one request."""

    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0
    completion_tokens_details: CompletionTokensDetails | None = None
    prompt_tokens_details: PromptTokensDetails | None = None


@wire
class TopLogprob(WireObject):
    """One of the most likely tokens at a position."""

    token: str | None = None
    bytes: list[int] | None = None
    logprob: float | None = None


@wire
class ChatCompletionTokenLogprob(WireObject):
    """A token with its log probability and its rivals."""

    token: str | None = None
    bytes: list[int] | None = None
    logprob: float | None = None
    top_logprobs: list[TopLogprob] = attrs.field(factory=list[TopLogprob])


@wire
class ChoiceLogprobs(WireObject):
    """Log probabilities of the tokens of the content and of the refusal."""

    content: list[ChatCompletionTokenLogprob] | None = None
    refusal: list[ChatCompletionTokenLogprob] | None = None


@wire
class Function(WireObject):
    """A function's name and its arguments, JSON text as the model wrote it. In a delta, either may be a piece."""

    name: str | None = None
    arguments: str | None = None


@wire
class CustomTool(WireObject):
    """A custom tool's name and its free-form input."""

    name: str | None = None
    input: str | None = None


@wire
class ToolCallDelta(WireObject):
    """A piece of a tool call. `index` says of which; some servers leave it out and send a new `id` instead."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function = attrs.field(factory=Function)
    custom: CustomTool | None = None


@wire
class ToolCall(WireObject):
    """A whole tool call. `function` is None if a custom tool is called, which `custom` describes then."""

    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: CustomTool | None = None

    def __attrs_post_init__(self) -> None:
        if self.function is None and self.custom is None and self.type != "custom":
            self.function = Function()


@wire
class Audio(WireObject):
    """Audio of an answer: base64 `data` (in a delta, a piece), its transcript, and when it expires (Unix seconds)."""

    id: str | None = None
    data: str | None = None
    expires_at: int | None = None
    transcript: str | None = None


@wire
class UrlCitation(WireObject):
    """The source of a stretch of the content, in characters from `start_index` to `end_index`."""

    end_index: int | None = None
    start_index: int | None = None
    title: str | None = None
    url: str | None = None


@wire
class Annotation(WireObject):
    """A remark on the content; so far always a citation."""

    type: str | None = None
    url_citation: UrlCitation | None = None


@wire
class ChoiceDelta(WireObject):
    """The addition of one chunk to one choice.

    `content` is text; Mistral's reasoning models send a list of parts instead, which is then what stands here.
    """

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallDelta] | None = None
    function_call: Function | None = None
    audio: Audio | None = None
    annotations: list[Annotation] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Raw] | None = None


@wire
class ChunkChoice(WireObject):
    """One choice's part of a chunk. `delta` is always there, empty if the server sent none.

    The content filter's fields are Azure's: what it found, by category, and where.
    """

    index: int | None = None
    delta: ChoiceDelta = attrs.field(factory=ChoiceDelta)
    finish_reason: str | None = None
    logprobs: ChoiceLogprobs | None = None
    content_filter_results: Raw | None = None
    content_filter_offsets: Raw | None = None


def read_choices(raw: Raw) -> list[ChunkChoice]:
    """Read `choices` as the general readers do, and in the same step the delta and the content of each.

    Nearly every program reads these three for every chunk. Together they cost 0.7 µs, and 1.6 one after the other.
    """
    choices: list[ChunkChoice] = []
    found: Any = raw.get("choices")
    for item in found if found.__class__ is list else ():
        if item.__class__ is dict:  # pyright would narrow `type(item)` to a dict of unknown types
            choice = _new(ChunkChoice)
            choice.raw = item
            said: Any = item.get("delta")
            if said.__class__ is dict:
                choice.delta = delta = _new(ChoiceDelta)
                delta.raw = said
                delta.content = said.get("content")
            choices.append(choice)
    return choices


@wire
class ChatCompletionChunk(WireObject):
    """One event of a Chat Completions stream. Azure's first one has no choices, and `prompt_filter_results`."""

    id: str | None = None
    choices: list[ChunkChoice] = attrs.field(factory=list[ChunkChoice], metadata={"read": read_choices})
    created: int | None = None
    model: str | None = None
    object: str | None = None
    usage: CompletionUsage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    obfuscation: str | None = None
    moderation: Any = None
    prompt_filter_results: list[Raw] | None = None


@wire
class ChatCompletionMessage(WireObject):
    """The model's message, whole.

    `content` is text; where the deltas were lists of parts, it is their text, and what they called thinking is
    `reasoning_content`.
    """

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: Audio | None = None
    annotations: list[Annotation] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Raw] | None = None


@wire
class Choice(WireObject):
    """One answer of the model, whole. `finish_reason` is None while it is not finished.

    `content_filter_results` is Azure's: what its filter found, by category; of a stream, what it last said of each.
    """

    index: int | None = None
    message: ChatCompletionMessage = attrs.field(factory=ChatCompletionMessage)
    finish_reason: str | None = None
    logprobs: ChoiceLogprobs | None = None
    content_filter_results: Raw | None = None


@wire
class ChatCompletion(WireObject):
    """A whole chat completion: what `create()` answers, and what a stream's chunks add up to."""

    id: str | None = None
    choices: list[Choice] = attrs.field(factory=list[Choice])
    created: int | None = None
    model: str | None = None
    object: str | None = None
    usage: CompletionUsage | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    moderation: Any = None
    metadata: Raw | None = None
    prompt_filter_results: list[Raw] | None = None

    @property
    def text(self) -> str:
        """The text of choice 0. It is empty if that choice has none, for example because it calls tools."""
        content = next((choice.message.content for choice in self.choices if not choice.index), None)
        return content if isinstance(content, str) else ""
