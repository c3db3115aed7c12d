"""Images: the plain answer, and the events of a stream. A picture is base64 text, as it was sent."""

from __future__ import annotations

from typing import Literal

import attrs

from ._base import UnknownEvent, WireObject, wire
from .response_items import ImageSvgUsage


@wire
class ImagesTokensDetails(WireObject):
    """Tokens by kind."""

    image_tokens: int | None = None
    text_tokens: int | None = None


@wire
class ImagesUsage(WireObject):
    """Tokens used by one request."""

    input_tokens: int = 0
    input_tokens_details: ImagesTokensDetails | None = None
    output_tokens: int = 0
    output_tokens_details: ImagesTokensDetails | None = None
    total_tokens: int = 0


@wire
class Image(WireObject):
    """A picture: its base64 text, or where it can be had."""

    b64_json: str | None = None
    revised_prompt: str | None = None
    url: str | None = None


@wire
class ImagesResponse(WireObject):
    """The pictures of one request: what it answers plainly, and what a stream's events add up to."""

    created: int | None = None
    background: str | None = None
    data: list[Image] = attrs.field(factory=list[Image])
    output_format: str | None = None
    quality: str | None = None
    safety_identifier: str | None = None
    size: str | None = None
    svg_usage: ImageSvgUsage | None = None
    usage: ImagesUsage | None = None


@wire
class ImageEvent(WireObject):
    """The fields that the events of a stream share."""

    b64_json: str | None = None
    background: str | None = None
    created_at: int | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None


@wire
class ImageGenPartialImageEvent(ImageEvent):
    """A picture so far."""

    type: Literal["image_generation.partial_image"] = "image_generation.partial_image"
    partial_image_index: int | None = None


@wire
class ImageGenCompletedEvent(ImageEvent):
    """A picture, whole."""

    type: Literal["image_generation.completed"] = "image_generation.completed"
    usage: ImagesUsage | None = None
    safety_identifier: str | None = None


@wire
class ImageEditPartialImageEvent(ImageEvent):
    """An edited picture so far."""

    type: Literal["image_edit.partial_image"] = "image_edit.partial_image"
    partial_image_index: int | None = None


@wire
class ImageEditCompletedEvent(ImageEvent):
    """An edited picture, whole."""

    type: Literal["image_edit.completed"] = "image_edit.completed"
    usage: ImagesUsage | None = None
    safety_identifier: str | None = None


ImageStreamEvent = (
    ImageGenPartialImageEvent
    | ImageGenCompletedEvent
    | ImageEditPartialImageEvent
    | ImageEditCompletedEvent
    | UnknownEvent
)
