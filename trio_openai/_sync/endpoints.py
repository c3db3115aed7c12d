"""The endpoints of the blocking client. Their parameters are those of `TrioOpenAI`'s methods of the same names.

To add a method, name its counterpart with `Streamed`, `Plain` or `Paged` from `calls.py`, which keep its parameters. If
the counterpart has overloads that return a stream, declare them under `if TYPE_CHECKING`, because no type can express
"the blocking class of this stream". The types of `with_raw_response` follow from the declarations, as
`_endpoints/_endpoint.py` explains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, Unpack, overload

from trio_openai._endpoints._endpoint import RawResponses, ReturnsT
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
    Translation,
    TranslationVerbose,
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
from trio_openai.types.stored_params import TranslationParams

from .any_methods import SyncAnyMethods
from .calls import Paged, Plain, Streamed, SyncEndpoint, SyncSession, SyncStreamManager
from .kinds import (
    SyncChatCompletionStream,
    SyncCompletionStream,
    SyncImageStream,
    SyncParsedChatCompletionStream,
    SyncParsedResponseStream,
    SyncResponseStream,
    SyncSpeechStream,
    SyncTranscriptionStream,
)
from .stored import SyncBatches, SyncConversations, SyncFiles, SyncModerations
from .stream import SyncByteStream
from .tools import SyncChatToolRun, SyncResponseToolRun, SyncToolRunManager, ToolRuns

if TYPE_CHECKING:
    from trio_openai._endpoints._endpoint import Method, direct
    from trio_openai._tools.hooks import Approve, OnError

    from .calls import sync_raw

_T = TypeVar("_T")


class SyncChat(SyncEndpoint[ReturnsT]):
    """The endpoints below `client.chat`: only `completions`."""

    with_raw_response: SyncChat[RawResponses]

    def __init__(self, session: SyncSession) -> None:
        super().__init__(session)
        self.completions: SyncChatCompletions[ReturnsT] = SyncChatCompletions(session)


class SyncStoredMessages(SyncEndpoint[ReturnsT]):
    """The messages that a stored completion answers. `client.chat.completions.messages`."""

    with_raw_response: SyncStoredMessages[RawResponses]
    list: Final = Paged(lambda client: client.chat.completions.messages.list)


class SyncChatCompletions(SyncEndpoint[ReturnsT]):
    """Chat Completions: the next message of a conversation. `client.chat.completions`."""

    with_raw_response: SyncChatCompletions[RawResponses]

    retrieve: Final = Plain(lambda client: client.chat.completions.retrieve)
    update: Final = Plain(lambda client: client.chat.completions.update)
    list: Final = Paged(lambda client: client.chat.completions.list)
    delete: Final = Plain(lambda client: client.chat.completions.delete)

    def __init__(self, session: SyncSession) -> None:
        super().__init__(session)
        self.messages: SyncStoredMessages[ReturnsT] = SyncStoredMessages(session)

    if TYPE_CHECKING:

        @overload
        def stream(
            self, *, response_format: type[_T], **params: Unpack[ChatCompletionParsedParams]
        ) -> SyncStreamManager[SyncParsedChatCompletionStream[_T]]: ...
        @overload
        def stream(self, **params: Unpack[ChatCompletionParams]) -> SyncStreamManager[SyncChatCompletionStream]: ...
        def stream(self, **params: Any) -> Any: ...
        @overload
        def _create(
            self, *, stream: Literal[True], response_format: type[_T], **params: Unpack[ChatCompletionParsedParams]
        ) -> SyncParsedChatCompletionStream[_T]: ...
        @overload
        def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: type[_T],
            ask_again: int = 0,
            **params: Unpack[ChatCompletionParsedParams],
        ) -> ParsedChatCompletion[_T]: ...
        @overload
        def _create(
            self, *, stream: Literal[True], **params: Unpack[ChatCompletionParams]
        ) -> SyncChatCompletionStream: ...
        @overload
        def _create(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletion: ...
        def _create(self, **params: Any) -> Any: ...

        @overload
        def run_tools(
            self,
            *,
            response_format: type[_T],
            max_rounds: int = ...,
            max_concurrent: int = ...,
            on_error: OnError = ...,
            approve: Approve | None = ...,
            **params: Unpack[ChatCompletionParsedParams],
        ) -> SyncToolRunManager[SyncChatToolRun[ParsedChatCompletion[_T]]]: ...
        @overload
        def run_tools(
            self,
            *,
            max_rounds: int = ...,
            max_concurrent: int = ...,
            on_error: OnError = ...,
            approve: Approve | None = ...,
            **params: Unpack[ChatCompletionParams],
        ) -> SyncToolRunManager[SyncChatToolRun[ChatCompletion]]: ...
        def run_tools(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), sync_raw(_create)
        create: Final = Method(_direct, _raw)
    else:
        stream = Streamed(lambda client: client.chat.completions.stream)
        run_tools = ToolRuns(lambda client: client.chat.completions.run_tools, SyncChatToolRun)
        create = Plain(lambda client: client.chat.completions.create)


class SyncCompletions(SyncEndpoint[ReturnsT]):
    """Completions: the continuation of a text. `client.completions`."""

    with_raw_response: SyncCompletions[RawResponses]

    stream: Final = Streamed(lambda client: client.completions.stream, SyncCompletionStream)

    if TYPE_CHECKING:

        @overload
        def _create(self, *, stream: Literal[True], **params: Unpack[CompletionParams]) -> SyncCompletionStream: ...
        @overload
        def _create(
            self, *, stream: Literal[False] | None = None, **params: Unpack[CompletionParams]
        ) -> Completion: ...
        def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), sync_raw(_create)
        create: Final = Method(_direct, _raw)
    else:
        create = Plain(lambda client: client.completions.create)


class SyncResponses(SyncEndpoint[ReturnsT]):
    """Responses. `client.responses`."""

    with_raw_response: SyncResponses[RawResponses]

    cancel: Final = Plain(lambda client: client.responses.cancel)
    delete: Final = Plain(lambda client: client.responses.delete)
    compact: Final = Plain(lambda client: client.responses.compact)

    def __init__(self, session: SyncSession) -> None:
        super().__init__(session)
        self.retrieve: SyncRetrieveResponse[ReturnsT] = SyncRetrieveResponse(session)
        self.input_items: SyncInputItems[ReturnsT] = SyncInputItems(session)
        self.input_tokens: SyncInputTokens[ReturnsT] = SyncInputTokens(session)

    if TYPE_CHECKING:

        @overload
        def stream(
            self, *, text_format: type[_T], **params: Unpack[ResponseStreamParams]
        ) -> SyncStreamManager[SyncParsedResponseStream[_T]]: ...
        @overload
        def stream(self, **params: Unpack[ResponseStreamParams]) -> SyncStreamManager[SyncResponseStream]: ...
        def stream(self, **params: Any) -> Any: ...
        @overload
        def _create(
            self, *, stream: Literal[True], text_format: type[_T], **params: Unpack[ResponseStreamParams]
        ) -> SyncParsedResponseStream[_T]: ...
        @overload
        def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            text_format: type[_T],
            ask_again: int = 0,
            **params: Unpack[ResponseParams],
        ) -> ParsedResponse[_T]: ...
        @overload
        def _create(self, *, stream: Literal[True], **params: Unpack[ResponseStreamParams]) -> SyncResponseStream: ...
        @overload
        def _create(self, *, stream: Literal[False] | None = None, **params: Unpack[ResponseParams]) -> Response: ...
        def _create(self, **params: Any) -> Any: ...

        @overload
        def run_tools(
            self,
            *,
            text_format: type[_T],
            max_rounds: int = ...,
            max_concurrent: int = ...,
            on_error: OnError = ...,
            approve: Approve | None = ...,
            **params: Unpack[ResponseStreamParams],
        ) -> SyncToolRunManager[SyncResponseToolRun[ParsedResponse[_T]]]: ...
        @overload
        def run_tools(
            self,
            *,
            max_rounds: int = ...,
            max_concurrent: int = ...,
            on_error: OnError = ...,
            approve: Approve | None = ...,
            **params: Unpack[ResponseStreamParams],
        ) -> SyncToolRunManager[SyncResponseToolRun[Response]]: ...
        def run_tools(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), sync_raw(_create)
        create: Final = Method(_direct, _raw)
    else:
        stream = Streamed(lambda client: client.responses.stream)
        run_tools = ToolRuns(lambda client: client.responses.run_tools, SyncResponseToolRun)
        create = Plain(lambda client: client.responses.create)


class SyncRetrieveResponse(SyncEndpoint[ReturnsT]):
    """A stored response, or its stream of events. `client.responses.retrieve`."""

    with_raw_response: SyncRetrieveResponse[RawResponses]

    stream: Final = Streamed(lambda client: client.responses.retrieve.stream, SyncResponseStream)

    if TYPE_CHECKING:

        @overload
        def _call(
            self, response_id: str, *, stream: Literal[True], **params: Unpack[ResponseRetrieveParams]
        ) -> SyncResponseStream: ...
        @overload
        def _call(
            self, response_id: str, *, stream: Literal[False] | None = None, **params: Unpack[ResponseRetrieveParams]
        ) -> Response: ...
        def _call(self, response_id: str, **params: Any) -> Any: ...

        _direct, _raw = direct(_call), sync_raw(_call)
        __call__: Final = Method(_direct, _raw)
    else:
        __call__ = Plain(lambda client: client.responses.retrieve)


class SyncInputItems(SyncEndpoint[ReturnsT]):
    """The input of a stored response. `client.responses.input_items`."""

    with_raw_response: SyncInputItems[RawResponses]
    list: Final = Paged(lambda client: client.responses.input_items.list)


class SyncInputTokens(SyncEndpoint[ReturnsT]):
    """The size of an input in tokens. `client.responses.input_tokens`."""

    with_raw_response: SyncInputTokens[RawResponses]
    count: Final = Plain(lambda client: client.responses.input_tokens.count)


class SyncImages(SyncEndpoint[ReturnsT]):
    """The endpoints below `client.images`: `generate` and `edit`."""

    with_raw_response: SyncImages[RawResponses]

    def __init__(self, session: SyncSession) -> None:
        super().__init__(session)
        self.generate: SyncGenerateImages[ReturnsT] = SyncGenerateImages(session)
        self.edit: SyncEditImages[ReturnsT] = SyncEditImages(session)


class SyncGenerateImages(SyncEndpoint[ReturnsT]):
    """Image generation from a description. `client.images.generate`."""

    with_raw_response: SyncGenerateImages[RawResponses]

    stream: Final = Streamed(lambda client: client.images.generate.stream, SyncImageStream)

    if TYPE_CHECKING:

        @overload
        def _call(self, *, stream: Literal[True], **params: Unpack[ImageGenerateParams]) -> SyncImageStream: ...
        @overload
        def _call(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ImageGenerateParams]
        ) -> ImagesResponse: ...
        def _call(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_call), sync_raw(_call)
        __call__: Final = Method(_direct, _raw)
    else:
        __call__ = Plain(lambda client: client.images.generate)


class SyncEditImages(SyncEndpoint[ReturnsT]):
    """New images from uploaded ones. `client.images.edit`."""

    with_raw_response: SyncEditImages[RawResponses]

    stream: Final = Streamed(lambda client: client.images.edit.stream, SyncImageStream)

    if TYPE_CHECKING:

        @overload
        def _call(self, *, stream: Literal[True], **params: Unpack[ImageEditParams]) -> SyncImageStream: ...
        @overload
        def _call(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ImageEditParams]
        ) -> ImagesResponse: ...
        def _call(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_call), sync_raw(_call)
        __call__: Final = Method(_direct, _raw)
    else:
        __call__ = Plain(lambda client: client.images.edit)


class SyncAudio(SyncEndpoint[ReturnsT]):
    """The endpoints below `client.audio`: `transcriptions`, `translations` and `speech`."""

    with_raw_response: SyncAudio[RawResponses]

    def __init__(self, session: SyncSession) -> None:
        super().__init__(session)
        self.transcriptions: SyncTranscriptions[ReturnsT] = SyncTranscriptions(session)
        self.translations: SyncTranslations[ReturnsT] = SyncTranslations(session)
        self.speech: SyncSpeech[ReturnsT] = SyncSpeech(session)


class SyncTranscriptions(SyncEndpoint[ReturnsT]):
    """The text of an uploaded recording. `client.audio.transcriptions`."""

    with_raw_response: SyncTranscriptions[RawResponses]

    stream: Final = Streamed(lambda client: client.audio.transcriptions.stream, SyncTranscriptionStream)

    if TYPE_CHECKING:

        @overload
        def _create(
            self, *, stream: Literal[True], **params: Unpack[TranscriptionStreamParams]
        ) -> SyncTranscriptionStream: ...
        @overload
        def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["text", "srt", "vtt"],
            **params: Unpack[TranscriptionParams],
        ) -> str: ...
        @overload
        def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["verbose_json"],
            **params: Unpack[TranscriptionParams],
        ) -> TranscriptionVerbose: ...
        @overload
        def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["diarized_json"],
            **params: Unpack[TranscriptionParams],
        ) -> TranscriptionDiarized: ...
        @overload
        def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["json"] = "json",
            **params: Unpack[TranscriptionParams],
        ) -> Transcription: ...
        def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), sync_raw(_create)
        create: Final = Method(_direct, _raw)
    else:
        create = Plain(lambda client: client.audio.transcriptions.create)


class SyncTranslations(SyncEndpoint[ReturnsT]):
    """The text of an uploaded recording in English. `client.audio.translations`."""

    with_raw_response: SyncTranslations[RawResponses]

    if TYPE_CHECKING:

        @overload
        def _create(
            self, *, response_format: Literal["text", "srt", "vtt"], **params: Unpack[TranslationParams]
        ) -> str: ...
        @overload
        def _create(
            self, *, response_format: Literal["verbose_json"], **params: Unpack[TranslationParams]
        ) -> TranslationVerbose: ...
        @overload
        def _create(
            self, *, response_format: Literal["json"] = "json", **params: Unpack[TranslationParams]
        ) -> Translation: ...
        def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), sync_raw(_create)
        create: Final = Method(_direct, _raw)
    else:
        create = Plain(lambda client: client.audio.translations.create)


class SyncSpeech(SyncEndpoint[ReturnsT]):
    """Spoken text. `client.audio.speech`."""

    with_raw_response: SyncSpeech[RawResponses]

    stream: Final = Streamed(lambda client: client.audio.speech.stream, SyncSpeechStream)
    stream_bytes: Final = Streamed(lambda client: client.audio.speech.stream_bytes, SyncByteStream)

    if TYPE_CHECKING:

        @overload
        def _create(self, *, stream: Literal[True], **params: Unpack[SpeechParams]) -> SyncSpeechStream: ...
        @overload
        def _create(self, *, stream: Literal[False] | None = None, **params: Unpack[SpeechParams]) -> bytes: ...
        def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), sync_raw(_create)
        create: Final = Method(_direct, _raw)
    else:
        create = Plain(lambda client: client.audio.speech.create)


class SyncModels(SyncEndpoint[ReturnsT]):
    """The models that the server offers. `client.models`."""

    with_raw_response: SyncModels[RawResponses]
    list: Final = Paged(lambda client: client.models.list)
    retrieve: Final = Plain(lambda client: client.models.retrieve)
    delete: Final = Plain(lambda client: client.models.delete)


class SyncEmbeddings(SyncEndpoint[ReturnsT]):
    """Embedding vectors of texts. `client.embeddings`."""

    with_raw_response: SyncEmbeddings[RawResponses]
    create: Final = Plain(lambda client: client.embeddings.create)


class SyncEndpoints(SyncAnyMethods[ReturnsT]):
    """The endpoints of a blocking client, or those below its `with_raw_response`."""

    def _add_endpoints(self, session: SyncSession) -> None:
        self.chat: SyncChat[ReturnsT] = SyncChat(session)
        self.completions: SyncCompletions[ReturnsT] = SyncCompletions(session)
        self.responses: SyncResponses[ReturnsT] = SyncResponses(session)
        self.images: SyncImages[ReturnsT] = SyncImages(session)
        self.audio: SyncAudio[ReturnsT] = SyncAudio(session)
        self.models: SyncModels[ReturnsT] = SyncModels(session)
        self.embeddings: SyncEmbeddings[ReturnsT] = SyncEmbeddings(session)
        self.moderations: SyncModerations[ReturnsT] = SyncModerations(session)
        self.files: SyncFiles[ReturnsT] = SyncFiles(session)
        self.batches: SyncBatches[ReturnsT] = SyncBatches(session)
        self.conversations: SyncConversations[ReturnsT] = SyncConversations(session)
