"""The endpoints for responses: creating them, and reading, cancelling and deleting stored ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, cast, overload

from trio_openai._protocols.plain_answers import Decode, as_nothing, as_object
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai._request.headers import hide_headers
from trio_openai._request.session import Session
from trio_openai._stream.kinds import ResponseStream
from trio_openai._stream.stream import StreamCall, StreamManager
from trio_openai.types import (
    CompactedResponse,
    InputTokenCountResponse,
    Response,
    ResponseItem,
    ResponseItemList,
)
from trio_openai.types.params import (
    CallParams,
    InputItemListParams,
    ResponseParams,
    ResponseParsedParams,
    ResponseRetrieveParams,
    ResponseStreamParams,
)
from trio_openai.types.stored_params import InputTokenCountParams, ResponseCompactParams

from ._doors import DEFAULT_BUFFER, CalledEndpoint, CreatingEndpoint, MakeProtocol, MakeStream
from ._endpoint import Endpoint, RawResponses, ReturnsT, returns_object
from ._formats import as_parsed, text_format
from ._operations import Operation, Params
from ._pages import Listing, listing, returns_pages
from ._parameters import NO_PARAMETERS, Parameters, by_name_only
from ._tool_params import DEFAULT_ROUNDS, DEFAULT_TOOLS_AT_A_TIME, response_tool, start_run

if TYPE_CHECKING:
    import trio

    from trio_openai._stream.parsed import ParsedResponseStream
    from trio_openai._tools.hooks import Approve, OnError
    from trio_openai._tools.run import ResponseToolRun
    from trio_openai.types import ParsedResponse

    from ._endpoint import Method, direct, raw

T = TypeVar("T")

_CANCEL = Operation("POST", "/responses/{response_id}/cancel", NO_PARAMETERS, as_object(Response))
_DELETE = Operation("DELETE", "/responses/{response_id}", NO_PARAMETERS, as_nothing)
_COMPACT = Operation("POST", "/responses/compact", Parameters(ResponseCompactParams), as_object(CompactedResponse))
_COUNT_INPUT = Operation(
    "POST",
    "/responses/input_tokens",
    Parameters(InputTokenCountParams, items={"tools": response_tool}),
    as_object(InputTokenCountResponse),
)
_LIST_INPUT_ITEMS = Operation(
    "GET", "/responses/{response_id}/input_items", Parameters(InputItemListParams), as_object(ResponseItemList)
)


class Responses(CreatingEndpoint[ReturnsT, ResponseStream, Response]):
    """Responses: answers of a model, which the server can store. `client.responses`."""

    with_raw_response: Responses[RawResponses]
    _path = "/responses"
    _parameters = Parameters(ResponseParsedParams, unchecked=("text_format",), items={"tools": response_tool})
    _stream_class = ResponseStream
    _answer = Response
    _format_name = "text_format"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.retrieve: RetrieveResponse[ReturnsT] = RetrieveResponse(session)
        self.input_items: InputItems[ReturnsT] = InputItems(session)
        self.input_tokens: InputTokens[ReturnsT] = InputTokens(session)

    def _makers(self, params: Params) -> tuple[MakeStream[ResponseStream], MakeProtocol]:
        wanted = text_format(params)
        if wanted is None:
            return ResponseStream, ResponseProtocol
        from trio_openai._protocols.structured.protocols import ParsedResponseProtocol
        from trio_openai._stream.parsed import ParsedResponseStream

        return ParsedResponseStream, lambda: ParsedResponseProtocol(wanted.judge)

    def _resumes(self, params: Params) -> bool:
        resume = params.pop("resume", None)
        if resume and not params.get("background"):
            raise ValueError("resume=True needs background=True: the server only resumes background responses")
        return bool(resume)

    def _decode(self, params: Params) -> Decode[Response]:
        if params.pop("resume", None):
            raise TypeError("resume=True needs a stream: call stream(...), or create(stream=True, ...)")
        wanted = text_format(params)
        if wanted is None:
            return as_object(Response)
        from trio_openai.types import ParsedResponse

        return as_parsed(ParsedResponse, wanted)

    @overload
    def run_tools(
        self,
        *,
        text_format: type[T],
        max_rounds: int = ...,
        max_concurrent: int = ...,
        on_error: OnError = ...,
        approve: Approve | None = ...,
        **params: Unpack[ResponseStreamParams],
    ) -> AbstractAsyncContextManager[ResponseToolRun[ParsedResponse[T]]]: ...
    @overload
    def run_tools(
        self,
        *,
        max_rounds: int = ...,
        max_concurrent: int = ...,
        on_error: OnError = ...,
        approve: Approve | None = ...,
        **params: Unpack[ResponseStreamParams],
    ) -> AbstractAsyncContextManager[ResponseToolRun[Response]]: ...
    @by_name_only
    def run_tools(
        self,
        *,
        max_rounds: int = DEFAULT_ROUNDS,
        max_concurrent: int = DEFAULT_TOOLS_AT_A_TIME,
        on_error: OnError = "tell_model",
        approve: Approve | None = None,
        **params: Any,
    ) -> AbstractAsyncContextManager[ResponseToolRun[Any]]:
        """Let the model call Python functions until it answers without calling any.

        Each round sends the whole conversation. With `conversation`, or with `previous_response_id` unless
        `store=False`, the server has the conversation, and only the tools' results are sent.

        Args:
            max_rounds: The greatest number of requests, as for `chat.completions.run_tools`.
            max_concurrent: The number of tools that run at the same time.
            on_error: What happens if a tool fails: "tell_model", "raise", or a function, as for
                `chat.completions.run_tools`.
            approve: An async function that gets a `ToolRequest` before its tool runs, and returns whether it may run.
            params: The parameters of `stream`.

        Returns:
            A context manager, which gives a `ResponseToolRun`. Iterate it for the events of the run. Leaving the block
            cancels the tools and closes the stream.

        Raises:
            TypeError, ValueError: A parameter cannot be sent, or a tool cannot be called. Nothing has been sent.
        """
        hide_headers(params)
        from trio_openai._tools.conversation import ResponseToolConversation
        from trio_openai._tools.run import ResponseToolRun

        return start_run(
            self,
            ResponseToolRun[Any],
            ResponseToolConversation,
            params,
            max_rounds=max_rounds,
            max_concurrent=max_concurrent,
            on_error=on_error,
            approve=approve,
        )

    @returns_object
    async def cancel(self, response_id: str, **params: Unpack[CallParams]) -> Response:
        """Stop generating a background response.

        Args:
            response_id: The id of the response.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Returns:
            The response so far. Its `status` is "cancelled".

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _CANCEL(self._session, (response_id,), cast("Params", params))

    @returns_object
    async def delete(self, response_id: str, **params: Unpack[CallParams]) -> None:
        """Delete a stored response.

        Args:
            response_id: The id of the response.
            params: Options of the request, such as `timeout` and `extra_headers`.

        Raises:
            TypeError, ValueError: The id is not a string, or is empty.
            APIError: The request failed.
        """
        return await _DELETE(self._session, (response_id,), cast("Params", params))

    @returns_object
    async def compact(self, **params: Unpack[ResponseCompactParams]) -> CompactedResponse:
        """Return a conversation in fewer tokens. Its `output` is the beginning of the next `input`.

        Args:
            params: The API's parameters.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        return await _COMPACT(self._session, (), cast("Params", params))

    if TYPE_CHECKING:

        @overload
        def stream(
            self, *, text_format: type[T], **params: Unpack[ResponseStreamParams]
        ) -> StreamManager[ParsedResponseStream[T]]: ...
        @overload
        def stream(self, **params: Unpack[ResponseStreamParams]) -> StreamManager[ResponseStream]: ...
        def stream(self, **params: Any) -> Any: ...
        @overload
        async def start_stream(
            self,
            nursery: trio.Nursery,
            *,
            buffer: int = DEFAULT_BUFFER,
            text_format: type[T],
            **params: Unpack[ResponseStreamParams],
        ) -> ParsedResponseStream[T]: ...
        @overload
        async def start_stream(
            self, nursery: trio.Nursery, *, buffer: int = DEFAULT_BUFFER, **params: Unpack[ResponseStreamParams]
        ) -> ResponseStream: ...
        async def start_stream(self, nursery: trio.Nursery, **params: Any) -> Any: ...
        @overload
        def call(
            self, *, key: object = None, text_format: type[T], **params: Unpack[ResponseStreamParams]
        ) -> StreamCall[ParsedResponseStream[T]]: ...
        @overload
        def call(self, *, key: object = None, **params: Unpack[ResponseStreamParams]) -> StreamCall[ResponseStream]: ...
        def call(self, **params: Any) -> Any: ...
        @overload
        async def _create(
            self, *, stream: Literal[True], text_format: type[T], **params: Unpack[ResponseStreamParams]
        ) -> ParsedResponseStream[T]: ...
        @overload
        async def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            text_format: type[T],
            ask_again: int = 0,
            **params: Unpack[ResponseParams],
        ) -> ParsedResponse[T]: ...
        @overload
        async def _create(self, *, stream: Literal[True], **params: Unpack[ResponseStreamParams]) -> ResponseStream: ...
        @overload
        async def _create(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ResponseParams]
        ) -> Response: ...
        async def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), raw(_create)
        create = Method(_direct, _raw)


class RetrieveResponse(CalledEndpoint[ReturnsT, ResponseStream, Response]):
    """A stored response, or its stream of events. `client.responses.retrieve`.

    With `starting_after`, the stream begins after the event with that sequence number.
    """

    with_raw_response: RetrieveResponse[RawResponses]
    _method = "GET"
    _path = "/responses/{response_id}"
    _parameters = Parameters(ResponseRetrieveParams)
    _stream_class = ResponseStream
    _answer = Response

    def _protocol(self, params: Params) -> Callable[[], ResponseProtocol]:  # noqa: ARG002
        return ResponseProtocol

    if TYPE_CHECKING:

        def stream(
            self, response_id: str, **params: Unpack[ResponseRetrieveParams]
        ) -> StreamManager[ResponseStream]: ...
        async def start_stream(
            self,
            nursery: trio.Nursery,
            response_id: str,
            *,
            buffer: int = DEFAULT_BUFFER,
            **params: Unpack[ResponseRetrieveParams],
        ) -> ResponseStream: ...
        def call(
            self, response_id: str, *, key: object = None, **params: Unpack[ResponseRetrieveParams]
        ) -> StreamCall[ResponseStream]: ...
        @overload
        async def _call(
            self, response_id: str, *, stream: Literal[True], **params: Unpack[ResponseRetrieveParams]
        ) -> ResponseStream: ...
        @overload
        async def _call(
            self, response_id: str, *, stream: Literal[False] | None = None, **params: Unpack[ResponseRetrieveParams]
        ) -> Response: ...
        async def _call(self, response_id: str, **params: Any) -> Any: ...

        _direct, _raw = direct(_call), raw(_call)
        __call__ = Method(_direct, _raw)


class InputTokens(Endpoint[ReturnsT]):
    """The size of an input in tokens. `client.responses.input_tokens`."""

    with_raw_response: InputTokens[RawResponses]

    @returns_object
    async def count(self, **params: Unpack[InputTokenCountParams]) -> InputTokenCountResponse:
        """Return how many tokens an input has, without asking the model.

        Args:
            params: The API's parameters: those of `responses.create` that the model would read.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
            APIError: The request failed.
        """
        return await _COUNT_INPUT(self._session, (), cast("Params", params))


class InputItems(Endpoint[ReturnsT]):
    """The input of a stored response. `client.responses.input_items`."""

    with_raw_response: InputItems[RawResponses]

    @returns_pages
    def list(self, response_id: str, **params: Unpack[InputItemListParams]) -> Listing[ResponseItem]:
        """List the input items of a stored response.

        Args:
            response_id: The id of the response.
            params: The API's parameters, such as `limit` and `order`.

        Returns:
            A listing. Await it for the first page, or iterate it (`async for`) for all items. Either raises `APIError`
            if a request fails.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
        """
        return listing(self._session, _LIST_INPUT_ITEMS, (response_id,), cast("Params", params))
