"""The items of a response's output, and their parts.

Names of classes and fields are the API's (and openai-python's, where it names a class). Every class that belongs to a
union declares its `type`; a `type` that is not in the union becomes `UnknownItem`, or `Unknown` for a part of an item.
Left as decoded JSON: tool definitions, JSON schemas, what a tool that runs on the caller's side was given back, and the
actions of the computer tool.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from ._base import Unknown, WireObject, wire
from ._raw import Raw
from .chat import TopLogprob

# ------------------------------------------------------------------------------------------------ annotations of a text


@wire
class AnnotationFileCitation(WireObject):
    """A file as the source, `index` being its place in the list of files."""

    type: Literal["file_citation"] = "file_citation"
    file_id: str | None = None
    filename: str | None = None
    index: int | None = None


@wire
class AnnotationURLCitation(WireObject):
    """A web page as the source of the characters from `start_index` to `end_index`."""

    type: Literal["url_citation"] = "url_citation"
    end_index: int | None = None
    start_index: int | None = None
    title: str | None = None
    url: str | None = None


@wire
class AnnotationContainerFileCitation(WireObject):
    """A container's file as the source of the characters from `start_index` to `end_index`."""

    type: Literal["container_file_citation"] = "container_file_citation"
    container_id: str | None = None
    end_index: int | None = None
    file_id: str | None = None
    filename: str | None = None
    start_index: int | None = None


@wire
class AnnotationFilePath(WireObject):
    """A file that the text points at."""

    type: Literal["file_path"] = "file_path"
    file_id: str | None = None
    index: int | None = None


ResponseAnnotation = (
    AnnotationFileCitation | AnnotationURLCitation | AnnotationContainerFileCitation | AnnotationFilePath | Unknown
)


# -------------------------------------------------------------------------------------------------------- content parts


@wire
class ResponseLogprob(WireObject):
    """A token with its log probability and its rivals. Delta events leave `bytes` out."""

    token: str | None = None
    bytes: list[int] | None = None
    logprob: float | None = None
    top_logprobs: list[TopLogprob] | None = None


@wire
class ResponseOutputText(WireObject):
    """Text of a message."""

    type: Literal["output_text"] = "output_text"
    annotations: list[ResponseAnnotation] = attrs.field(factory=list[ResponseAnnotation])
    text: str | None = None
    logprobs: list[ResponseLogprob] | None = None


@wire
class ResponseOutputRefusal(WireObject):
    """The model's words when it refuses."""

    type: Literal["refusal"] = "refusal"
    refusal: str | None = None


@wire
class ResponseReasoningText(WireObject):
    """Reasoning in full; few models show it."""

    type: Literal["reasoning_text"] = "reasoning_text"
    text: str | None = None


@wire
class ResponseReasoningSummary(WireObject):
    """One paragraph of what the model says its reasoning was."""

    type: Literal["summary_text"] = "summary_text"
    text: str | None = None


MessageContent = ResponseOutputText | ResponseOutputRefusal | Unknown
ReasoningContent = ResponseReasoningText | Unknown
ReasoningSummary = ResponseReasoningSummary | Unknown
ResponseContentPart = ResponseOutputText | ResponseOutputRefusal | ResponseReasoningText | Unknown


# --------------------------------------------------------------------------------------------- what several items share


@wire
class OutputItem(WireObject):
    """The base of the items: each has an `id`, although some servers change it between events."""

    id: str | None = None


@wire
class ToolItem(OutputItem):
    """The base of those that are one half of a call and its output: both halves have the same `call_id`."""

    call_id: str | None = None
    status: str | None = None


@wire
class CallerDirect(WireObject):
    """The model itself made the call."""

    type: Literal["direct"] = "direct"


@wire
class CallerProgram(WireObject):
    """A program that the model wrote made the call; `caller_id` is that program's `call_id`."""

    type: Literal["program"] = "program"
    caller_id: str | None = None


ToolCaller = CallerDirect | CallerProgram | Unknown


