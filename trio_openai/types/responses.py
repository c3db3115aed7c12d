"""Responses: the whole response, its usage, and the events of a stream.

Names of classes and fields are the API's, as openai-python has them; the items of the output are in `response_items`.
What the server merely repeats from the request (tools, reasoning and text settings, metadata) is decoded JSON.
An event's `type` is its class's default for `type`; an event of another type is an `UnknownEvent`. Some compatible
servers leave out `sequence_number`, `item_id` or the indexes, which are then None.
"""

from __future__ import annotations

from typing import Literal

import attrs

from ._base import UnknownEvent, WireObject, wire
from ._raw import Raw
from ._text import join_text
from .response_items import (
    ReasoningSummary,
    ResponseAnnotation,
    ResponseContentPart,
    ResponseLogprob,
    ResponseOutputItem,
    ResponseOutputMessage,
    ResponseOutputText,
    ShellOutput,
)

# --------------------------------------------------------------------------------------------------------- the response


@wire
class InputTokensDetails(WireObject):
    """The input's tokens by kind."""

    cache_write_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens_details: Raw | None = None


@wire
class OutputTokensDetails(WireObject):
    """The output's tokens by kind."""

    reasoning_tokens: int | None = None


@wire
class ResponseUsage(WireObject):
    """Tokens used by one response."""

    input_tokens: int = 0
    input_tokens_details: InputTokensDetails = attrs.field(factory=InputTokensDetails)
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails = attrs.field(factory=OutputTokensDetails)
    total_tokens: int = 0


@wire
class ResponseError(WireObject):
    """The reason why a response failed."""

    code: str | None = None
    message: str | None = None
    misalignment: Raw | None = None
    param: str | None = None
    type: str | None = None


@wire
class IncompleteDetails(WireObject):
    """The reason why a response ended early."""

    reason: str | None = None


@wire
class ResponseConversation(WireObject):
    """The conversation that a response belongs to."""

    id: str | None = None


@wire
class Response(WireObject):
    """A response, whole or so far: what `create()` answers, and what a stream's events add up to. Times are Unix."""

    id: str | None = None
    access_programs: Raw | None = None
    created_at: float | None = None
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | list[Raw] | None = None
    metadata: Raw | None = None
    model: str | None = None
    object: str | None = None
    output: list[ResponseOutputItem] = attrs.field(factory=list[ResponseOutputItem])
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    tool_choice: str | Raw | None = None
    tools: list[Raw] = attrs.field(factory=list[Raw])
    top_p: float | None = None
    background: bool | None = None
    completed_at: float | None = None
    conversation: ResponseConversation | None = None
    image: Raw | None = None
    input_transformations: list[Raw] | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    moderation: Raw | None = None
    content_filters: list[Raw] | None = None  # Azure's
    previous_response_id: str | None = None
    prompt: Raw | None = None
    prompt_cache_diagnostics: Raw | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Raw | None = None
    prompt_cache_retention: str | None = None
    reasoning: Raw | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    status: str | None = None
    text: Raw | None = None
    tool_usage: Raw | None = None
    top_logprobs: int | None = None
    truncation: str | None = None
    usage: ResponseUsage | None = None
    user: str | None = None

    @property
    def output_text(self) -> str:
        """Join the text of all `output_text` parts of all messages; empty if there is none."""
        messages = (item for item in self.output if isinstance(item, ResponseOutputMessage))
        parts = (part for message in messages for part in message.content if isinstance(part, ResponseOutputText))
        return join_text(part.text for part in parts if isinstance(part.text, str))


# ------------------------------------------------------------------------------------------------------ bases of events


@wire
class ResponseEvent(WireObject):
    """An event of a Responses stream."""

    sequence_number: int | None = None


@wire
class ResponseLifecycleEvent(ResponseEvent):
    """An event that carries the response as it is now."""

    response: Response = attrs.field(factory=Response)


@wire
class ResponseOutputEvent(ResponseEvent):
    """An event about an item, which is found by its place in the output."""

    output_index: int | None = None


@wire
class ResponseItemEvent(ResponseOutputEvent):
    """An event about an item, which is also found by its id."""

    item_id: str | None = None


@wire
class ResponseItemDeltaEvent(ResponseItemEvent):
    """A piece of an item's text: code, arguments, input."""

    delta: str = ""


@wire
class ResponseContentEvent(ResponseItemEvent):
    """An event about a part of an item's content."""

    content_index: int | None = None


