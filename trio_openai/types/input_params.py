"""The dictionaries that the input of a response is made of: messages, their parts, and the items of earlier responses.

The names are those of openai-python. Classes that it keeps in modules of their own end in `Param` here, so that they
differ from the classes of results. What is said in `chat_params.py` about dictionaries and annotations holds here too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Required, TypeAlias, TypedDict

from ._base import WireObject
from ._raw import JSONDict
from .chat_params import InputAudio, PromptCacheBreakpoint
from .tool_params import ContainerReferenceParam, LocalEnvironmentParam, ToolParam

ItemStatus: TypeAlias = Literal["in_progress", "completed", "incomplete"]
_Object: TypeAlias = Mapping[str, Any]
_MayBeAsync = TypedDict("_MayBeAsync", {"async": bool}, total=False)  # a reserved word, so it cannot be a field below

# ---------------------------------------------------------------------------------------------- content of messages


class ResponseInputTextParam(TypedDict, total=False):
    """Text, as a part of a message."""

    text: Required[str]
    type: Required[Literal["input_text"]]
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ResponseInputImageParam(TypedDict, total=False):
    """An image, as a part of a message: a URL, a `data:` URL that contains it, or the id of an uploaded file."""

    type: Required[Literal["input_image"]]
    detail: Literal["auto", "low", "high", "original"] | None
    file_id: str | None
    image_url: str | None
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ResponseInputFileParam(TypedDict, total=False):
    """A file, as a part of a message: a URL, its content as a `data:` URL, or the id of an uploaded file."""

    type: Required[Literal["input_file"]]
    detail: Literal["auto", "low", "high"] | None
    file_data: str | None
    file_id: str | None
    file_url: str | None
    filename: str | None
    prompt_cache_breakpoint: PromptCacheBreakpoint


class ResponseInputAudioParam(TypedDict, total=False):
    """A sound, as a part of a message."""

    input_audio: Required[InputAudio]
    type: Required[Literal["input_audio"]]


ResponseInputTextContentParam: TypeAlias = ResponseInputTextParam
ResponseInputImageContentParam: TypeAlias = ResponseInputImageParam
ResponseInputFileContentParam: TypeAlias = ResponseInputFileParam
ResponseInputContentParam: TypeAlias = (
    ResponseInputTextParam | ResponseInputImageParam | ResponseInputFileParam | ResponseInputAudioParam
)
"""A part of a message."""
ResponseInputMessageContentListParam: TypeAlias = list[ResponseInputContentParam]
ResponseFunctionCallOutputItemParam: TypeAlias = (
    ResponseInputTextParam | ResponseInputImageParam | ResponseInputFileParam
)
"""A part of a tool's result."""
ResponseFunctionCallOutputItemListParam: TypeAlias = list[ResponseFunctionCallOutputItemParam]


class ResponseOutputTextParam(TypedDict, total=False):
    """Text, as a part of the model's message."""

    text: Required[str | None]
    type: Required[Literal["output_text"]]
    annotations: Iterable[_Object | WireObject]
    logprobs: Iterable[_Object | WireObject]


class ResponseOutputRefusalParam(TypedDict, total=False):
    """A refusal, as a part of the model's message."""

    refusal: Required[str | None]
    type: Required[Literal["refusal"]]


# --------------------------------------------------------------------------------------------------------- messages


class EasyInputMessageParam(TypedDict, total=False):
    """A message: its role, and text or a list of parts."""

    content: Required[str | Iterable[ResponseInputContentParam | WireObject | JSONDict]]
    role: Required[Literal["user", "assistant", "system", "developer"]]
    phase: Literal["commentary", "final_answer"] | None
    type: Literal["message"]


class ResponseInputMessageParam(TypedDict, total=False):
    """A message to the model, as the server returns it. openai-python calls it `Message`."""

    content: Required[Iterable[ResponseInputContentParam]]
    role: Required[Literal["user", "system", "developer"]]
    status: ItemStatus
    type: Literal["message"]


