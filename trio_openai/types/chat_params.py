"""The dictionaries that a chat completion request is made of: messages, their parts, tools and formats.

The names are those of openai-python. Everything here is a `TypedDict` or a union of such, so a type checker finds a
misspelled key. At run time these are plain dictionaries, and nothing checks their keys.

Some text fields also accept None, where openai-python does not: a value of a result, such as `call.id`, may be None in
our types, and it can be sent back as it is.

The annotations are no strings, for the reason that `params.py` gives.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Required, TypeAlias, TypedDict

from ._base import WireObject
from ._raw import JSONDict

# ----------------------------------------------------------------------------------------------- content parts


class PromptCacheBreakpoint(TypedDict, total=False):
    """A place up to which the prompt is cached."""

    mode: Required[Literal["explicit"]]
    ttl: Literal["30m", "12h"]


class ChatCompletionContentPartTextParam(TypedDict, total=False):
    """Text, as a part of a message."""

    text: Required[str]
    type: Required[Literal["text"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ImageURL(TypedDict, total=False):
    """The place of an image: a URL, or a `data:` URL that contains it."""

    url: Required[str]
    detail: Literal["auto", "low", "high", "original"]


class ChatCompletionContentPartImageParam(TypedDict, total=False):
    """An image, as a part of a message."""

    image_url: Required[ImageURL]
    type: Required[Literal["image_url"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class InputAudio(TypedDict, total=False):
    """A sound in base64, and its format."""

    data: Required[str]
    format: Required[Literal["wav", "mp3"]]


class ChatCompletionContentPartInputAudioParam(TypedDict, total=False):
    """A sound, as a part of a message."""

    input_audio: Required[InputAudio]
    type: Required[Literal["input_audio"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class FileFile(TypedDict, total=False):
    """A file: its id if it has been uploaded, or its content as a `data:` URL and its name."""

    file_data: str
    file_id: str
    filename: str


class File(TypedDict, total=False):
    """A file, as a part of a message."""

    file: Required[FileFile]
    type: Required[Literal["file"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ChatCompletionContentPartRefusalParam(TypedDict, total=False):
    """A refusal of the model, as a part of its message."""

    refusal: Required[str]
    type: Required[Literal["refusal"]]


ChatCompletionContentPartParam: TypeAlias = (
    ChatCompletionContentPartTextParam
    | ChatCompletionContentPartImageParam
    | ChatCompletionContentPartInputAudioParam
    | File
)
"""A part of a user's message."""

# -------------------------------------------------------------------------------------------------- tool calls


class FunctionCall(TypedDict, total=False):
    """The name of a called function, and its arguments as JSON text."""

    arguments: Required[str | None]
    name: Required[str | None]


class CustomToolCall(TypedDict, total=False):
    """The name of a called custom tool, and its input."""

    input: Required[str | None]
    name: Required[str | None]


class ChatCompletionMessageFunctionToolCallParam(TypedDict, total=False):
    """A call of a function, in a message of the model."""

    id: Required[str | None]
    function: Required[FunctionCall | WireObject | JSONDict]
    type: Required[Literal["function"]]


class ChatCompletionMessageCustomToolCallParam(TypedDict, total=False):
    """A call of a custom tool, in a message of the model."""

    id: Required[str | None]
    custom: Required[CustomToolCall | WireObject | JSONDict]
    type: Required[Literal["custom"]]


ChatCompletionMessageToolCallParam: TypeAlias = ChatCompletionMessageFunctionToolCallParam
ChatCompletionMessageToolCallUnionParam: TypeAlias = (
    ChatCompletionMessageFunctionToolCallParam | ChatCompletionMessageCustomToolCallParam | WireObject | JSONDict
)
"""A tool call, in a message of the model: a dictionary, or the object that a result contains."""

# ---------------------------------------------------------------------------------------------------- messages


