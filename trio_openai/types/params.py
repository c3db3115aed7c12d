"""The parameters of the endpoints, once for all doors: names and types are the API's, as openai-python has them.

What the API documents as one of several words is a string here, since servers differ and the words change. What is an
object in JSON is a dictionary, or an object that the API has sent. A parameter that is in none of these goes into
`extra_body`.

The annotations are no strings (there is no `from __future__ import annotations`): `Required[...]` is not seen in one,
and to make the classes would take twice as long. The exception are types of dictionaries, whose modules only type
checkers import: to make those hundred classes takes milliseconds, and no check needs them (`_parameters.py`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Required, TypeAlias, TypedDict

from ._base import WireObject

if TYPE_CHECKING:
    from trio_openai._deadlines import Deadlines

    from .chat_params import (
        ChatCompletionAudioParam,
        ChatCompletionFunctionCallOptionParam,
        ChatCompletionMessageParam,
        ChatCompletionPredictionContentParam,
        ChatCompletionStreamOptionsParam,
        ChatCompletionToolChoiceOptionParam,
        ChatCompletionToolUnionParam,
        FunctionDefinition,
        ResponseFormat,
        WebSearchOptions,
    )
    from .input_params import ResponseConversationParam, ResponseInputItemParam, ResponsePromptParam
    from .tool_params import Reasoning, ResponseTextConfigParam, ToolChoice, ToolParam

JSONObject: TypeAlias = Mapping[str, Any] | WireObject
"""A dictionary of what JSON can say, or an object off the wire, such as the message of an earlier answer."""

FileContent: TypeAlias = Path | bytes | IO[bytes]
"""What is in a file to upload: its path, its bytes, or a file that is open in binary mode."""

FileInput: TypeAlias = FileContent | tuple[str | None, FileContent] | tuple[str | None, FileContent, str | None]
"""A file to upload: its content; or its name, content and, at will, content type in a tuple."""


class CallParams(TypedDict, total=False):
    """The parameters that every call takes.

    Attributes:
        extra_headers: added to the request's.
        extra_query: added to the URL's.
        extra_body: added to the body: what the endpoint's own parameters do not name.
        timeout: as for `TrioOpenAI`, for this call.
    """

    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    timeout: "Deadlines | float | None"


# ------------------------------------------------------------------------------------------------------ text


class ChatCompletionParsedParams(CallParams, total=False):
    """The parameters of `chat.completions`, without `response_format`."""

    model: Required[str]
    messages: Required["Iterable[ChatCompletionMessageParam]"]
    audio: "ChatCompletionAudioParam | None"
    frequency_penalty: float | None
    function_call: "str | ChatCompletionFunctionCallOptionParam"
    functions: "Iterable[FunctionDefinition]"
    logit_bias: Mapping[str, int] | None
    logprobs: bool | None
    max_completion_tokens: int | None
    max_tokens: int | None
    metadata: Mapping[str, str] | None
    modalities: Sequence[str] | None
    moderation: JSONObject | None
    n: int | None
    parallel_tool_calls: bool
    prediction: "ChatCompletionPredictionContentParam | None"
    presence_penalty: float | None
    prompt_cache_key: str | None
    prompt_cache_options: JSONObject
    prompt_cache_retention: str | None
    reasoning_effort: str | None
    safety_identifier: str | None
    seed: int | None
    service_tier: str | None
    stop: str | Sequence[str] | None
    store: bool | None
    stream_options: "ChatCompletionStreamOptionsParam | None"
    temperature: float | None
    tool_choice: "str | ChatCompletionToolChoiceOptionParam"
    tools: "Iterable[ChatCompletionToolUnionParam | Callable[..., Any]]"
    top_logprobs: int | None
    top_p: float | None
    usage: bool
    user: str
    verbosity: str | None
    web_search_options: "WebSearchOptions"


class ChatCompletionParams(ChatCompletionParsedParams, total=False):
    """The parameters of `chat.completions`. `response_format` may also be a class; see `docs/structured-outputs.md`."""

    response_format: "ResponseFormat"


class ChatCompletionEveryParams(ChatCompletionParsedParams, total=False):
    """Parameters of `chat.completions` at run time. Type checkers tell the two kinds of `response_format` apart."""

    response_format: "ResponseFormat | type[Any]"


class CompletionParams(CallParams, total=False):
    """The parameters of `completions`, the endpoint without a chat."""

    model: Required[str]
    prompt: Required[str | Iterable[str] | Iterable[int] | Iterable[Iterable[int]] | None]
    best_of: int | None
    echo: bool | None
    frequency_penalty: float | None
    logit_bias: Mapping[str, int] | None
    logprobs: int | None
    max_tokens: int | None
    n: int | None
    presence_penalty: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    stream_options: "ChatCompletionStreamOptionsParam | None"
    suffix: str | None
    temperature: float | None
    top_p: float | None
    usage: bool
    user: str


# ------------------------------------------------------------------------------------------------- responses


class ResponseParams(CallParams, total=False):
    """The parameters of `responses`. A response that uses a stored prompt needs no `model`."""

    access_programs: JSONObject
    background: bool | None
    background_options: JSONObject
    context_management: Iterable[JSONObject] | None
    conversation: "str | ResponseConversationParam | None"
    image: JSONObject
    include: Sequence[str] | None
    input: "str | Iterable[ResponseInputItemParam]"
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    metadata: Mapping[str, str] | None
    model: str
    moderation: JSONObject | None
    parallel_tool_calls: bool | None
    previous_response_id: str | None
    prompt: "ResponsePromptParam | None"
    prompt_cache_key: str | None
    prompt_cache_options: JSONObject
    prompt_cache_retention: str | None
    reasoning: "Reasoning | None"
    safety_identifier: str | None
    service_tier: str | None
    store: bool | None
    stream_options: JSONObject | None
    temperature: float | None
    text: "ResponseTextConfigParam"
    tool_choice: "str | ToolChoice"
    tools: "Iterable[ToolParam | Callable[..., Any]]"
    top_logprobs: int | None
    top_p: float | None
    truncation: str | None
    user: str


class ResponseStreamParams(ResponseParams, total=False):
    """The parameters of `responses`, streamed.

    Attributes:
        resume: take the stream up again where it broke, without a gap and without a repetition. It has to be a
            background response (`background=True`), which the server goes on with meanwhile. Not sent.
    """

    resume: bool


class ResponseParsedParams(ResponseStreamParams, total=False):
    """The parameters of `responses`, one of which is a class.

    Attributes:
        text_format: the class, made by attrs, that the answer shall be an object of. Not sent: it becomes `text`.
    """

    text_format: type[Any]


class ResponseRetrieveParams(CallParams, total=False):
    """The parameters of `responses.retrieve`.

    Attributes:
        include_obfuscation: of a stream: whether its events are padded to hide their lengths.
        starting_after: of a stream: the `sequence_number` of the last event that need not be sent.
    """

    include: Sequence[str]
    include_obfuscation: bool
    starting_after: int


class PageParams(CallParams, total=False):
    """The parameters of a list that comes in pages.

    Attributes:
        after: the id of the item after which to begin.
        limit: items in a page.
        order: `asc` or `desc`.
    """

    after: str
    limit: int
    order: str


class ChatCompletionListParams(PageParams, total=False):
    """The parameters of `chat.completions.list`: only completions with this metadata and model are listed."""

    metadata: Mapping[str, str] | None
    model: str


class ChatCompletionUpdateParams(CallParams, total=False):
    """The parameters of `chat.completions.update`."""

    metadata: Required[Mapping[str, str]]


class InputItemListParams(PageParams, total=False):
    """The parameters of `responses.input_items.list`."""

    include: Sequence[str]


# --------------------------------------------------------------------------------------------- images, audio


class ImageGenerateParams(CallParams, total=False):
    """The parameters of `images.generate`."""

    prompt: Required[str]
    background: str | None
    complexity: str | None
    frame_count: int | None
    frame_duration_ms: int | None
    model: str | None
    moderation: str | None
    n: int | None
    output_compression: int | None
    output_format: str | None
    partial_images: int | None
    quality: str | None
    response_format: str | None
    safety_identifier: str | None
    size: str | None
    style: str | None
    svg: JSONObject | None
    user: str


class ImageEditParams(CallParams, total=False):
    """The parameters of `images.edit`. `image`, `markup` and `mask` are files, which are read while they are sent."""

    prompt: Required[str]
    image: Required[FileInput | Sequence[FileInput]]
    background: str | None
    complexity: str | None
    frame_count: int | None
    frame_duration_ms: int | None
    input_fidelity: str | None
    markup: FileInput
    mask: FileInput
    model: str | None
    n: int | None
    output_compression: int | None
    output_format: str | None
    partial_images: int | None
    quality: str | None
    response_format: str | None
    safety_identifier: str | None
    size: str | None
    svg: JSONObject | None
    user: str


class TranscriptionParams(CallParams, total=False):
    """The parameters of `audio.transcriptions`, without `response_format`. `file` is read while it is sent."""

    file: Required[FileInput]
    model: Required[str]
    chunking_strategy: str | JSONObject | None
    include: Sequence[str]
    keywords: Sequence[str]
    known_speaker_names: Sequence[str]
    known_speaker_references: Sequence[str]
    language: str
    languages: Sequence[str]
    prompt: str
    temperature: float
    timestamp_granularities: Sequence[str]


class TranscriptionStreamParams(TranscriptionParams, total=False):
    """The parameters of `audio.transcriptions`."""

    response_format: str


class SpeechParams(CallParams, total=False):
    """The parameters of `audio.speech`."""

    input: Required[str]
    model: Required[str]
    voice: Required[str | JSONObject]
    instructions: str
    response_format: str
    speed: float


# ---------------------------------------------------------------------------------------------------- others


class EmbeddingParams(CallParams, total=False):
    """The parameters of `embeddings.create`.

    Attributes:
        encoding_format: `float` or `base64`; if it is left out, the vectors travel as the latter, which is shorter,
            and are lists of numbers all the same.
    """

    input: Required[str | Iterable[str] | Iterable[int] | Iterable[Iterable[int]]]
    model: Required[str]
    dimensions: int
    encoding_format: str
    user: str