class ResponseOutputMessageParam(TypedDict, total=False):
    """A message of the model."""

    content: Required[Iterable[ResponseOutputTextParam | ResponseOutputRefusalParam | WireObject | JSONDict]]
    role: Required[Literal["assistant"]]
    type: Required[Literal["message"]]
    id: str | None
    phase: Literal["commentary", "final_answer"] | None
    status: ItemStatus


# ------------------------------------------------------------------------------------------------------ tool calls


class ResponseFunctionToolCallParam(_MayBeAsync, total=False):
    """A call of a function. `arguments` is JSON text."""

    arguments: Required[str | None]
    call_id: Required[str | None]
    name: Required[str | None]
    type: Required[Literal["function_call"]]
    id: str | None
    caller: _Object | WireObject | None
    namespace: str | None
    status: str | None


class FunctionCallOutput(TypedDict, total=False):
    """The result of a function: text, or a list of parts."""

    output: Required[str | Iterable[ResponseFunctionCallOutputItemParam]]
    type: Required[Literal["function_call_output"]]
    id: str | None
    call_id: str | None
    caller: _Object | WireObject | None
    name: str | None
    namespace: str | None
    status: ItemStatus | None


class ResponseCustomToolCallParam(_MayBeAsync, total=False):
    """A call of a custom tool."""

    call_id: Required[str | None]
    input: Required[str | None]
    name: Required[str | None]
    type: Required[Literal["custom_tool_call"]]
    id: str | None
    caller: _Object | WireObject | None
    namespace: str | None


class ResponseCustomToolCallOutputParam(TypedDict, total=False):
    """The result of a custom tool: text, or a list of parts."""

    call_id: Required[str | None]
    output: Required[str | Iterable[ResponseFunctionCallOutputItemParam]]
    type: Required[Literal["custom_tool_call_output"]]
    id: str | None
    caller: _Object | WireObject | None


class ComputerCallOutputAcknowledgedSafetyCheck(TypedDict, total=False):
    """A safety check that the user has seen."""

    id: Required[str | None]
    code: str | None
    message: str | None


class ResponseComputerToolCallOutputScreenshotParam(TypedDict, total=False):
    """A picture of the screen: a URL, or the id of an uploaded file."""

    type: Required[Literal["computer_screenshot"]]
    file_id: str
    image_url: str


class ResponseComputerToolCallParam(TypedDict, total=False):
    """A use of the computer."""

    id: Required[str | None]
    call_id: Required[str | None]
    type: Required[Literal["computer_call"]]
    action: _Object | WireObject
    actions: Iterable[_Object | WireObject]
    pending_safety_checks: Iterable[ComputerCallOutputAcknowledgedSafetyCheck | WireObject]
    status: ItemStatus


class ComputerCallOutput(TypedDict, total=False):
    """The screen after a use of the computer."""

    call_id: Required[str | None]
    output: Required[ResponseComputerToolCallOutputScreenshotParam]
    type: Required[Literal["computer_call_output"]]
    id: str | None
    acknowledged_safety_checks: Iterable[ComputerCallOutputAcknowledgedSafetyCheck | WireObject] | None
    status: ItemStatus | None


class LocalShellCallParam(TypedDict, total=False):
    """A command for the program's own shell."""

    id: Required[str | None]
    action: Required[_Object | WireObject]
    call_id: Required[str | None]
    type: Required[Literal["local_shell_call"]]
    status: ItemStatus


class LocalShellCallOutputParam(TypedDict, total=False):
    """The output of a command, as JSON text."""

    id: Required[str | None]
    output: Required[str]
    type: Required[Literal["local_shell_call_output"]]
    status: ItemStatus | None


class ShellCallAction(TypedDict, total=False):
    """Commands, and limits of time (in milliseconds) and output (in characters)."""

    commands: Required[Sequence[str]]
    max_output_length: int | None
    timeout_ms: int | None


class ShellCallParam(TypedDict, total=False):
    """Commands for a shell."""

    action: Required[ShellCallAction | WireObject]
    call_id: Required[str | None]
    type: Required[Literal["shell_call"]]
    id: str | None
    caller: _Object | WireObject | None
    environment: LocalEnvironmentParam | ContainerReferenceParam | WireObject | None
    status: ItemStatus | None