class ChatCompletionDeveloperMessageParam(TypedDict, total=False):
    """Instructions that the model follows whatever the user writes."""

    content: Required[str | Iterable[ChatCompletionContentPartTextParam]]
    role: Required[Literal["developer"]]
    name: str


class ChatCompletionSystemMessageParam(TypedDict, total=False):
    """Instructions, for models that know no developer messages."""

    content: Required[str | Iterable[ChatCompletionContentPartTextParam]]
    role: Required[Literal["system"]]
    name: str


class ChatCompletionUserMessageParam(TypedDict, total=False):
    """A message of the user: text, or a list of parts such as images."""

    content: Required[str | Iterable[ChatCompletionContentPartParam]]
    role: Required[Literal["user"]]
    name: str


class AudioID(TypedDict, total=False):
    """The id of a sound that the model made earlier."""

    id: Required[str | None]


class ChatCompletionAssistantMessageParam(TypedDict, total=False):
    """A message of the model. `message.to_dict()` makes one of a result."""

    role: Required[Literal["assistant"]]
    audio: AudioID | None
    content: str | Iterable[ChatCompletionContentPartTextParam | ChatCompletionContentPartRefusalParam] | None
    function_call: FunctionCall | None
    name: str
    reasoning_content: str | None
    refusal: str | None
    tool_calls: Iterable[ChatCompletionMessageToolCallUnionParam] | None


class ChatCompletionToolMessageParam(TypedDict, total=False):
    """The result of a tool that the model has called."""

    content: Required[str | Iterable[ChatCompletionContentPartTextParam]]
    role: Required[Literal["tool"]]
    tool_call_id: Required[str | None]


class ChatCompletionFunctionMessageParam(TypedDict, total=False):
    """The result of a function, in the way that tools have replaced."""

    content: Required[str | None]
    name: Required[str | None]
    role: Required[Literal["function"]]


ChatCompletionMessageParam: TypeAlias = (
    ChatCompletionDeveloperMessageParam
    | ChatCompletionSystemMessageParam
    | ChatCompletionUserMessageParam
    | ChatCompletionAssistantMessageParam
    | ChatCompletionToolMessageParam
    | ChatCompletionFunctionMessageParam
    | WireObject
    | JSONDict
)
"""A message: a dictionary, the message of a result, or its `to_dict()`. All of them fit into one annotated list."""

# ------------------------------------------------------------------------------------------------------- tools


class FunctionDefinition(TypedDict, total=False):
    """A function that the model may call. `parameters` is a JSON schema."""

    name: Required[str]
    description: str
    parameters: Mapping[str, Any]
    strict: bool | None


class ChatCompletionFunctionToolParam(TypedDict, total=False):
    """A function, as an item of `tools`."""

    function: Required[FunctionDefinition]
    type: Required[Literal["function"]]


class CustomFormatText(TypedDict, total=False):
    """A custom tool's input may be any text."""

    type: Required[Literal["text"]]


class CustomFormatGrammarGrammar(TypedDict, total=False):
    """A grammar, and the language that it is written in."""

    definition: Required[str]
    syntax: Required[Literal["lark", "regex"]]


class CustomFormatGrammar(TypedDict, total=False):
    """A custom tool's input has to match a grammar."""

    grammar: Required[CustomFormatGrammarGrammar]
    type: Required[Literal["grammar"]]


class CustomToolDefinition(TypedDict, total=False):
    """A custom tool, whose input is text."""

    name: Required[str]
    description: str
    format: CustomFormatText | CustomFormatGrammar


class ChatCompletionCustomToolParam(TypedDict, total=False):
    """A custom tool, as an item of `tools`."""

    custom: Required[CustomToolDefinition]
    type: Required[Literal["custom"]]


ChatCompletionToolParam: TypeAlias = ChatCompletionFunctionToolParam
ChatCompletionToolUnionParam: TypeAlias = (
    ChatCompletionFunctionToolParam | ChatCompletionCustomToolParam | WireObject | JSONDict
)
"""An item of `tools` as a dictionary."""


