"""The endpoints for audio: transcription, translation and speech."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack, cast, overload

from trio_openai._protocols.plain_answers import Decode, as_bytes, as_object, as_text
from trio_openai._protocols.typed_events import SpeechProtocol, TranscriptionProtocol
from trio_openai._request.exchange import Exchange
from trio_openai._request.headers import hide_headers
from trio_openai._request.request import PreparedRequest
from trio_openai._request.session import Session
from trio_openai._stream.bytes import ByteStream
from trio_openai._stream.kinds import SpeechStream, TranscriptionStream
from trio_openai._stream.stream import StreamCall, StreamManager
from trio_openai.types import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)
from trio_openai.types.params import SpeechParams, TranscriptionParams, TranscriptionStreamParams
from trio_openai.types.stored_params import TranslationCreateParams, TranslationParams

from ._doors import DEFAULT_BUFFER, CreatingEndpoint
from ._endpoint import Endpoint, RawResponses, ReturnsT
from ._operations import Operation, Params
from ._parameters import Parameters, by_name_only

if TYPE_CHECKING:
    import trio

    from ._endpoint import Method, direct, raw

AnyTranscription = Transcription | TranscriptionVerbose | TranscriptionDiarized | str


class AudioEndpoints(Endpoint[ReturnsT]):
    """The endpoints below `client.audio`: `transcriptions`, `translations` and `speech`."""

    with_raw_response: AudioEndpoints[RawResponses]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.transcriptions: Transcriptions[ReturnsT] = Transcriptions(session)
        self.translations: Translations[ReturnsT] = Translations(session)
        self.speech: SpeechEndpoint[ReturnsT] = SpeechEndpoint(session)


class Transcriptions(CreatingEndpoint[ReturnsT, TranscriptionStream, AnyTranscription]):
    """The text of an uploaded recording. `client.audio.transcriptions`."""

    with_raw_response: Transcriptions[RawResponses]
    _path = "/audio/transcriptions"
    _files = ("file",)
    _parameters = Parameters(TranscriptionStreamParams, unchecked=_files)
    _stream_class = TranscriptionStream

    def _protocol(self, params: Params) -> Callable[[], TranscriptionProtocol]:  # noqa: ARG002
        return TranscriptionProtocol

    def _decode(self, params: Params) -> Decode[AnyTranscription]:
        wanted = params.get("response_format")
        # The API documents a different result for each format. The first three are not JSON.
        if wanted in ("text", "srt", "vtt"):
            return as_text
        if wanted == "verbose_json":
            return as_object(TranscriptionVerbose)
        return as_object(TranscriptionDiarized if wanted == "diarized_json" else Transcription)

    if TYPE_CHECKING:

        def stream(self, **params: Unpack[TranscriptionStreamParams]) -> StreamManager[TranscriptionStream]: ...
        async def start_stream(
            self, nursery: trio.Nursery, *, buffer: int = DEFAULT_BUFFER, **params: Unpack[TranscriptionStreamParams]
        ) -> TranscriptionStream: ...
        def call(
            self, *, key: object = None, **params: Unpack[TranscriptionStreamParams]
        ) -> StreamCall[TranscriptionStream]: ...
        @overload
        async def _create(
            self, *, stream: Literal[True], **params: Unpack[TranscriptionStreamParams]
        ) -> TranscriptionStream: ...
        @overload
        async def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["text", "srt", "vtt"],
            **params: Unpack[TranscriptionParams],
        ) -> str: ...
        @overload
        async def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["verbose_json"],
            **params: Unpack[TranscriptionParams],
        ) -> TranscriptionVerbose: ...
        @overload
        async def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["diarized_json"],
            **params: Unpack[TranscriptionParams],
        ) -> TranscriptionDiarized: ...
        @overload
        async def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: Literal["json"] = "json",
            **params: Unpack[TranscriptionParams],
        ) -> Transcription: ...
        async def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), raw(_create)
        create = Method(_direct, _raw)


class Translations(Endpoint[ReturnsT]):
    """The text of an uploaded recording in English. `client.audio.translations`."""

    with_raw_response: Translations[RawResponses]

    if TYPE_CHECKING:

        @overload
        async def _create(
            self, *, response_format: Literal["text", "srt", "vtt"], **params: Unpack[TranslationParams]
        ) -> str: ...
        @overload
        async def _create(
            self, *, response_format: Literal["verbose_json"], **params: Unpack[TranslationParams]
        ) -> TranslationVerbose: ...
        @overload
        async def _create(
            self, *, response_format: Literal["json"] = "json", **params: Unpack[TranslationParams]
        ) -> Translation: ...
        async def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), raw(_create)
        create = Method(_direct, _raw)
    else:

        @by_name_only
        async def create(self, **params: Unpack[TranslationCreateParams]) -> Translation | TranslationVerbose | str:
            """Return the text of a recording, translated to English. The file is read while it is sent.

            Args:
                params: The API's parameters. `response_format` decides the class of the result.

            Raises:
                TypeError, ValueError: A parameter cannot be sent.
                APIError: The request failed.
            """
            decode = _TRANSLATION_FORMATS.get(params.get("response_format"), as_object(Translation))
            operation = Operation("POST", "/audio/translations", _TRANSLATION, decode, files=("file",))
            return await operation(self._session, (), params)


_TRANSLATION = Parameters(TranslationCreateParams, unchecked=("file",))
_TRANSLATION_FORMATS: dict[object, Decode[Any]] = {
    **dict.fromkeys(("text", "srt", "vtt"), as_text),
    "verbose_json": as_object(TranslationVerbose),
}


class SpeechEndpoint(CreatingEndpoint[ReturnsT, SpeechStream, bytes]):
    """Spoken text. `client.audio.speech`.

    `create` returns the bytes of the sound. `stream` has events with parts of it in base64. `stream_bytes` has the
    bytes themselves.
    """

    with_raw_response: SpeechEndpoint[RawResponses]
    _path = "/audio/speech"
    _parameters = Parameters(SpeechParams)
    _stream_class = SpeechStream
    _asks_for_stream: ClassVar[Mapping[str, Any]] = {"stream_format": "sse"}

    def _protocol(self, params: Params) -> Callable[[], SpeechProtocol]:  # noqa: ARG002
        return SpeechProtocol

    def _decode(self, params: Params) -> Decode[bytes]:  # noqa: ARG002
        return as_bytes

    def _prepare(self, path: str, checked: Params, *, stream: bool) -> PreparedRequest:
        if stream:
            return super()._prepare(path, checked, stream=True)
        # The result is a sound file, so the request must not ask for JSON.
        return self._session.prepare("POST", path, checked, stream=False, binary=True)

    @by_name_only
    def stream_bytes(self, **params: Unpack[SpeechParams]) -> StreamManager[ByteStream]:
        """Stream the bytes of the sound inside an `async with` block, to play them or write them to a file.

        Args:
            params: The API's parameters.

        Returns:
            A context manager, which gives a `ByteStream`. Leaving the block closes it.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: Entering the block or iterating the stream failed. The connection is closed.
        """
        given = cast("Params", params)
        hide_headers(given)
        session, (path, checked) = self._session, self._check((), given)
        request = self._prepare(path, checked, stream=False)
        return StreamManager(lambda: ByteStream(Exchange(session, request)))

    if TYPE_CHECKING:

        def stream(self, **params: Unpack[SpeechParams]) -> StreamManager[SpeechStream]: ...
        async def start_stream(
            self, nursery: trio.Nursery, *, buffer: int = DEFAULT_BUFFER, **params: Unpack[SpeechParams]
        ) -> SpeechStream: ...
        def call(self, *, key: object = None, **params: Unpack[SpeechParams]) -> StreamCall[SpeechStream]: ...
        @overload
        async def _create(self, *, stream: Literal[True], **params: Unpack[SpeechParams]) -> SpeechStream: ...
        @overload
        async def _create(self, *, stream: Literal[False] | None = None, **params: Unpack[SpeechParams]) -> bytes: ...
        async def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), raw(_create)
        create = Method(_direct, _raw)