@wire
class ResponseContentDeltaEvent(ResponseContentEvent):
    """A piece of the text of a part of the content."""

    delta: str = ""


@wire
class ResponseSummaryEvent(ResponseItemEvent):
    """An event about a part of a reasoning item's summary."""

    summary_index: int | None = None


@wire
class ResponseCommandEvent(ResponseOutputEvent):
    """An event about one of a shell call's commands."""

    command_index: int | None = None


# ------------------------------------------------------------------------------------------ the response's life, errors


@wire
class ResponseQueuedEvent(ResponseLifecycleEvent):
    """The response waits for its turn."""

    type: Literal["response.queued"] = "response.queued"


@wire
class ResponseCreatedEvent(ResponseLifecycleEvent):
    """The response exists."""

    type: Literal["response.created"] = "response.created"


@wire
class ResponseInProgressEvent(ResponseLifecycleEvent):
    """The response is being made."""

    type: Literal["response.in_progress"] = "response.in_progress"


@wire
class ResponseCompletedEvent(ResponseLifecycleEvent):
    """The end: the response is whole."""

    type: Literal["response.completed"] = "response.completed"


@wire
class ResponseIncompleteEvent(ResponseLifecycleEvent):
    """The end, too early: `response.incomplete_details` says why."""

    type: Literal["response.incomplete"] = "response.incomplete"


@wire
class ResponseFailedEvent(ResponseLifecycleEvent):
    """The end, by a failure: `response.error` says which."""

    type: Literal["response.failed"] = "response.failed"


@wire
class ResponseErrorEvent(ResponseEvent):
    """Something failed.

    The API documents `code`, `message` and `param` in the event itself and sends them in an object `error`; they can be
    read here in both cases, and the rest of that object, if there was one, in `error`.
    """

    type: Literal["error"] = "error"
    code: str | None = None
    message: str | None = None
    param: str | None = None
    error: ResponseError | None = None

    def __attrs_post_init__(self) -> None:
        """Bring up what only the nested object has."""
        if self.error is not None:
            self.code = self.error.code if self.code is None else self.code
            self.message = self.error.message if self.message is None else self.message
            self.param = self.error.param if self.param is None else self.param
        elif self.message is None and isinstance(error := self.raw.get("error"), str):
            self.message = error


# ---------------------------------------------------------------------------------------------- items and content parts


@wire
class ResponseOutputItemAddedEvent(ResponseOutputEvent):
    """An item begins."""

    type: Literal["response.output_item.added"] = "response.output_item.added"
    item: ResponseOutputItem | None = None


@wire
class ResponseOutputItemDoneEvent(ResponseOutputEvent):
    """An item is whole."""

    type: Literal["response.output_item.done"] = "response.output_item.done"
    item: ResponseOutputItem | None = None


@wire
class ResponseContentPartAddedEvent(ResponseContentEvent):
    """A part of the content begins."""

    type: Literal["response.content_part.added"] = "response.content_part.added"
    part: ResponseContentPart | None = None


@wire
class ResponseContentPartDoneEvent(ResponseContentEvent):
    """A part of the content is whole."""

    type: Literal["response.content_part.done"] = "response.content_part.done"
    part: ResponseContentPart | None = None


@wire
class ResponseTextDeltaEvent(ResponseContentDeltaEvent):
    """A piece of the text."""

    type: Literal["response.output_text.delta"] = "response.output_text.delta"
    logprobs: list[ResponseLogprob] = attrs.field(factory=list[ResponseLogprob])


@wire
class ResponseTextDoneEvent(ResponseContentEvent):
    """The whole text of a part."""

    type: Literal["response.output_text.done"] = "response.output_text.done"
    logprobs: list[ResponseLogprob] = attrs.field(factory=list[ResponseLogprob])
    text: str | None = None


@wire
class ResponseOutputTextAnnotationAddedEvent(ResponseContentEvent):
    """An annotation of the text."""

    type: Literal["response.output_text.annotation.added"] = "response.output_text.annotation.added"
    annotation: ResponseAnnotation | None = None
    annotation_index: int | None = None


@wire
class ResponseRefusalDeltaEvent(ResponseContentDeltaEvent):
    """A piece of a refusal."""

    type: Literal["response.refusal.delta"] = "response.refusal.delta"


@wire
class ResponseRefusalDoneEvent(ResponseContentEvent):
    """The whole refusal."""

    type: Literal["response.refusal.done"] = "response.refusal.done"
    refusal: str | None = None


# ----------------------------------------------------------------------------------------------------- reasoning, audio


