"""Objects that the server stores: files, batches, conversations and chat completions; and what comes of deleting them.

Lists of them are here too. A program gets those as a `trio_openai.Page`.
"""

from __future__ import annotations

from typing import Literal

import attrs

from ._base import Unknown, WireObject, wire
from ._raw import Raw
from .chat import ChatCompletion, ChatCompletionMessage
from .others import ResponseInputFile, ResponseInputImage, ResponseInputText
from .response_items import (
    OutputItem,
    ResponseOutputItem,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningText,
)
from .responses import InputTokensDetails, OutputTokensDetails, ResponseUsage


@wire
class ListPage(WireObject):
    """The base of the lists."""

    first_id: str | None = None
    has_more: bool | None = None
    last_id: str | None = None
    object: str | None = None


@wire
class Deleted(WireObject):
    """The object that says that another one was deleted."""

    id: str = ""
    deleted: bool = False
    object: str | None = None


# ------------------------------------------------------------------------------------------------------- files


@wire
class FileObject(WireObject):
    """An uploaded file: its name, size and purpose, without its content."""

    id: str = ""
    bytes: int = 0
    created_at: int = 0
    expires_at: int | None = None
    filename: str = ""
    object: str | None = None
    purpose: str = ""
    status: str = ""
    status_details: str | None = None


@wire
class FileList(ListPage):
    """A page of files."""

    data: list[FileObject] = attrs.field(factory=list[FileObject])


@wire
class FileDeleted(Deleted):
    """A file was deleted."""


@wire
class ModelDeleted(Deleted):
    """A fine-tuned model was deleted."""


# ----------------------------------------------------------------------------------------------------- batches


@wire
class BatchError(WireObject):
    """A mistake in the input of a batch. `line` is its number in the input file."""

    code: str | None = None
    line: int | None = None
    message: str | None = None
    param: str | None = None


@wire
class BatchErrors(WireObject):
    """The mistakes in the input of a batch."""

    data: list[BatchError] | None = None
    object: str | None = None


@wire
class BatchRequestCounts(WireObject):
    """The number of requests in a batch, by outcome."""

    completed: int = 0
    failed: int = 0
    total: int = 0


@wire
class BatchUsage(WireObject):
    """The tokens that a batch used."""

    input_tokens: int = 0
    input_tokens_details: InputTokensDetails | None = None
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails | None = None
    total_tokens: int = 0


@wire
class Batch(WireObject):
    """A batch of requests. Times are in Unix seconds, and None until they have come."""

    id: str = ""
    cancelled_at: int | None = None
    cancelling_at: int | None = None
    completed_at: int | None = None
    completion_window: str = ""
    created_at: int = 0
    endpoint: str = ""
    error_file_id: str | None = None
    errors: BatchErrors | None = None
    expired_at: int | None = None
    expires_at: int | None = None
    failed_at: int | None = None
    finalizing_at: int | None = None
    in_progress_at: int | None = None
    input_file_id: str = ""
    metadata: Raw | None = None
    model: str | None = None
    object: str | None = None
    output_file_id: str | None = None
    request_counts: BatchRequestCounts | None = None
    status: str = ""
    usage: BatchUsage | None = None


@wire
class BatchList(ListPage):
    """A page of batches."""

    data: list[Batch] = attrs.field(factory=list[Batch])


# ----------------------------------------------------------------------------------------------- conversations


@wire
class Conversation(WireObject):
    """A conversation that the server stores. Its items are listed separately."""

    id: str = ""
    created_at: int = 0
    metadata: Raw | None = None
    object: str | None = None


@wire
class ConversationDeletedResource(Deleted):
    """A conversation was deleted."""


@wire
class TextContent(WireObject):
    """Text of a message in a conversation."""

    type: Literal["text"] = "text"
    text: str | None = None


@wire
class SummaryTextContent(WireObject):
    """A summary of the model's reasoning, in a conversation."""

    type: Literal["summary_text"] = "summary_text"
    text: str | None = None


@wire
class ComputerScreenshotContent(WireObject):
    """A screenshot in a conversation."""

    type: Literal["computer_screenshot"] = "computer_screenshot"
    detail: str | None = None
    file_id: str | None = None
    image_url: str | None = None
    prompt_cache_breakpoint: Raw | None = None


ConversationContent = (
    ResponseInputText
    | ResponseOutputText
    | TextContent
    | SummaryTextContent
    | ResponseReasoningText
    | ResponseOutputRefusal
    | ResponseInputImage
    | ComputerScreenshotContent
    | ResponseInputFile
    | Unknown
)


@wire
class Message(OutputItem):
    """A message of a conversation, from anybody."""

    type: Literal["message"] = "message"
    content: list[ConversationContent] = attrs.field(factory=list[ConversationContent])
    phase: str | None = None
    role: str | None = None
    status: str | None = None


ConversationItem = Message | ResponseOutputItem
"""An item of a conversation. A message is always a `Message`; the others are as in the output of a response."""


@wire
class ConversationItemList(ListPage):
    """Items of a conversation."""

    data: list[ConversationItem] = attrs.field(factory=list[ConversationItem])


# --------------------------------------------------------------------------------------------------- responses


@wire
class CompactedResponse(WireObject):
    """A conversation in fewer tokens. Use `output` as the beginning of the next `input`."""

    id: str = ""
    created_at: int = 0
    image: Raw | None = None
    object: str | None = None
    output: list[ResponseOutputItem] = attrs.field(factory=list[ResponseOutputItem])
    usage: ResponseUsage | None = None


@wire
class InputTokenCountResponse(WireObject):
    """The number of tokens that an input would use."""

    input_tokens: int = 0
    object: str | None = None


# ------------------------------------------------------------------------------------- stored chat completions


@wire
class ChatCompletionList(ListPage):
    """A page of stored chat completions."""

    data: list[ChatCompletion] = attrs.field(factory=list[ChatCompletion])


@wire
class ChatCompletionDeleted(Deleted):
    """A stored chat completion was deleted."""


@wire
class ChatCompletionStoreMessage(ChatCompletionMessage):
    """A message that a stored chat completion answers. `content_parts` has its images."""

    id: str = ""
    content_parts: list[Raw] | None = None


@wire
class ChatCompletionStoreMessageList(ListPage):
    """A page of the messages of a stored chat completion."""

    data: list[ChatCompletionStoreMessage] = attrs.field(factory=list[ChatCompletionStoreMessage])


# ------------------------------------------------------------------------------------------- the content of a file


class BinaryContent(bytes):
    """The content of a file: bytes, which also have openai-python's names for themselves and their text."""

    __slots__ = ()

    @property
    def content(self) -> bytes:
        """The bytes."""
        return self

    @property
    def text(self) -> str:
        """The bytes as text in UTF-8. What is not UTF-8 is replaced by U+FFFD."""
        return self.decode(errors="replace")

    def read(self) -> bytes:
        """Return the bytes."""
        return self
