"""The parameters of the endpoints that never stream: stored objects, files, batches, moderations, translations.

They follow the rules of `params.py`, which also explains why the annotations are no strings.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Required

from .params import CallParams, FileInput, JSONObject, PageParams

if TYPE_CHECKING:
    from .input_params import ResponseConversationParam, ResponseInputItemParam
    from .tool_params import Reasoning, ResponseTextConfigParam, ToolChoice, ToolParam

# ---------------------------------------------------------------------------------------- responses, conversations


class ResponseCompactParams(CallParams, total=False):
    """The parameters of `responses.compact`."""

    model: Required[str]
    image: JSONObject
    input: "str | Iterable[ResponseInputItemParam] | None"
    instructions: str | None
    previous_response_id: str | None
    prompt_cache_key: str | None
    prompt_cache_options: JSONObject | None
    prompt_cache_retention: str | None
    service_tier: str | None


class InputTokenCountParams(CallParams, total=False):
    """The parameters of `responses.input_tokens.count`."""

    conversation: "str | ResponseConversationParam | None"
    input: "str | Iterable[ResponseInputItemParam] | None"
    instructions: str | None
    model: str | None
    parallel_tool_calls: bool | None
    personality: str
    previous_response_id: str | None
    reasoning: "Reasoning | None"
    text: "ResponseTextConfigParam | None"
    tool_choice: "str | ToolChoice | None"
    tools: "Iterable[ToolParam | Callable[..., Any]] | None"
    truncation: str


class ConversationCreateParams(CallParams, total=False):
    """The parameters of `conversations.create`."""

    items: "Iterable[ResponseInputItemParam] | None"
    metadata: Mapping[str, str] | None


class ConversationUpdateParams(CallParams, total=False):
    """The parameters of `conversations.update`."""

    metadata: Required[Mapping[str, str]]


class ConversationItemCreateParams(CallParams, total=False):
    """The parameters of `conversations.items.create`. `include` is sent in the URL."""

    items: Required["Iterable[ResponseInputItemParam]"]
    include: Sequence[str]


class ConversationItemRetrieveParams(CallParams, total=False):
    """The parameters of `conversations.items.retrieve`."""

    include: Sequence[str]


class ConversationItemListParams(PageParams, total=False):
    """The parameters of `conversations.items.list`."""

    include: Sequence[str]


# ---------------------------------------------------------------------------------------------------- files, batches


class FileCreateParams(CallParams, total=False):
    """The parameters of `files.create`. `file` is read while it is sent."""

    file: Required[FileInput]
    purpose: Required[str]
    expires_after: JSONObject


class FileListParams(PageParams, total=False):
    """The parameters of `files.list`."""

    purpose: str


class BatchCreateParams(CallParams, total=False):
    """The parameters of `batches.create`."""

    completion_window: Required[str]
    endpoint: Required[str]
    input_file_id: Required[str]
    metadata: Mapping[str, str] | None
    output_expires_after: JSONObject


class BatchListParams(CallParams, total=False):
    """The parameters of `batches.list`."""

    after: str
    limit: int


# ------------------------------------------------------------------------------------------- moderations, translations


class ModerationCreateParams(CallParams, total=False):
    """The parameters of `moderations.create`."""

    input: Required[str | Iterable[str] | Iterable[Mapping[str, Any]]]
    model: str


class TranslationParams(CallParams, total=False):
    """The parameters of `audio.translations`, except `response_format`. `file` is read while it is sent."""

    file: Required[FileInput]
    model: Required[str]
    prompt: str
    temperature: float


class TranslationCreateParams(TranslationParams, total=False):
    """The parameters of `audio.translations`."""

    response_format: str