@wire
class ResponseReasoningTextDeltaEvent(ResponseContentDeltaEvent):
    """A piece of the reasoning."""

    type: Literal["response.reasoning_text.delta"] = "response.reasoning_text.delta"


@wire
class ResponseReasoningTextDoneEvent(ResponseContentEvent):
    """The whole reasoning of a part."""

    type: Literal["response.reasoning_text.done"] = "response.reasoning_text.done"
    text: str | None = None


@wire
class ResponseReasoningSummaryPartAddedEvent(ResponseSummaryEvent):
    """A part of the summary begins."""

    type: Literal["response.reasoning_summary_part.added"] = "response.reasoning_summary_part.added"
    part: ReasoningSummary | None = None


@wire
class ResponseReasoningSummaryPartDoneEvent(ResponseSummaryEvent):
    """A part of the summary ends; `status` is set if it was cut."""

    type: Literal["response.reasoning_summary_part.done"] = "response.reasoning_summary_part.done"
    part: ReasoningSummary | None = None
    status: str | None = None


@wire
class ResponseReasoningSummaryTextDeltaEvent(ResponseSummaryEvent):
    """A piece of the summary."""

    type: Literal["response.reasoning_summary_text.delta"] = "response.reasoning_summary_text.delta"
    delta: str = ""


@wire
class ResponseReasoningSummaryTextDoneEvent(ResponseSummaryEvent):
    """The whole text of a part of the summary."""

    type: Literal["response.reasoning_summary_text.done"] = "response.reasoning_summary_text.done"
    text: str | None = None


@wire
class ResponseAudioDeltaEvent(ResponseEvent):
    """A piece of audio, base64."""

    type: Literal["response.audio.delta"] = "response.audio.delta"
    delta: str = ""


@wire
class ResponseAudioDoneEvent(ResponseEvent):
    """The audio is whole."""

    type: Literal["response.audio.done"] = "response.audio.done"


@wire
class ResponseAudioTranscriptDeltaEvent(ResponseEvent):
    """A piece of what the audio says."""

    type: Literal["response.audio.transcript.delta"] = "response.audio.transcript.delta"
    delta: str = ""


@wire
class ResponseAudioTranscriptDoneEvent(ResponseEvent):
    """The transcript is whole."""

    type: Literal["response.audio.transcript.done"] = "response.audio.transcript.done"


# --------------------------------------------------------------------------------------------------- the caller's tools


@wire
class ResponseFunctionCallArgumentsDeltaEvent(ResponseItemDeltaEvent):
    """A piece of the arguments, JSON text."""

    type: Literal["response.function_call_arguments.delta"] = "response.function_call_arguments.delta"


@wire
class ResponseFunctionCallArgumentsDoneEvent(ResponseItemEvent):
    """The whole arguments."""

    type: Literal["response.function_call_arguments.done"] = "response.function_call_arguments.done"
    arguments: str | None = None


@wire
class ResponseCustomToolCallInputDeltaEvent(ResponseItemDeltaEvent):
    """A piece of a custom tool's input."""

    type: Literal["response.custom_tool_call_input.delta"] = "response.custom_tool_call_input.delta"


@wire
class ResponseCustomToolCallInputDoneEvent(ResponseItemEvent):
    """A custom tool's whole input."""

    type: Literal["response.custom_tool_call_input.done"] = "response.custom_tool_call_input.done"
    input: str | None = None


@wire
class ResponseShellCallCommandAddedEvent(ResponseCommandEvent):
    """A command begins."""

    type: Literal["response.shell_call_command.added"] = "response.shell_call_command.added"
    command: str | None = None


@wire
class ResponseShellCallCommandDeltaEvent(ResponseCommandEvent):
    """A piece of a command."""

    type: Literal["response.shell_call_command.delta"] = "response.shell_call_command.delta"
    delta: str = ""
    obfuscation: str | None = None


@wire
class ResponseShellCallCommandDoneEvent(ResponseCommandEvent):
    """The whole command."""

    type: Literal["response.shell_call_command.done"] = "response.shell_call_command.done"
    command: str | None = None


@wire
class ShellOutputDelta(WireObject):
    """A piece of what a command printed."""

    stderr: str | None = None
    stdout: str | None = None


@wire
class ResponseShellCallOutputContentDeltaEvent(ResponseItemEvent):
    """A piece of what a command printed."""

    type: Literal["response.shell_call_output_content.delta"] = "response.shell_call_output_content.delta"
    command_index: int | None = None
    delta: ShellOutputDelta = attrs.field(factory=ShellOutputDelta)


