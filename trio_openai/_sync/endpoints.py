"""The endpoints for threads. Parameters are those of `TrioOpenAI`'s methods of the same names.

To add a method, say where its counterpart is, in one line with `Streamed`, `Plain` or `Paged`, which keep its
signature. What a method with overloads takes is said under `if TYPE_CHECKING`, as in `_endpoints/_doors.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from trio_openai.types import (
    ChatCompletion,
    Completion,
    ImagesResponse,
    ParsedChatCompletion,
    ParsedResponse,
    Response,
    Transcription,
    TranscriptionDiarized,
    TranscriptionVerbose,
)
from trio_openai.types.params import (
    ChatCompletionParams,
    ChatCompletionParsedParams,
    CompletionParams,
    ImageEditParams,
    ImageGenerateParams,
    ResponseParams,
    ResponseRetrieveParams,
    ResponseStreamParams,
    SpeechParams,
    TranscriptionParams,
    TranscriptionStreamParams,
)

from .calls import Called, Creating, Endpoint, Paged, Plain, Streamed, SyncCaller, SyncStreamManager
from .stream import (
    SyncByteStream,
    SyncChatCompletionStream,
    SyncCompletionStream,
    SyncImageStream,
    SyncParsedChatCompletionStream,
    SyncParsedResponseStream,
    SyncResponseStream,
    SyncSpeechStream,
    SyncTranscriptionStream,
)

if TYPE_CHECKING:
    from trio_openai._endpoints.audio import AnyTranscription

    from .raw_types import (
        SyncRawAudio,
        SyncRawCalled,
        SyncRawChat,
        SyncRawCreating,
        SyncRawEmbeddings,
        SyncRawImages,
        SyncRawInputItems,
        SyncRawModels,
        SyncRawResponses,
    )

_T = TypeVar("_T")


class SyncChat(Endpoint):
    """What is under `client.chat`."""

    def __init__(self, caller: SyncCaller) -> None:
        super().__init__(caller)
        self.completions = SyncChatCompletions(caller)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawChat: ...


class SyncChatCompletions(Creating):
    """What is under `client.chat.completions`."""

    _name = "chat.completions"

    if not TYPE_CHECKING:
        stream = Streamed(lambda client: client.chat.completions.stream)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawCreating[SyncChatCompletionStream, ChatCompletion]: ...
        @overload
        def stream(
            self, *, response_format: type[_T], **params: Unpack[ChatCompletionParsedParams]
        ) -> SyncStreamManager[SyncParsedChatCompletionStream[_T]]: ...
        @overload
        def stream(self, **params: Unpack[ChatCompletionParams]) -> SyncStreamManager[SyncChatCompletionStream]: ...
        def stream(self, **params: Any) -> Any: ...
        @overload
        def create(
            self, *, stream: Literal[True], response_format: type[_T], **params: Unpack[ChatCompletionParsedParams]
        ) -> SyncParsedChatCompletionStream[_T]: ...
        @overload
        def create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: type[_T],
            **params: Unpack[ChatCompletionParsedParams],
        ) -> ParsedChatCompletion[_T]: ...
        @overload
        def create(
            self, *, stream: Literal[True], **params: Unpack[ChatCompletionParams]
        ) -> SyncChatCompletionStream: ...
        @overload
        def create(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletion: ...
        def create(self, **params: Any) -> Any: ...


class SyncCompletions(Creating):
    """What is under `client.completions`."""

    _name = "completions"

    stream = Streamed(lambda client: client.completions.stream, SyncCompletionStream)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawCreating[SyncCompletionStream, Completion]: ...
        @overload
        def create(self, *, stream: Literal[True], **params: Unpack[CompletionParams]) -> SyncCompletionStream: ...
        @overload
        def create(self, *, stream: Literal[False] | None = None, **params: Unpack[CompletionParams]) -> Completion: ...
        def create(self, **params: Any) -> Any: ...


class SyncResponses(Creating):
    """What is under `client.responses`."""

    _name = "responses"

    if not TYPE_CHECKING:
        stream = Streamed(lambda client: client.responses.stream)
    cancel = Plain(lambda client: client.responses.cancel)
    delete = Plain(lambda client: client.responses.delete)

    def __init__(self, caller: SyncCaller) -> None:
        super().__init__(caller)
        self.retrieve = SyncRetrieveResponse(caller)
        self.input_items = SyncInputItems(caller)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawResponses: ...
        @overload
        def stream(
            self, *, text_format: type[_T], **params: Unpack[ResponseStreamParams]
        ) -> SyncStreamManager[SyncParsedResponseStream[_T]]: ...
        @overload
        def stream(self, **params: Unpack[ResponseStreamParams]) -> SyncStreamManager[SyncResponseStream]: ...
        def stream(self, **params: Any) -> Any: ...
        @overload
        def create(
            self, *, stream: Literal[True], text_format: type[_T], **params: Unpack[ResponseStreamParams]
        ) -> SyncParsedResponseStream[_T]: ...
        @overload
        def create(
            self, *, stream: Literal[False] | None = None, text_format: type[_T], **params: Unpack[ResponseParams]
        ) -> ParsedResponse[_T]: ...
        @overload
        def create(self, *, stream: Literal[True], **params: Unpack[ResponseStreamParams]) -> SyncResponseStream: ...
        @overload
        def create(self, *, stream: Literal[False] | None = None, **params: Unpack[ResponseParams]) -> Response: ...
        def create(self, **params: Any) -> Any: ...


class SyncRetrieveResponse(Called):
    """What is `client.responses.retrieve`."""

    _name = "responses.retrieve"

    stream = Streamed(lambda client: client.responses.retrieve.stream, SyncResponseStream)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawCalled[SyncResponseStream, Response]: ...
        @overload
        def __call__(
            self, response_id: str, *, stream: Literal[True], **params: Unpack[ResponseRetrieveParams]
        ) -> SyncResponseStream: ...
        @overload
        def __call__(
            self, response_id: str, *, stream: Literal[False] | None = None, **params: Unpack[ResponseRetrieveParams]
        ) -> Response: ...
        def __call__(self, response_id: str, **params: Any) -> Any: ...


class SyncInputItems(Endpoint):
    """What is under `client.responses.input_items`."""

    list = Paged(lambda client: client.responses.input_items.list)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawInputItems: ...


class SyncImages(Endpoint):
    """What is under `client.images`."""

    def __init__(self, caller: SyncCaller) -> None:
        super().__init__(caller)
        self.generate = SyncGenerateImages(caller)
        self.edit = SyncEditImages(caller)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawImages: ...


class SyncGenerateImages(Called):
    """What is `client.images.generate`."""

    _name = "images.generate"

    stream = Streamed(lambda client: client.images.generate.stream, SyncImageStream)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawCalled[SyncImageStream, ImagesResponse]: ...
        @overload
        def __call__(self, *, stream: Literal[True], **params: Unpack[ImageGenerateParams]) -> SyncImageStream: ...
        @overload
        def __call__(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ImageGenerateParams]
        ) -> ImagesResponse: ...
        def __call__(self, **params: Any) -> Any: ...


class SyncEditImages(Called):
    """What is `client.images.edit`."""

    _name = "images.edit"

    stream = Streamed(lambda client: client.images.edit.stream, SyncImageStream)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawCalled[SyncImageStream, ImagesResponse]: ...
        @overload
        def __call__(self, *, stream: Literal[True], **params: Unpack[ImageEditParams]) -> SyncImageStream: ...
        @overload
        def __call__(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ImageEditParams]
        ) -> ImagesResponse: ...
        def __call__(self, **params: Any) -> Any: ...


class SyncAudio(Endpoint):
    """What is under `client.audio`."""

    def __init__(self, caller: SyncCaller) -> None:
        super().__init__(caller)
        self.transcriptions = SyncTranscriptions(caller)
        self.speech = SyncSpeech(caller)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawAudio: ...


class SyncTranscriptions(Creating):
    """What is under `client.audio.transcriptions`."""

    _name = "audio.transcriptions"

    stream = Streamed(lambda client: client.audio.transcriptions.stream, SyncTranscriptionStream)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawCreating[SyncTranscriptionStream, AnyTranscription]: ...
        @overload
        def create(
            self, *, stream: Literal[True], **params: Unpack[TranscriptionStreamParams]
        ) -> SyncTranscriptionStream: ...
        @overload
        def create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["text", "srt", "vtt"],
            **params: Unpack[TranscriptionParams],
        ) -> str: ...
        @overload
        def create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["verbose_json"],
            **params: Unpack[TranscriptionParams],
        ) -> TranscriptionVerbose: ...
        @overload
        def create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["diarized_json"],
            **params: Unpack[TranscriptionParams],
        ) -> TranscriptionDiarized: ...
        @overload
        def create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["json"] = "json",
            **params: Unpack[TranscriptionParams],
        ) -> Transcription: ...
        def create(self, **params: Any) -> Any: ...


class SyncSpeech(Creating):
    """What is under `client.audio.speech`."""

    _name = "audio.speech"

    stream = Streamed(lambda client: client.audio.speech.stream, SyncSpeechStream)
    stream_bytes = Streamed(lambda client: client.audio.speech.stream_bytes, SyncByteStream)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawCreating[SyncSpeechStream, bytes]: ...
        @overload
        def create(self, *, stream: Literal[True], **params: Unpack[SpeechParams]) -> SyncSpeechStream: ...
        @overload
        def create(self, *, stream: Literal[False] | None = None, **params: Unpack[SpeechParams]) -> bytes: ...
        def create(self, **params: Any) -> Any: ...


class SyncModels(Endpoint):
    """What is under `client.models`."""

    list = Paged(lambda client: client.models.list)
    retrieve = Plain(lambda client: client.models.retrieve)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawModels: ...


class SyncEmbeddings(Endpoint):
    """What is under `client.embeddings`."""

    create = Plain(lambda client: client.embeddings.create)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> SyncRawEmbeddings: ...
