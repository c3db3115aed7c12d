"""The types of the blocking client's `with_raw_response`, as `_endpoints/_raw_types.py` has them for the other one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, overload

from trio_openai._endpoints.audio import AnyTranscription
from trio_openai.types import (
    ChatCompletion,
    Completion,
    CreateEmbeddingResponse,
    ImagesResponse,
    Model,
    Response,
    ResponseItem,
)

from .calls import SyncPage, SyncRawResponse
from .stream import (
    SyncChatCompletionStream,
    SyncCompletionStream,
    SyncImageStream,
    SyncResponseStream,
    SyncSpeechStream,
    SyncTranscriptionStream,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")
StreamT = TypeVar("StreamT", covariant=True)
WholeT = TypeVar("WholeT", covariant=True)

SyncRaw = Callable[_P, SyncRawResponse[_T]]


class SyncRawCreating(Protocol[StreamT, WholeT]):
    """Of an endpoint with `create`."""

    @overload
    def create(self, *, stream: Literal[True], **params: Any) -> SyncRawResponse[StreamT]: ...
    @overload
    def create(self, *, stream: Literal[False] | None = None, **params: Any) -> SyncRawResponse[WholeT]: ...


class SyncRawCalled(Protocol[StreamT, WholeT]):
    """Of an endpoint that is called itself."""

    @overload
    def __call__(self, *where: str, stream: Literal[True], **params: Any) -> SyncRawResponse[StreamT]: ...
    @overload
    def __call__(self, *where: str, stream: Literal[False] | None = None, **params: Any) -> SyncRawResponse[WholeT]: ...


class SyncRawChat(Protocol):
    """Of `client.chat`."""

    completions: SyncRawCreating[SyncChatCompletionStream, ChatCompletion]


class SyncRawInputItems(Protocol):
    """Of `client.responses.input_items`."""

    list: SyncRaw[..., SyncPage[ResponseItem]]


class SyncRawResponses(SyncRawCreating[SyncResponseStream, Response], Protocol):
    """Of `client.responses`."""

    retrieve: SyncRawCalled[SyncResponseStream, Response]
    input_items: SyncRawInputItems
    cancel: SyncRaw[..., Response]
    delete: SyncRaw[..., None]


class SyncRawImages(Protocol):
    """Of `client.images`."""

    generate: SyncRawCalled[SyncImageStream, ImagesResponse]
    edit: SyncRawCalled[SyncImageStream, ImagesResponse]


class SyncRawAudio(Protocol):
    """Of `client.audio`."""

    transcriptions: SyncRawCreating[SyncTranscriptionStream, AnyTranscription]
    speech: SyncRawCreating[SyncSpeechStream, bytes]


class SyncRawModels(Protocol):
    """Of `client.models`."""

    list: SyncRaw[..., SyncPage[Model]]
    retrieve: SyncRaw[..., Model]


class SyncRawEmbeddings(Protocol):
    """Of `client.embeddings`."""

    create: SyncRaw[..., CreateEmbeddingResponse]


class SyncRawClient(Protocol):
    """Of the client."""

    chat: SyncRawChat
    completions: SyncRawCreating[SyncCompletionStream, Completion]
    responses: SyncRawResponses
    images: SyncRawImages
    audio: SyncRawAudio
    models: SyncRawModels
    embeddings: SyncRawEmbeddings