@wire
class ResponseShellCallOutputContentDoneEvent(ResponseItemEvent):
    """The whole output of a command."""

    type: Literal["response.shell_call_output_content.done"] = "response.shell_call_output_content.done"
    command_index: int | None = None
    output: list[ShellOutput] = attrs.field(factory=list[ShellOutput])


# --------------------------------------------------------------------------------------------------- the server's tools


@wire
class ResponseFileSearchCallInProgressEvent(ResponseItemEvent):
    """A file search begins."""

    type: Literal["response.file_search_call.in_progress"] = "response.file_search_call.in_progress"


@wire
class ResponseFileSearchCallSearchingEvent(ResponseItemEvent):
    """A file search is on its way."""

    type: Literal["response.file_search_call.searching"] = "response.file_search_call.searching"


@wire
class ResponseFileSearchCallCompletedEvent(ResponseItemEvent):
    """A file search is done."""

    type: Literal["response.file_search_call.completed"] = "response.file_search_call.completed"


@wire
class ResponseWebSearchCallInProgressEvent(ResponseItemEvent):
    """A web search begins."""

    type: Literal["response.web_search_call.in_progress"] = "response.web_search_call.in_progress"


@wire
class ResponseWebSearchCallSearchingEvent(ResponseItemEvent):
    """A web search is on its way."""

    type: Literal["response.web_search_call.searching"] = "response.web_search_call.searching"


@wire
class ResponseWebSearchCallCompletedEvent(ResponseItemEvent):
    """A web search is done."""

    type: Literal["response.web_search_call.completed"] = "response.web_search_call.completed"


@wire
class ResponseCodeInterpreterCallInProgressEvent(ResponseItemEvent):
    """A code interpreter call begins."""

    type: Literal["response.code_interpreter_call.in_progress"] = "response.code_interpreter_call.in_progress"


@wire
class ResponseCodeInterpreterCallCodeDeltaEvent(ResponseItemDeltaEvent):
    """A piece of the code."""

    type: Literal["response.code_interpreter_call_code.delta"] = "response.code_interpreter_call_code.delta"


@wire
class ResponseCodeInterpreterCallCodeDoneEvent(ResponseItemEvent):
    """The whole code."""

    type: Literal["response.code_interpreter_call_code.done"] = "response.code_interpreter_call_code.done"
    code: str | None = None


@wire
class ResponseCodeInterpreterCallInterpretingEvent(ResponseItemEvent):
    """The code runs."""

    type: Literal["response.code_interpreter_call.interpreting"] = "response.code_interpreter_call.interpreting"


@wire
class ResponseCodeInterpreterCallCompletedEvent(ResponseItemEvent):
    """The code ran."""

    type: Literal["response.code_interpreter_call.completed"] = "response.code_interpreter_call.completed"


@wire
class ResponseImageGenCallInProgressEvent(ResponseItemEvent):
    """A picture begins."""

    type: Literal["response.image_generation_call.in_progress"] = "response.image_generation_call.in_progress"


@wire
class ResponseImageGenCallGeneratingEvent(ResponseItemEvent):
    """A picture is on its way."""

    type: Literal["response.image_generation_call.generating"] = "response.image_generation_call.generating"


@wire
class ResponseImageGenCallPartialImageEvent(ResponseItemEvent):
    """A picture so far, base64."""

    type: Literal["response.image_generation_call.partial_image"] = "response.image_generation_call.partial_image"
    partial_image_b64: str | None = None
    partial_image_index: int | None = None
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None


@wire
class ResponseImageGenCallCompletedEvent(ResponseItemEvent):
    """A picture is done; it comes in its item."""

    type: Literal["response.image_generation_call.completed"] = "response.image_generation_call.completed"


@wire
class ResponseMcpCallInProgressEvent(ResponseItemEvent):
    """A call of an MCP tool begins."""

    type: Literal["response.mcp_call.in_progress"] = "response.mcp_call.in_progress"


@wire
class ResponseMcpCallArgumentsDeltaEvent(ResponseItemDeltaEvent):
    """A piece of the arguments, JSON text."""

    type: Literal["response.mcp_call_arguments.delta"] = "response.mcp_call_arguments.delta"


@wire
class ResponseMcpCallArgumentsDoneEvent(ResponseItemEvent):
    """The whole arguments."""

    type: Literal["response.mcp_call_arguments.done"] = "response.mcp_call_arguments.done"
    arguments: str | None = None