# -------------------------------------------------------------------------------------- messages, reasoning, compaction


@wire
class ResponseOutputMessage(OutputItem):
    """The model's message."""

    type: Literal["message"] = "message"
    content: list[MessageContent] = attrs.field(factory=list[MessageContent])
    role: str | None = None
    status: str | None = None
    phase: str | None = None


@wire
class ResponseReasoningItem(OutputItem):
    """The model's reasoning: a summary, sometimes the text, or an encrypted form to send back."""

    type: Literal["reasoning"] = "reasoning"
    summary: list[ReasoningSummary] = attrs.field(factory=list[ReasoningSummary])
    content: list[ReasoningContent] | None = None
    encrypted_content: str | None = None
    status: str | None = None


@wire
class ResponseCompactionItem(OutputItem):
    """A conversation made smaller, in a form to send back."""

    type: Literal["compaction"] = "compaction"
    encrypted_content: str | None = None
    created_by: str | None = None


# --------------------------------------------------------------------------------------------------- the caller's tools


@wire
class ResponseFunctionToolCall(ToolItem):
    """A call of a function; `arguments` is JSON text as the model wrote it."""

    type: Literal["function_call"] = "function_call"
    arguments: str | None = None
    name: str | None = None
    caller: ToolCaller | None = None
    namespace: str | None = None

    @property
    def async_(self) -> bool | None:
        """The wire's `async`, which is a reserved word here."""
        return self.raw.get("async")


@wire
class ResponseFunctionToolCallOutputItem(ToolItem):
    """The result of a function: text, or a list of input parts."""

    type: Literal["function_call_output"] = "function_call_output"
    output: str | list[Raw] | None = None
    caller: ToolCaller | None = None
    created_by: str | None = None
    name: str | None = None
    namespace: str | None = None


@wire
class ResponseCustomToolCall(OutputItem):
    """A call of a custom tool with free-form input."""

    type: Literal["custom_tool_call"] = "custom_tool_call"
    call_id: str | None = None
    input: str | None = None
    name: str | None = None
    caller: ToolCaller | None = None
    namespace: str | None = None

    @property
    def async_(self) -> bool | None:
        """The wire's `async`, which is a reserved word here."""
        return self.raw.get("async")


@wire
class ResponseCustomToolCallOutputItem(ToolItem):
    """The result of a custom tool: text, or a list of input parts."""

    type: Literal["custom_tool_call_output"] = "custom_tool_call_output"
    output: str | list[Raw] | None = None
    caller: ToolCaller | None = None
    created_by: str | None = None


# --------------------------------------------------------------------------------------------------------------- search


@wire
class FileSearchResult(WireObject):
    """A stretch of a file that was found, with its score from 0 to 1."""

    attributes: Raw | None = None
    file_id: str | None = None
    filename: str | None = None
    score: float | None = None
    text: str | None = None


@wire
class ResponseFileSearchToolCall(OutputItem):
    """A search in files; `results` only on request."""

    type: Literal["file_search_call"] = "file_search_call"
    queries: list[str] = attrs.field(factory=list[str])
    status: str | None = None
    results: list[FileSearchResult] | None = None


@wire
class WebSearchSource(WireObject):
    """A page that a web search used."""

    type: str | None = None
    url: str | None = None


@wire
class WebSearchActionSearch(WireObject):
    """Ask a search engine."""

    type: Literal["search"] = "search"
    queries: list[str] | None = None
    query: str | None = None
    sources: list[WebSearchSource] | None = None


@wire
class WebSearchActionOpenPage(WireObject):
    """Open a page."""

    type: Literal["open_page"] = "open_page"
    url: str | None = None


@wire
class WebSearchActionFind(WireObject):
    """Look for a pattern in a page."""

    type: Literal["find_in_page"] = "find_in_page"
    pattern: str | None = None
    url: str | None = None


WebSearchAction = WebSearchActionSearch | WebSearchActionOpenPage | WebSearchActionFind | Unknown


