"""Models, embeddings, and the items of a stored response's input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from ._base import Unknown, WireObject, wire
from ._raw import Raw
from .response_items import OutputItem, ResponseOutputItem, ResponseOutputRefusal, ResponseOutputText

# --------------------------------------------------------------------------------------------------------------- models


@wire
class Model(WireObject):
    """A model that can be asked."""

    id: str | None = None
    created: int | None = None
    object: str | None = None
    owned_by: str | None = None
    shutdown_date: str | None = None


@wire
class ModelList(WireObject):
    """A list of models."""

    data: list[Model] = attrs.field(factory=list[Model])
    object: str | None = None


# ----------------------------------------------------------------------------------------------------------- embeddings


@wire
class Embedding(WireObject):
    """A vector: numbers, or their base64 text if that was asked for."""

    if TYPE_CHECKING:
        embedding: list[float] = attrs.field(factory=list[float])
    else:  # what is read as a list would be empty where there is text
        embedding: Any = attrs.field(factory=list)
    index: int | None = None
    object: str | None = None


@wire
class EmbeddingUsage(WireObject):
    """Tokens used by one request."""

    prompt_tokens: int = 0
    total_tokens: int = 0


@wire
class CreateEmbeddingResponse(WireObject):
    """The vectors of one request, in the order of its inputs."""

    data: list[Embedding] = attrs.field(factory=list[Embedding])
    model: str | None = None
    object: str | None = None
    usage: EmbeddingUsage | None = None


# ------------------------------------------------------------------------------------------- the input of a response


@wire
class ResponseInputText(WireObject):
    """Text of a message."""

    type: Literal["input_text"] = "input_text"
    text: str | None = None
    prompt_cache_breakpoint: Raw | None = None


@wire
class ResponseInputImage(WireObject):
    """A picture in a message."""

    type: Literal["input_image"] = "input_image"
    detail: str | None = None
    file_id: str | None = None
    image_url: str | None = None
    prompt_cache_breakpoint: Raw | None = None


@wire
class ResponseInputFile(WireObject):
    """A file in a message."""

    type: Literal["input_file"] = "input_file"
    detail: str | None = None
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None
    prompt_cache_breakpoint: Raw | None = None


ResponseInputContent = (
    ResponseInputText | ResponseInputImage | ResponseInputFile | ResponseOutputText | ResponseOutputRefusal | Unknown
)


@wire
class ResponseInputMessageItem(OutputItem):
    """A message of a response's input, whoever said it."""

    type: Literal["message"] = "message"
    content: list[ResponseInputContent] = attrs.field(factory=list[ResponseInputContent])
    role: str | None = None
    status: str | None = None


ResponseItem = ResponseInputMessageItem | ResponseOutputItem
"""An item of a response's input. A message is always a `ResponseInputMessageItem`; the others are as in an output."""


@wire
class ResponseItemList(WireObject):
    """A page of the items of a response's input."""

    data: list[ResponseItem] = attrs.field(factory=list[ResponseItem])
    first_id: str | None = None
    has_more: bool | None = None
    last_id: str | None = None
    object: str | None = None