@wire
class ResponseMcpCallCompletedEvent(ResponseItemEvent):
    """A call of an MCP tool is done."""

    type: Literal["response.mcp_call.completed"] = "response.mcp_call.completed"


@wire
class ResponseMcpCallFailedEvent(ResponseItemEvent):
    """A call of an MCP tool failed; its item says why."""

    type: Literal["response.mcp_call.failed"] = "response.mcp_call.failed"


@wire
class ResponseMcpListToolsInProgressEvent(ResponseItemEvent):
    """An MCP server is asked for its tools."""

    type: Literal["response.mcp_list_tools.in_progress"] = "response.mcp_list_tools.in_progress"


@wire
class ResponseMcpListToolsCompletedEvent(ResponseItemEvent):
    """An MCP server told its tools."""

    type: Literal["response.mcp_list_tools.completed"] = "response.mcp_list_tools.completed"


@wire
class ResponseMcpListToolsFailedEvent(ResponseItemEvent):
    """An MCP server did not tell its tools."""

    type: Literal["response.mcp_list_tools.failed"] = "response.mcp_list_tools.failed"


@wire
class ResponseCompactionCompactingEvent(ResponseItemEvent):
    """The conversation is being made smaller."""

    type: Literal["response.compaction.compacting"] = "response.compaction.compacting"


# -------------------------------------------------------------------------------------------------------------- the lot


ResponseStreamEvent = (
    ResponseQueuedEvent
    | ResponseCreatedEvent
    | ResponseInProgressEvent
    | ResponseCompletedEvent
    | ResponseIncompleteEvent
    | ResponseFailedEvent
    | ResponseErrorEvent
    | ResponseOutputItemAddedEvent
    | ResponseOutputItemDoneEvent
    | ResponseContentPartAddedEvent
    | ResponseContentPartDoneEvent
    | ResponseTextDeltaEvent
    | ResponseTextDoneEvent
    | ResponseOutputTextAnnotationAddedEvent
    | ResponseRefusalDeltaEvent
    | ResponseRefusalDoneEvent
    | ResponseReasoningTextDeltaEvent
    | ResponseReasoningTextDoneEvent
    | ResponseReasoningSummaryPartAddedEvent
    | ResponseReasoningSummaryPartDoneEvent
    | ResponseReasoningSummaryTextDeltaEvent
    | ResponseReasoningSummaryTextDoneEvent
    | ResponseAudioDeltaEvent
    | ResponseAudioDoneEvent
    | ResponseAudioTranscriptDeltaEvent
    | ResponseAudioTranscriptDoneEvent
    | ResponseFunctionCallArgumentsDeltaEvent
    | ResponseFunctionCallArgumentsDoneEvent
    | ResponseCustomToolCallInputDeltaEvent
    | ResponseCustomToolCallInputDoneEvent
    | ResponseShellCallCommandAddedEvent
    | ResponseShellCallCommandDeltaEvent
    | ResponseShellCallCommandDoneEvent
    | ResponseShellCallOutputContentDeltaEvent
    | ResponseShellCallOutputContentDoneEvent
    | ResponseFileSearchCallInProgressEvent
    | ResponseFileSearchCallSearchingEvent
    | ResponseFileSearchCallCompletedEvent
    | ResponseWebSearchCallInProgressEvent
    | ResponseWebSearchCallSearchingEvent
    | ResponseWebSearchCallCompletedEvent
    | ResponseCodeInterpreterCallInProgressEvent
    | ResponseCodeInterpreterCallCodeDeltaEvent
    | ResponseCodeInterpreterCallCodeDoneEvent
    | ResponseCodeInterpreterCallInterpretingEvent
    | ResponseCodeInterpreterCallCompletedEvent
    | ResponseImageGenCallInProgressEvent
    | ResponseImageGenCallGeneratingEvent
    | ResponseImageGenCallPartialImageEvent
    | ResponseImageGenCallCompletedEvent
    | ResponseMcpCallInProgressEvent
    | ResponseMcpCallArgumentsDeltaEvent
    | ResponseMcpCallArgumentsDoneEvent
    | ResponseMcpCallCompletedEvent
    | ResponseMcpCallFailedEvent
    | ResponseMcpListToolsInProgressEvent
    | ResponseMcpListToolsCompletedEvent
    | ResponseMcpListToolsFailedEvent
    | ResponseCompactionCompactingEvent
    | UnknownEvent
)