@wire
class ResponseFunctionWebSearch(OutputItem):
    """A step of a web search."""

    type: Literal["web_search_call"] = "web_search_call"
    action: WebSearchAction | None = None
    status: str | None = None


@wire
class ResponseToolSearchCall(ToolItem):
    """A search for tools, run by the server or by the client as `execution` says."""

    type: Literal["tool_search_call"] = "tool_search_call"
    arguments: Any = None
    execution: str | None = None
    created_by: str | None = None


@wire
class ResponseToolSearchOutputItem(ToolItem):
    """The definitions of the tools that a search found."""

    type: Literal["tool_search_output"] = "tool_search_output"
    execution: str | None = None
    tools: list[Raw] = attrs.field(factory=list[Raw])
    created_by: str | None = None


@wire
class AdditionalTools(OutputItem):
    """The definitions of tools that came into reach at this point."""

    type: Literal["additional_tools"] = "additional_tools"
    role: str | None = None
    tools: list[Raw] = attrs.field(factory=list[Raw])


# ------------------------------------------------------------------------------------------------------------- computer


@wire
class SafetyCheck(WireObject):
    """A warning about a computer call: pending until the caller acknowledges it."""

    id: str | None = None
    code: str | None = None
    message: str | None = None


@wire
class ComputerScreenshot(WireObject):
    """A picture of the screen, as an uploaded file or a URL."""

    type: str | None = None
    file_id: str | None = None
    image_url: str | None = None


@wire
class ResponseComputerToolCall(ToolItem):
    """Something to do on a screen: one `action`, or several `actions`."""

    type: Literal["computer_call"] = "computer_call"
    pending_safety_checks: list[SafetyCheck] = attrs.field(factory=list[SafetyCheck])
    action: Raw | None = None
    actions: list[Raw] | None = None


@wire
class ResponseComputerToolCallOutputItem(ToolItem):
    """The screen afterwards."""

    type: Literal["computer_call_output"] = "computer_call_output"
    output: ComputerScreenshot | None = None
    acknowledged_safety_checks: list[SafetyCheck] | None = None
    created_by: str | None = None


# ----------------------------------------------------------------------------------------------- images, code, programs


@wire
class ImageModerationDetails(WireObject):
    """The reason why a picture was blocked, and whether before or after it was made."""

    categories: list[str] = attrs.field(factory=list[str])
    moderation_stage: str | None = None


@wire
class ImageGenerationCallError(WireObject):
    """The reason why there is no picture."""

    code: str | None = None
    message: str | None = None
    param: str | None = None
    type: str | None = None
    moderation_details: ImageModerationDetails | None = None


@wire
class ImageSvgUsage(WireObject):
    """Tokens used by the model that drew an SVG."""

    input_tokens: int = 0
    model: str | None = None
    output_tokens: int = 0
    reasoning_tokens: int = 0
    total_tokens: int = 0


@wire
class ImageGenerationCall(OutputItem):
    """A picture; `result` is base64."""

    type: Literal["image_generation_call"] = "image_generation_call"
    result: str | None = None
    status: str | None = None
    action: str | None = None
    background: str | None = None
    error: ImageGenerationCallError | None = None
    output_format: str | None = None
    quality: str | None = None
    revised_prompt: str | None = None
    size: str | None = None
    svg_usage: ImageSvgUsage | None = None


@wire
class CodeInterpreterOutputLogs(WireObject):
    """The output of the code."""

    type: Literal["logs"] = "logs"
    logs: str | None = None


@wire
class CodeInterpreterOutputImage(WireObject):
    """A picture that the code made."""

    type: Literal["image"] = "image"
    url: str | None = None


CodeInterpreterOutput = CodeInterpreterOutputLogs | CodeInterpreterOutputImage | Unknown


@wire
class ResponseCodeInterpreterToolCall(OutputItem):
    """Code that the server ran; `outputs` only on request."""

    type: Literal["code_interpreter_call"] = "code_interpreter_call"
    code: str | None = None
    container_id: str | None = None
    outputs: list[CodeInterpreterOutput] | None = None
    status: str | None = None


