"""The endpoints for models, embeddings and moderations, and `stream_request` for endpoints without a class here."""

from __future__ import annotations

import sys
import typing
from array import array
from collections.abc import Collection, Mapping
from typing import Any, Unpack, cast

from trio_openai._protocols.plain_answers import as_object
from trio_openai._protocols.typed_events import OtherProtocol, decode_base64
from trio_openai._request.exchange import Exchange
from trio_openai._request.headers import hide_headers
from trio_openai._request.session import Session
from trio_openai._stream.source import EventSource
from trio_openai._stream.stream import Stream, StreamManager
from trio_openai.errors import APIResponseValidationError
from trio_openai.types import (
    CreateEmbeddingResponse,
    Model,
    ModelDeleted,
    ModelList,
    ModerationCreateResponse,
    WireObject,
)
from trio_openai.types.params import CallParams, EmbeddingParams
from trio_openai.types.stored_params import ModerationCreateParams

from ._endpoint import Endpoint, RawResponses, ReturnsT, returns_object
from ._operations import Operation, Params
from ._pages import Listing, listing, returns_pages
from ._parameters import NO_PARAMETERS, Parameters

_LIST_MODELS = Operation("GET", "/models", NO_PARAMETERS, as_object(ModelList))
_RETRIEVE_MODEL = Operation("GET", "/models/{model}", NO_PARAMETERS, as_object(Model))
_DELETE_MODEL = Operation("DELETE", "/models/{model}", NO_PARAMETERS, as_object(ModelDeleted))
_MODERATE = Operation("POST", "/moderations", Parameters(ModerationCreateParams), as_object(ModerationCreateResponse))
_EMBEDDING = Parameters(EmbeddingParams)


class Models(Endpoint[ReturnsT]):
    """The models that the server offers. `client.models`."""

    with_raw_response: Models[RawResponses]

    @returns_pages
    def list(self, **params: Unpack[CallParams]) -> Listing[Model]:
        """List the models.

        Args:
            params: Options of the request, such as `timeout` and `extra_headers`.

        Returns:
            A listing. Await it for a page with all models, or iterate it (`async for`). Either raises `APIError` if the
            request fails.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
        """
        return listing(self._session, _LIST_MODELS, (), cast("Params", params))

    @returns_object
    async def retrieve(self, model: str, **params: Unpack[CallParams]) -> Model:
        """Return the description of one model.

        Args:
            model: The model's id.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _RETRIEVE_MODEL(self._session, (model,), cast("Params", params))

    @returns_object
    async def delete(self, model: str, **params: Unpack[CallParams]) -> ModelDeleted:
        """Delete a fine-tuned model.

        Args:
            model: The model's id.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _DELETE_MODEL(self._session, (model,), cast("Params", params))


class Moderations(Endpoint[ReturnsT]):
    """Judgements of texts and images: whether they are harmful. `client.moderations`."""

    with_raw_response: Moderations[RawResponses]

    @returns_object
    async def create(self, **params: Unpack[ModerationCreateParams]) -> ModerationCreateResponse:
        """Return whether texts or images are harmful, and in which categories.

        Args:
            params: The API's parameters.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        return await _MODERATE(self._session, (), cast("Params", params))


class Embeddings(Endpoint[ReturnsT]):
    """Embedding vectors of texts. `client.embeddings`."""

    with_raw_response: Embeddings[RawResponses]

    @returns_object
    async def create(self, **params: Unpack[EmbeddingParams]) -> CreateEmbeddingResponse:
        """Return the embedding vectors of texts.

        Without `encoding_format`, the request asks for base64, which is a third of the size, and the vectors are
        decoded to lists of floats. openai-python does the same. With `encoding_format`, they are returned as the server
        sends them.

        Args:
            params: The API's parameters.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        given = cast("Params", params)
        hide_headers(given)
        is_ours = given.get("encoding_format") is None
        body = {**given, "encoding_format": "base64"} if is_ours else given
        operation = Operation("POST", "/embeddings", _EMBEDDING, _with_numbers if is_ours else _with_text)
        return await operation(self._session, (), body)


def _with_text(content: bytes) -> CreateEmbeddingResponse:
    """Return the result with the vectors as they were sent.

    The class declares them as lists of floats, and would replace a string by the default.
    """
    answer = as_object(CreateEmbeddingResponse)(content)
    for one in answer.data:
        one.embedding = one.raw.get("embedding", one.embedding)
    return answer


def _with_numbers(content: bytes) -> CreateEmbeddingResponse:
    """Return the result with the vectors decoded. Servers without base64 send lists, which stay as they are."""
    answer = as_object(CreateEmbeddingResponse)(content)
    for one in answer.data:
        if isinstance(text := one.raw.get("embedding"), str):
            one.embedding = _numbers(text)
    return answer


def _numbers(text: str) -> list[float]:
    """Decode a vector: base64 of little-endian floats of 32 bits."""
    numbers = array("f")
    try:
        numbers.frombytes(decode_base64(text))
    except ValueError as error:
        raise APIResponseValidationError(
            f"an embedding vector is not base64 of 32-bit floats: {error}", body=text[:200]
        ) from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _are_wire_classes(event_type: Any) -> bool:
    members = typing.get_args(event_type) or (event_type,)
    return event_type is None or all(isinstance(one, type) and issubclass(one, WireObject) for one in members)


def stream_request(
    session: Session,
    method: str,
    path: str,
    json: Any,
    event_type: Any,
    end: Collection[str] | None,
    params: Params,
) -> StreamManager[Stream[Any, Any]]:
    """Check the arguments of `TrioOpenAI.stream_request`, and return its context manager."""
    hide_headers(params)
    if not isinstance(method, str) or not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError('stream_request takes the method and the path first, such as "POST", "/chat/completions"')
    if not path.startswith("/"):
        raise ValueError('path needs a leading slash, such as "/chat/completions": it is appended to the base_url')
    if not isinstance(json, Mapping | None):
        raise TypeError(f"json takes a dictionary, not {type(json).__name__}")
    if json is not None and method.upper() == "GET":
        raise ValueError("a GET request has no body: use extra_query instead of json")
    if not _are_wire_classes(event_type):
        raise TypeError("event_type takes a class of trio_openai.types, a WireObject of your own, or a union of these")
    ends = (end,) if isinstance(end, str) else end
    if ends is not None and not (isinstance(ends, Collection) and all(isinstance(name, str) for name in ends)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError("end takes the name or type of an event, several of them, or None")
    checked = NO_PARAMETERS.check(params)
    request = session.prepare(method.upper(), path, checked, stream=True, always=cast("Params | None", json))

    def open_stream() -> Stream[Any, Any]:
        return Stream(EventSource(Exchange(session, request), lambda: OtherProtocol(event_type, ends)))

    return StreamManager(open_stream)