class ResponseFunctionShellCallOutputContentParam(TypedDict, total=False):
    """The output of a command, and how the command ended."""

    outcome: Required[_Object]
    stderr: Required[str]
    stdout: Required[str]


class ShellCallOutputParam(TypedDict, total=False):
    """The results of the commands of a shell call."""

    call_id: Required[str | None]
    output: Required[Iterable[ResponseFunctionShellCallOutputContentParam]]
    type: Required[Literal["shell_call_output"]]
    id: str | None
    caller: _Object | WireObject | None
    max_output_length: int | None
    status: ItemStatus | None


class ApplyPatchCallParam(TypedDict, total=False):
    """A change of a file."""

    call_id: Required[str | None]
    operation: Required[_Object | WireObject]
    type: Required[Literal["apply_patch_call"]]
    id: str | None
    caller: _Object | WireObject | None
    status: Literal["in_progress", "completed"]


class ApplyPatchCallOutputParam(TypedDict, total=False):
    """The outcome of a change of a file."""

    call_id: Required[str | None]
    status: Required[Literal["completed", "failed"]]
    type: Required[Literal["apply_patch_call_output"]]
    id: str | None
    caller: _Object | WireObject | None
    output: str | None


class McpApprovalRequestParam(TypedDict, total=False):
    """A call of an MCP server's tool that needs an approval."""

    id: Required[str | None]
    arguments: Required[str | None]
    name: Required[str | None]
    server_label: Required[str | None]
    type: Required[Literal["mcp_approval_request"]]


class McpApprovalResponseParam(TypedDict, total=False):
    """The answer to a request for an approval."""

    approval_request_id: Required[str | None]
    approve: Required[bool]
    type: Required[Literal["mcp_approval_response"]]
    id: str | None
    reason: str | None


class McpListToolsParam(TypedDict, total=False):
    """The tools of an MCP server."""

    id: Required[str | None]
    server_label: Required[str | None]
    tools: Required[Iterable[_Object | WireObject]]
    type: Required[Literal["mcp_list_tools"]]
    error: str | None


class McpCallParam(TypedDict, total=False):
    """A call of an MCP server's tool, with its result."""

    id: Required[str | None]
    arguments: Required[str | None]
    name: Required[str | None]
    server_label: Required[str | None]
    type: Required[Literal["mcp_call"]]
    approval_request_id: str | None
    error: str | _Object | WireObject | None
    output: str | None
    status: str


# -------------------------------------------------------------------------------------------- what the server has run


class ResponseFileSearchToolCallParam(TypedDict, total=False):
    """A search in vector stores, with its results."""

    id: Required[str | None]
    queries: Required[Sequence[str]]
    type: Required[Literal["file_search_call"]]
    results: Iterable[_Object | WireObject] | None
    status: str


class ResponseFunctionWebSearchParam(TypedDict, total=False):
    """A search of the web."""

    id: Required[str | None]
    action: Required[_Object | WireObject]
    type: Required[Literal["web_search_call"]]
    status: str


class ImageGenerationCallParam(TypedDict, total=False):
    """An image that the model has made, in base64."""

    id: Required[str | None]
    type: Required[Literal["image_generation_call"]]
    action: str | None
    background: str | None
    error: _Object
    output_format: str | None
    quality: str | None
    result: str | None
    revised_prompt: str | None
    size: str | None
    status: str
    svg_usage: _Object


class ResponseCodeInterpreterToolCallParam(TypedDict, total=False):
    """Python code that the server has run, with its outputs."""

    id: Required[str | None]
    code: Required[str | None]
    container_id: Required[str | None]
    type: Required[Literal["code_interpreter_call"]]
    outputs: Iterable[_Object | WireObject] | None
    status: str


class ToolSearchCallParam(TypedDict, total=False):
    """A search for tools."""

    arguments: Required[object]
    type: Required[Literal["tool_search_call"]]
    id: str | None
    call_id: str | None
    execution: Literal["server", "client"]
    status: ItemStatus | None


class ResponseToolSearchOutputItemParam(TypedDict, total=False):
    """The tools that a search has found."""

    tools: Required[Iterable[ToolParam]]
    type: Required[Literal["tool_search_output"]]
    id: str | None
    call_id: str | None
    execution: Literal["server", "client"]
    status: ItemStatus | None