@wire
class Program(OutputItem):
    """A JavaScript program of the model that calls tools."""

    type: Literal["program"] = "program"
    call_id: str | None = None
    code: str | None = None
    fingerprint: str | None = None


@wire
class ProgramOutput(ToolItem):
    """The result of such a program."""

    type: Literal["program_output"] = "program_output"
    result: str | None = None


# --------------------------------------------------------------------------------------------------- shells and patches


@wire
class LocalShellCallAction(WireObject):
    """A command for the caller's machine."""

    type: str | None = None
    command: list[str] = attrs.field(factory=list[str])
    env: dict[str, str] | None = None
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


@wire
class LocalShellCall(ToolItem):
    """A call of the older local shell tool."""

    type: Literal["local_shell_call"] = "local_shell_call"
    action: LocalShellCallAction | None = None


@wire
class LocalShellCallOutput(OutputItem):
    """The result of the older local shell tool, as JSON text."""

    type: Literal["local_shell_call_output"] = "local_shell_call_output"
    output: str | None = None
    status: str | None = None


@wire
class ShellAction(WireObject):
    """Commands for a shell, with a limit on the time and on the characters of output."""

    commands: list[str] = attrs.field(factory=list[str])
    max_output_length: int | None = None
    timeout_ms: int | None = None


@wire
class ResponseLocalEnvironment(WireObject):
    """The commands run at the caller's."""

    type: Literal["local"] = "local"


@wire
class ResponseContainerReference(WireObject):
    """The commands run in a container of the server's."""

    type: Literal["container_reference"] = "container_reference"
    container_id: str | None = None


ShellEnvironment = ResponseLocalEnvironment | ResponseContainerReference | Unknown


@wire
class ResponseFunctionShellToolCall(ToolItem):
    """A call of the shell tool."""

    type: Literal["shell_call"] = "shell_call"
    action: ShellAction | None = None
    environment: ShellEnvironment | None = None
    caller: ToolCaller | None = None
    created_by: str | None = None


@wire
class ShellOutcomeTimeout(WireObject):
    """The command was too slow."""

    type: Literal["timeout"] = "timeout"


@wire
class ShellOutcomeExit(WireObject):
    """The command ended by itself."""

    type: Literal["exit"] = "exit"
    exit_code: int | None = None


ShellOutcome = ShellOutcomeTimeout | ShellOutcomeExit | Unknown


@wire
class ShellOutput(WireObject):
    """The output of one command, and how it ended."""

    outcome: ShellOutcome | None = None
    stderr: str | None = None
    stdout: str | None = None
    created_by: str | None = None


@wire
class ResponseFunctionShellToolCallOutput(ToolItem):
    """The result of the shell tool, one entry per command."""

    type: Literal["shell_call_output"] = "shell_call_output"
    max_output_length: int | None = None
    output: list[ShellOutput] = attrs.field(factory=list[ShellOutput])
    caller: ToolCaller | None = None
    created_by: str | None = None


@wire
class ApplyPatchCreateFile(WireObject):
    """Make a file of a diff."""

    type: Literal["create_file"] = "create_file"
    diff: str | None = None
    path: str | None = None


@wire
class ApplyPatchDeleteFile(WireObject):
    """Delete a file."""

    type: Literal["delete_file"] = "delete_file"
    path: str | None = None


@wire
class ApplyPatchUpdateFile(WireObject):
    """Change a file by a diff."""

    type: Literal["update_file"] = "update_file"
    diff: str | None = None
    path: str | None = None


ApplyPatchOperation = ApplyPatchCreateFile | ApplyPatchDeleteFile | ApplyPatchUpdateFile | Unknown


@wire
class ResponseApplyPatchToolCall(ToolItem):
    """A change to one file, for the caller to make."""

    type: Literal["apply_patch_call"] = "apply_patch_call"
    operation: ApplyPatchOperation | None = None
    caller: ToolCaller | None = None
    created_by: str | None = None


