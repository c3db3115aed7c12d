"""The endpoints for images."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from trio_openai._protocols.typed_events import ImageProtocol
from trio_openai._request.session import Session
from trio_openai._stream.kinds import ImageStream
from trio_openai._stream.stream import StreamCall, StreamManager
from trio_openai.types import ImagesResponse
from trio_openai.types.params import ImageEditParams, ImageGenerateParams

from ._doors import DEFAULT_BUFFER, CalledEndpoint
from ._endpoint import Endpoint, RawResponses, ReturnsT
from ._operations import Params
from ._parameters import Parameters

if TYPE_CHECKING:
    import trio

    from ._endpoint import Method, direct, raw


class Images(Endpoint[ReturnsT]):
    """The endpoints below `client.images`: `generate` and `edit`."""

    with_raw_response: Images[RawResponses]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.generate: GenerateImages[ReturnsT] = GenerateImages(session)
        self.edit: EditImages[ReturnsT] = EditImages(session)


class _ImageEndpoint(CalledEndpoint[ReturnsT, ImageStream, ImagesResponse]):
    """An endpoint that makes images. The two differ only in their parameters."""

    _stream_class = ImageStream
    _answer = ImagesResponse

    def _protocol(self, params: Params) -> Callable[[], ImageProtocol]:
        # Each image ends with its own event, so the stream is complete after as many of them as requested.
        images = params.get("n") or 1
        return lambda: ImageProtocol(images)


class GenerateImages(_ImageEndpoint[ReturnsT]):
    """Image generation from a description. `client.images.generate`.

    A stream with `partial_images=2` also has up to two sketches of each image.
    """

    with_raw_response: GenerateImages[RawResponses]
    _path = "/images/generations"
    _parameters = Parameters(ImageGenerateParams)

    if TYPE_CHECKING:

        def stream(self, **params: Unpack[ImageGenerateParams]) -> StreamManager[ImageStream]: ...
        async def start_stream(
            self, nursery: trio.Nursery, *, buffer: int = DEFAULT_BUFFER, **params: Unpack[ImageGenerateParams]
        ) -> ImageStream: ...
        def call(self, *, key: object = None, **params: Unpack[ImageGenerateParams]) -> StreamCall[ImageStream]: ...
        @overload
        async def _call(self, *, stream: Literal[True], **params: Unpack[ImageGenerateParams]) -> ImageStream: ...
        @overload
        async def _call(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ImageGenerateParams]
        ) -> ImagesResponse: ...
        async def _call(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_call), raw(_call)
        __call__ = Method(_direct, _raw)


class EditImages(_ImageEndpoint[ReturnsT]):
    """New images from uploaded ones. `client.images.edit`."""

    with_raw_response: EditImages[RawResponses]
    _path = "/images/edits"
    _files = ("image", "markup", "mask")
    _parameters = Parameters(ImageEditParams, unchecked=_files)

    if TYPE_CHECKING:

        def stream(self, **params: Unpack[ImageEditParams]) -> StreamManager[ImageStream]: ...
        async def start_stream(
            self, nursery: trio.Nursery, *, buffer: int = DEFAULT_BUFFER, **params: Unpack[ImageEditParams]
        ) -> ImageStream: ...
        def call(self, *, key: object = None, **params: Unpack[ImageEditParams]) -> StreamCall[ImageStream]: ...
        @overload
        async def _call(self, *, stream: Literal[True], **params: Unpack[ImageEditParams]) -> ImageStream: ...
        @overload
        async def _call(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ImageEditParams]
        ) -> ImagesResponse: ...
        async def _call(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_call), raw(_call)
        __call__ = Method(_direct, _raw)