class NamedFunction(TypedDict, total=False):
    """The name of a function or of a custom tool."""

    name: Required[str]


class ChatCompletionNamedToolChoiceParam(TypedDict, total=False):
    """The choice of one function."""

    function: Required[NamedFunction]
    type: Required[Literal["function"]]


class ChatCompletionNamedToolChoiceCustomParam(TypedDict, total=False):
    """The choice of one custom tool."""

    custom: Required[NamedFunction]
    type: Required[Literal["custom"]]


class ChatCompletionAllowedToolsParam(TypedDict, total=False):
    """Some of the tools, and whether the model has to call one of them."""

    mode: Required[Literal["auto", "required"]]
    tools: Required[Iterable[Mapping[str, Any]]]


class ChatCompletionAllowedToolChoiceParam(TypedDict, total=False):
    """The choice of some of the tools."""

    allowed_tools: Required[ChatCompletionAllowedToolsParam]
    type: Required[Literal["allowed_tools"]]


ChatCompletionToolChoiceOptionParam: TypeAlias = (
    Literal["none", "auto", "required"]
    | ChatCompletionAllowedToolChoiceParam
    | ChatCompletionNamedToolChoiceParam
    | ChatCompletionNamedToolChoiceCustomParam
)
"""Which tools the model may call, or has to call."""


class ChatCompletionFunctionCallOptionParam(TypedDict, total=False):
    """The choice of one of the `functions`, which `tools` have replaced."""

    name: Required[str]


# ----------------------------------------------------------------------------------------------------- formats


class ResponseFormatText(TypedDict, total=False):
    """The answer is text."""

    type: Required[Literal["text"]]


class ResponseFormatJSONObject(TypedDict, total=False):
    """The answer is a JSON object."""

    type: Required[Literal["json_object"]]


class JSONSchema(TypedDict, total=False):
    """A JSON schema and its name."""

    name: Required[str]
    description: str
    schema: Mapping[str, Any]
    strict: bool | None


class ResponseFormatJSONSchema(TypedDict, total=False):
    """The answer is a JSON object that matches a schema."""

    json_schema: Required[JSONSchema]
    type: Required[Literal["json_schema"]]


ResponseFormat: TypeAlias = (
    ResponseFormatText | ResponseFormatJSONSchema | ResponseFormatJSONObject | WireObject | JSONDict
)
"""The format of the answer."""

# ------------------------------------------------------------------------------------------------------ others


class ChatCompletionStreamOptionsParam(TypedDict, total=False):
    """Options of a stream. With `include_usage`, its last chunk has the usage."""

    include_obfuscation: bool
    include_usage: bool


class VoiceID(TypedDict, total=False):
    """The id of a voice of your own."""

    id: Required[str]


class ChatCompletionAudioParam(TypedDict, total=False):
    """The format and the voice of a spoken answer."""

    format: Required[Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"]]
    voice: Required[str | VoiceID]


class ChatCompletionPredictionContentParam(TypedDict, total=False):
    """A prediction of most of the answer, which makes it faster."""

    content: Required[str | Iterable[ChatCompletionContentPartTextParam]]
    type: Required[Literal["content"]]


class WebSearchOptionsUserLocationApproximate(TypedDict, total=False):
    """A place: its city, country (two letters), region and time zone."""

    city: str
    country: str
    region: str
    timezone: str


class WebSearchOptionsUserLocation(TypedDict, total=False):
    """The approximate place of the user."""

    approximate: Required[WebSearchOptionsUserLocationApproximate]
    type: Required[Literal["approximate"]]


class WebSearchOptions(TypedDict, total=False):
    """Options of a search of the web: how much is searched, and from where."""

    search_context_size: Literal["low", "medium", "high"]
    user_location: WebSearchOptionsUserLocation | None