@wire
class ResponseApplyPatchToolCallOutput(ToolItem):
    """The result of the change: whether it was made, and any message about it."""

    type: Literal["apply_patch_call_output"] = "apply_patch_call_output"
    caller: ToolCaller | None = None
    created_by: str | None = None
    output: str | None = None


# ------------------------------------------------------------------------------------------------------------------ MCP


@wire
class McpProtocolError(WireObject):
    """The MCP server answered with an error of the protocol."""

    type: Literal["mcp_protocol_error"] = "mcp_protocol_error"
    code: int | None = None
    message: str | None = None


@wire
class McpToolExecutionError(WireObject):
    """The tool itself failed."""

    type: Literal["mcp_tool_execution_error"] = "mcp_tool_execution_error"
    content: Any = None


@wire
class McpHTTPError(WireObject):
    """The MCP server answered with an HTTP status that is an error."""

    type: Literal["http_error"] = "http_error"
    code: int | None = None
    message: str | None = None


McpToolCallError = McpProtocolError | McpToolExecutionError | McpHTTPError | Unknown


@wire
class McpCall(OutputItem):
    """A call of an MCP server's tool, with its output; `arguments` is JSON text."""

    type: Literal["mcp_call"] = "mcp_call"
    arguments: str | None = None
    name: str | None = None
    server_label: str | None = None
    approval_request_id: str | None = None
    error: McpToolCallError | None = None
    output: str | None = None
    status: str | None = None


@wire
class McpListToolsTool(WireObject):
    """A tool that an MCP server has; `input_schema` is a JSON schema."""

    input_schema: Any = None
    name: str | None = None
    annotations: Any = None
    description: str | None = None


@wire
class McpListTools(OutputItem):
    """The tools of an MCP server, or why they could not be listed."""

    type: Literal["mcp_list_tools"] = "mcp_list_tools"
    server_label: str | None = None
    tools: list[McpListToolsTool] = attrs.field(factory=list[McpListToolsTool])
    error: str | None = None


@wire
class McpApprovalRequest(OutputItem):
    """A call of an MCP server's tool that waits for the caller's word; `arguments` is JSON text."""

    type: Literal["mcp_approval_request"] = "mcp_approval_request"
    arguments: str | None = None
    name: str | None = None
    server_label: str | None = None


@wire
class McpApprovalResponse(OutputItem):
    """The caller's word."""

    type: Literal["mcp_approval_response"] = "mcp_approval_response"
    approval_request_id: str | None = None
    approve: bool | None = None
    reason: str | None = None


# -------------------------------------------------------------------------------------------------------------- the lot


@wire
class UnknownItem(Unknown):
    """An item of a `type` that this library does not know. Its fields are in `raw`, and can be read as attributes."""

    type: str | None = None
    id: str | None = None


ResponseOutputItem = (
    ResponseOutputMessage
    | ResponseFileSearchToolCall
    | ResponseFunctionToolCall
    | ResponseFunctionToolCallOutputItem
    | ResponseFunctionWebSearch
    | ResponseComputerToolCall
    | ResponseComputerToolCallOutputItem
    | ResponseReasoningItem
    | Program
    | ProgramOutput
    | ResponseToolSearchCall
    | ResponseToolSearchOutputItem
    | AdditionalTools
    | ResponseCompactionItem
    | ImageGenerationCall
    | ResponseCodeInterpreterToolCall
    | LocalShellCall
    | LocalShellCallOutput
    | ResponseFunctionShellToolCall
    | ResponseFunctionShellToolCallOutput
    | ResponseApplyPatchToolCall
    | ResponseApplyPatchToolCallOutput
    | McpCall
    | McpListTools
    | McpApprovalRequest
    | McpApprovalResponse
    | ResponseCustomToolCall
    | ResponseCustomToolCallOutputItem
    | UnknownItem
)
