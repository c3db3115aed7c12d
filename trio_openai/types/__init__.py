"""The objects that the API sends: chat completions and their chunks, responses with their items, parts and events.

Every one is a thin, typed view of a decoded JSON object: names are the API's, every field may be absent (then it is its
default), and `raw` holds the object as it came, fields that are not known here included. An event or an item of a type
that is not known here is an `UnknownEvent` or `UnknownItem`. The module of a class does not matter to a program: import
it from here.

Each class is made when it is first asked for: to make all of them takes longer than to stream a hundred events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_openai._lazy_names import import_name

if TYPE_CHECKING:
    from ._base import *
    from ._raw import JSONDict as JSONDict
    from ._raw import Raw as Raw
    from .audio import *
    from .chat import *
    from .chat_params import *
    from .completions import *
    from .deltas import *
    from .images import *
    from .input_params import *
    from .moderations import *
    from .others import *
    from .params import *
    from .parsed import *
    from .response_items import *
    from .responses import *
    from .stored import *
    from .stored_params import *
    from .tool_params import *
    from .webhooks import *

# Where each public name is. It is imported when it is first asked for.
NAMES = {
    "_raw": "JSONDict Raw",
    "_base": "NamedEvent Unknown UnknownEvent WireObject",
    "chat": (
        "Annotation Audio ChatCompletion ChatCompletionChunk ChatCompletionMessage ChatCompletionTokenLogprob "
        "Choice ChoiceDelta ChoiceLogprobs ChunkChoice CompletionTokensDetails CompletionUsage CustomTool "
        "Function PromptTokensDetails ToolCall ToolCallDelta TopLogprob UrlCitation"
    ),
    "completions": "Completion CompletionChoice CompletionLogprobs",
    "deltas": (
        "CallKind ContentDelta ContentDone Delta PartDelta PartDone ReasoningDelta ReasoningDone RefusalDelta "
        "RefusalDone ToolCallArgumentsDelta ToolCallDone"
    ),
    "parsed": "AnswerAttempt ParsedChatCompletion ParsedChatCompletionMessage ParsedChoice ParsedResponse Unparsed",
    "audio": (
        "Speech SpeechAudioDeltaEvent SpeechAudioDoneEvent SpeechStreamEvent SpeechUsage Transcription "
        "TranscriptionDiarized TranscriptionDiarizedSegment TranscriptionLanguage TranscriptionSegment "
        "TranscriptionStreamEvent TranscriptionTextDeltaEvent TranscriptionTextDoneEvent "
        "TranscriptionTokenDetails TranscriptionUsage TranscriptionUsageDuration TranscriptionUsageTokens "
        "TranscriptionVerbose TranscriptionWord Translation TranslationVerbose"
    ),
    "images": (
        "Image ImageEditCompletedEvent ImageEditPartialImageEvent ImageEvent ImageGenCompletedEvent "
        "ImageGenPartialImageEvent ImageStreamEvent ImagesResponse ImagesTokensDetails ImagesUsage"
    ),
    "others": (
        "CreateEmbeddingResponse Embedding EmbeddingUsage Model ModelList ResponseInputContent "
        "ResponseInputFile ResponseInputImage ResponseInputMessageItem ResponseInputText ResponseItem "
        "ResponseItemList"
    ),
    "chat_params": (
        "AudioID ChatCompletionAllowedToolChoiceParam ChatCompletionAllowedToolsParam "
        "ChatCompletionAssistantMessageParam ChatCompletionAudioParam ChatCompletionContentPartImageParam "
        "ChatCompletionContentPartInputAudioParam ChatCompletionContentPartParam "
        "ChatCompletionContentPartRefusalParam ChatCompletionContentPartTextParam ChatCompletionCustomToolParam "
        "ChatCompletionDeveloperMessageParam ChatCompletionFunctionCallOptionParam "
        "ChatCompletionFunctionMessageParam ChatCompletionFunctionToolParam "
        "ChatCompletionMessageCustomToolCallParam ChatCompletionMessageFunctionToolCallParam "
        "ChatCompletionMessageParam ChatCompletionMessageToolCallParam ChatCompletionMessageToolCallUnionParam "
        "ChatCompletionNamedToolChoiceCustomParam ChatCompletionNamedToolChoiceParam "
        "ChatCompletionPredictionContentParam ChatCompletionStreamOptionsParam ChatCompletionSystemMessageParam "
        "ChatCompletionToolChoiceOptionParam ChatCompletionToolMessageParam ChatCompletionToolParam "
        "ChatCompletionToolUnionParam ChatCompletionUserMessageParam CustomFormatGrammar "
        "CustomFormatGrammarGrammar CustomFormatText CustomToolCall CustomToolDefinition File FileFile "
        "FunctionCall FunctionDefinition ImageURL InputAudio JSONSchema NamedFunction PromptCacheBreakpoint "
        "ResponseFormat ResponseFormatJSONObject ResponseFormatJSONSchema ResponseFormatText VoiceID "
        "WebSearchOptions WebSearchOptionsUserLocation WebSearchOptionsUserLocationApproximate"
    ),
    "input_params": (
        "AdditionalToolsParam ApplyPatchCallOutputParam ApplyPatchCallParam CompactionTrigger ComputerCallOutput "
        "ComputerCallOutputAcknowledgedSafetyCheck EasyInputMessageParam FunctionCallOutput "
        "ImageGenerationCallParam ItemReference ItemStatus LocalShellCallOutputParam LocalShellCallParam "
        "McpApprovalRequestParam McpApprovalResponseParam McpCallParam McpListToolsParam ProgramOutputParam "
        "ProgramParam ReasoningContentParam ReasoningSummaryParam ResponseCodeInterpreterToolCallParam "
        "ResponseCompactionItemParam ResponseComputerToolCallOutputScreenshotParam ResponseComputerToolCallParam "
        "ResponseConfigurationUpdateItemParam ResponseConversationParam ResponseCustomToolCallOutputParam "
        "ResponseCustomToolCallParam ResponseFileSearchToolCallParam ResponseFunctionCallOutputItemListParam "
        "ResponseFunctionCallOutputItemParam ResponseFunctionShellCallOutputContentParam "
        "ResponseFunctionToolCallParam ResponseFunctionWebSearchParam ResponseInputAudioParam "
        "ResponseInputContentParam ResponseInputFileContentParam ResponseInputFileParam "
        "ResponseInputImageContentParam ResponseInputImageParam ResponseInputItemParam "
        "ResponseInputMessageContentListParam ResponseInputMessageParam ResponseInputParam "
        "ResponseInputTextContentParam ResponseInputTextParam ResponseOutputMessageParam "
        "ResponseOutputRefusalParam ResponseOutputTextParam ResponsePromptParam ResponseReasoningItemParam "
        "ResponseToolSearchOutputItemParam ShellCallAction ShellCallOutputParam ShellCallParam ToolSearchCallParam"
    ),
    "tool_params": (
        "AllowedCallers ApplyPatchToolParam CodeInterpreterContainerAuto CodeInterpreterToolParam ComparisonFilter "
        "CompoundFilter ComputerToolParam ComputerUsePreviewToolParam ContainerAutoParam "
        "ContainerNetworkPolicyParam ContainerReferenceParam CustomToolGrammar CustomToolParam FileSearchToolParam "
        "FunctionShellToolParam FunctionToolParam ImageGenerationInputImageMask ImageGenerationToolParam "
        "LocalEnvironmentParam LocalShellToolParam McpToolApprovalFilter McpToolFilter McpToolParam "
        "NamespaceToolParam NetworkPolicyDomainSecret ProgrammaticToolCallingParam RankingOptions "
        "RankingOptionsHybridSearch Reasoning ResponseFormatTextConfigParam "
        "ResponseFormatTextJSONSchemaConfigParam ResponseTextConfigParam ToolChoice ToolChoiceAllowedParam "
        "ToolChoiceApplyPatchParam ToolChoiceCustomParam ToolChoiceFunctionParam ToolChoiceMcpParam "
        "ToolChoiceOptions ToolChoiceShellParam ToolChoiceTypesParam ToolParam ToolSearchToolParam "
        "WebSearchPreviewToolParam WebSearchToolFilters WebSearchToolParam WebSearchToolUserLocation"
    ),
    "params": (
        "CallParams ChatCompletionListParams ChatCompletionParams ChatCompletionUpdateParams "
        " CompletionParams EmbeddingParams FileContent FileInput "
        "ImageEditParams ImageGenerateParams InputItemListParams JSONObject PageParams ResponseParams "
        "ResponseRetrieveParams ResponseStreamParams SpeechParams TranscriptionParams "
        "TranscriptionStreamParams"
    ),
    "response_items": (
        "AdditionalTools AnnotationContainerFileCitation AnnotationFileCitation AnnotationFilePath "
        "AnnotationURLCitation ApplyPatchCreateFile ApplyPatchDeleteFile ApplyPatchOperation "
        "ApplyPatchUpdateFile CallerDirect CallerProgram CodeInterpreterOutput CodeInterpreterOutputImage "
        "CodeInterpreterOutputLogs ComputerScreenshot FileSearchResult ImageGenerationCall "
        "ImageGenerationCallError ImageModerationDetails ImageSvgUsage LocalShellCall LocalShellCallAction "
        "LocalShellCallOutput McpApprovalRequest McpApprovalResponse McpCall McpHTTPError McpListTools "
        "McpListToolsTool McpProtocolError McpToolCallError McpToolExecutionError MessageContent OutputItem "
        "Program ProgramOutput ReasoningContent ReasoningSummary ResponseAnnotation "
        "ResponseApplyPatchToolCall ResponseApplyPatchToolCallOutput ResponseCodeInterpreterToolCall "
        "ResponseCompactionItem ResponseComputerToolCall ResponseComputerToolCallOutputItem "
        "ResponseContainerReference ResponseContentPart ResponseCustomToolCall "
        "ResponseCustomToolCallOutputItem ResponseFileSearchToolCall ResponseFunctionShellToolCall "
        "ResponseFunctionShellToolCallOutput ResponseFunctionToolCall ResponseFunctionToolCallOutputItem "
        "ResponseFunctionWebSearch ResponseLocalEnvironment ResponseLogprob ResponseOutputItem "
        "ResponseOutputMessage ResponseOutputRefusal ResponseOutputText ResponseReasoningItem "
        "ResponseReasoningSummary ResponseReasoningText ResponseToolSearchCall ResponseToolSearchOutputItem "
        "SafetyCheck ShellAction ShellEnvironment ShellOutcome ShellOutcomeExit ShellOutcomeTimeout "
        "ShellOutput ToolCaller ToolItem UnknownItem WebSearchAction WebSearchActionFind "
        "WebSearchActionOpenPage WebSearchActionSearch WebSearchSource"
    ),
    "responses": (
        "IncompleteDetails InputTokensDetails OutputTokensDetails Response ResponseAudioDeltaEvent "
        "ResponseAudioDoneEvent ResponseAudioTranscriptDeltaEvent ResponseAudioTranscriptDoneEvent "
        "ResponseCodeInterpreterCallCodeDeltaEvent ResponseCodeInterpreterCallCodeDoneEvent "
        "ResponseCodeInterpreterCallCompletedEvent ResponseCodeInterpreterCallInProgressEvent "
        "ResponseCodeInterpreterCallInterpretingEvent ResponseCommandEvent ResponseCompactionCompactingEvent "
        "ResponseCompletedEvent ResponseContentDeltaEvent ResponseContentEvent ResponseContentPartAddedEvent "
        "ResponseContentPartDoneEvent ResponseConversation ResponseCreatedEvent "
        "ResponseCustomToolCallInputDeltaEvent ResponseCustomToolCallInputDoneEvent ResponseError "
        "ResponseErrorEvent ResponseEvent ResponseFailedEvent ResponseFileSearchCallCompletedEvent "
        "ResponseFileSearchCallInProgressEvent ResponseFileSearchCallSearchingEvent "
        "ResponseFunctionCallArgumentsDeltaEvent ResponseFunctionCallArgumentsDoneEvent "
        "ResponseImageGenCallCompletedEvent ResponseImageGenCallGeneratingEvent "
        "ResponseImageGenCallInProgressEvent ResponseImageGenCallPartialImageEvent ResponseInProgressEvent "
        "ResponseIncompleteEvent ResponseItemDeltaEvent ResponseItemEvent ResponseLifecycleEvent "
        "ResponseMcpCallArgumentsDeltaEvent ResponseMcpCallArgumentsDoneEvent ResponseMcpCallCompletedEvent "
        "ResponseMcpCallFailedEvent ResponseMcpCallInProgressEvent ResponseMcpListToolsCompletedEvent "
        "ResponseMcpListToolsFailedEvent ResponseMcpListToolsInProgressEvent ResponseOutputEvent "
        "ResponseOutputItemAddedEvent ResponseOutputItemDoneEvent ResponseOutputTextAnnotationAddedEvent "
        "ResponseQueuedEvent ResponseReasoningSummaryPartAddedEvent ResponseReasoningSummaryPartDoneEvent "
        "ResponseReasoningSummaryTextDeltaEvent ResponseReasoningSummaryTextDoneEvent "
        "ResponseReasoningTextDeltaEvent ResponseReasoningTextDoneEvent ResponseRefusalDeltaEvent "
        "ResponseRefusalDoneEvent ResponseShellCallCommandAddedEvent ResponseShellCallCommandDeltaEvent "
        "ResponseShellCallCommandDoneEvent ResponseShellCallOutputContentDeltaEvent "
        "ResponseShellCallOutputContentDoneEvent ResponseStreamEvent ResponseSummaryEvent "
        "ResponseTextDeltaEvent ResponseTextDoneEvent ResponseUsage ResponseWebSearchCallCompletedEvent "
        "ResponseWebSearchCallInProgressEvent ResponseWebSearchCallSearchingEvent ShellOutputDelta"
    ),
    "moderations": "Categories CategoryAppliedInputTypes CategoryScores Moderation ModerationCreateResponse",
    "stored": (
        "Batch BatchError BatchErrors BatchList BatchRequestCounts BatchUsage BinaryContent "
        "ChatCompletionDeleted ChatCompletionList ChatCompletionStoreMessage ChatCompletionStoreMessageList "
        "CompactedResponse ComputerScreenshotContent Conversation ConversationContent "
        "ConversationDeletedResource ConversationItem ConversationItemList Deleted FileDeleted FileList "
        "FileObject InputTokenCountResponse ListPage Message ModelDeleted SummaryTextContent TextContent"
    ),
    "stored_params": (
        "BatchCreateParams BatchListParams "
        "ConversationCreateParams ConversationItemCreateParams ConversationItemListParams "
        "ConversationItemRetrieveParams ConversationUpdateParams FileCreateParams FileListParams "
        "InputTokenCountParams ModerationCreateParams ResponseCompactParams TranslationCreateParams "
        "TranslationParams"
    ),
    "webhooks": (
        "BatchCancelledWebhookEvent BatchCompletedWebhookEvent BatchExpiredWebhookEvent "
        "BatchFailedWebhookEvent EvalRunCanceledWebhookEvent EvalRunFailedWebhookEvent "
        "EvalRunSucceededWebhookEvent FineTuningJobCancelledWebhookEvent FineTuningJobFailedWebhookEvent "
        "FineTuningJobSucceededWebhookEvent RealtimeCallData RealtimeCallIncomingWebhookEvent "
        "ResponseCancelledWebhookEvent ResponseCompletedWebhookEvent ResponseFailedWebhookEvent "
        "ResponseIncompleteWebhookEvent SipHeader UnknownWebhookEvent UnwrapWebhookEvent WebhookData "
        "WebhookEvent"
    ),
}
SHAPES = frozenset({"chat_params", "input_params", "tool_params"})
"""The modules of dictionaries that a program sends. Only type checkers look at their keys."""
_MODULE_OF = {name: module for module, names in NAMES.items() for name in names.split()}

if not TYPE_CHECKING:  # checkers take the names from the star imports above
    __all__ = list(_MODULE_OF)

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for."""
        return import_name(globals(), _MODULE_OF, name)

    def __dir__() -> list[str]:
        """List the public names, also those that are not imported yet."""
        return sorted({*globals(), *__all__})