class ProgramParam(TypedDict, total=False):
    """A program of the model that calls tools."""

    id: Required[str | None]
    call_id: Required[str | None]
    code: Required[str | None]
    fingerprint: Required[str | None]
    type: Required[Literal["program"]]


class ProgramOutputParam(TypedDict, total=False):
    """The result of a program of the model."""

    id: Required[str | None]
    call_id: Required[str | None]
    result: Required[str | None]
    type: Required[Literal["program_output"]]
    status: Literal["completed", "incomplete"]


# ---------------------------------------------------------------------------------------------------------- others


class ReasoningSummaryParam(TypedDict, total=False):
    """A paragraph of a summary of the model's reasoning."""

    text: Required[str | None]
    type: Required[Literal["summary_text"]]


class ReasoningContentParam(TypedDict, total=False):
    """A paragraph of the model's reasoning."""

    text: Required[str | None]
    type: Required[Literal["reasoning_text"]]


class ResponseReasoningItemParam(TypedDict, total=False):
    """The model's reasoning."""

    id: Required[str | None]
    summary: Required[Iterable[ReasoningSummaryParam | WireObject]]
    type: Required[Literal["reasoning"]]
    content: Iterable[ReasoningContentParam | WireObject]
    encrypted_content: str | None
    status: ItemStatus


class ResponseCompactionItemParam(TypedDict, total=False):
    """A conversation made smaller."""

    encrypted_content: Required[str | None]
    type: Required[Literal["compaction"]]
    id: str | None


class CompactionTrigger(TypedDict, total=False):
    """A request to make the conversation smaller."""

    type: Required[Literal["compaction_trigger"]]
    id: str | None


class AdditionalToolsParam(TypedDict, total=False):
    """More tools, from here on."""

    role: Required[Literal["developer"]]
    tools: Required[Iterable[ToolParam]]
    type: Required[Literal["additional_tools"]]
    id: str | None


class ResponseConfigurationUpdateItemParam(TypedDict, total=False):
    """Other settings, from here on."""

    type: Required[Literal["configuration_update"]]
    id: str | None
    reasoning: _Object
    text: _Object


class ItemReference(TypedDict, total=False):
    """An item that the server has stored."""

    id: Required[str | None]
    type: Literal["item_reference"] | None


ResponseInputItemParam: TypeAlias = (
    EasyInputMessageParam
    | ResponseInputMessageParam
    | ResponseOutputMessageParam
    | ResponseFileSearchToolCallParam
    | ResponseComputerToolCallParam
    | ComputerCallOutput
    | ResponseFunctionWebSearchParam
    | ResponseFunctionToolCallParam
    | FunctionCallOutput
    | ToolSearchCallParam
    | ResponseToolSearchOutputItemParam
    | AdditionalToolsParam
    | ResponseConfigurationUpdateItemParam
    | ResponseReasoningItemParam
    | ResponseCompactionItemParam
    | ImageGenerationCallParam
    | ResponseCodeInterpreterToolCallParam
    | LocalShellCallParam
    | LocalShellCallOutputParam
    | ShellCallParam
    | ShellCallOutputParam
    | ApplyPatchCallParam
    | ApplyPatchCallOutputParam
    | McpListToolsParam
    | McpApprovalRequestParam
    | McpApprovalResponseParam
    | McpCallParam
    | ResponseCustomToolCallOutputParam
    | ResponseCustomToolCallParam
    | CompactionTrigger
    | ItemReference
    | ProgramParam
    | ProgramOutputParam
    | WireObject
    | JSONDict
)
"""An item of the input: a dictionary, an item of an earlier response, or its `to_dict()`."""
ResponseInputParam: TypeAlias = list[ResponseInputItemParam]
"""The input of a response, as an annotation for a list of yours. `response.output` can be appended to it."""


class ResponsePromptParam(TypedDict, total=False):
    """A stored prompt, with values for its variables."""

    id: Required[str]
    variables: Mapping[str, str | ResponseInputContentParam] | None
    version: str | None


class ResponseConversationParam(TypedDict, total=False):
    """A stored conversation."""

    id: Required[str | None]
