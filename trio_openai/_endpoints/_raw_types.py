"""The types of `with_raw_response`, for type checkers: at run time it is the endpoint itself, with a `RawCaller`.

Results are typed; parameters are checked when a method is called, and their types stand in the endpoint's own class.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, overload

from trio_openai._request.raw_response import RawResponse
from trio_openai._stream.stream import ChatCompletionStream as ChatStream
from trio_openai._stream.stream import CompletionStream, ImageStream, ResponseStream, SpeechStream, TranscriptionStream
from trio_openai.types import (
    ChatCompletion,
    Completion,
    CreateEmbeddingResponse,
    ImagesResponse,
    Model,
    Response,
    ResponseItem,
)

from ._pages import Page
from .audio import AnyTranscription

_P = ParamSpec("_P")
_T = TypeVar("_T")
StreamT = TypeVar("StreamT", covariant=True)
WholeT = TypeVar("WholeT", covariant=True)

Raw = Callable[_P, Awaitable[RawResponse[_T]]]


class RawCreating(Protocol[StreamT, WholeT]):
    """Of an endpoint with `create`."""

    @overload
    async def create(self, *, stream: Literal[True], **params: Any) -> RawResponse[StreamT]: ...
    @overload
    async def create(self, *, stream: Literal[False] | None = None, **params: Any) -> RawResponse[WholeT]: ...


class RawCalled(Protocol[StreamT, WholeT]):
    """Of an endpoint that is called itself."""

    @overload
    async def __call__(self, *where: str, stream: Literal[True], **params: Any) -> RawResponse[StreamT]: ...
    @overload
    async def __call__(
        self, *where: str, stream: Literal[False] | None = None, **params: Any
    ) -> RawResponse[WholeT]: ...


class RawChat(Protocol):
    """Of `client.chat`."""

    completions: RawCreating[ChatStream, ChatCompletion]


class RawInputItems(Protocol):
    """Of `client.responses.input_items`."""

    list: Raw[..., Page[ResponseItem]]


class RawResponses(RawCreating[ResponseStream, Response], Protocol):
    """Of `client.responses`."""

    retrieve: RawCalled[ResponseStream, Response]
    input_items: RawInputItems
    cancel: Raw[..., Response]
    delete: Raw[..., None]


class RawImages(Protocol):
    """Of `client.images`."""

    generate: RawCalled[ImageStream, ImagesResponse]
    edit: RawCalled[ImageStream, ImagesResponse]


class RawAudio(Protocol):
    """Of `client.audio`."""

    transcriptions: RawCreating[TranscriptionStream, AnyTranscription]
    speech: RawCreating[SpeechStream, bytes]


class RawModels(Protocol):
    """Of `client.models`."""

    list: Raw[..., Page[Model]]
    retrieve: Raw[..., Model]


class RawEmbeddings(Protocol):
    """Of `client.embeddings`."""

    create: Raw[..., CreateEmbeddingResponse]


class RawClient(Protocol):
    """Of the client."""

    chat: RawChat
    completions: RawCreating[CompletionStream, Completion]
    responses: RawResponses
    images: RawImages
    audio: RawAudio
    models: RawModels
    embeddings: RawEmbeddings
