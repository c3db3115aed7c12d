"""The endpoint Chat Completions.

This is the file to read first, because the other endpoints follow the same pattern. A class declares:

* the request: `_path` and `_parameters`, which check a call's arguments against a `TypedDict`;
* the response: `_stream_class` for a stream, `_answer` for a whole result;
* what depends on the arguments: `_makers` chooses the stream and the protocol that reads its events, `_decode` the
  class of the whole result. Here both look for a class as `response_format`, which makes the result a parsed one;
* the types of its doors, under `if TYPE_CHECKING`. At run time the doors are inherited from `CreatingEndpoint`
  (`_doors.py`), where a call continues.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.plain_answers import Decode, as_object
from trio_openai._request.headers import hide_headers
from trio_openai._request.session import Session
from trio_openai._stream.kinds import ChatCompletionStream
from trio_openai._stream.stream import StreamCall, StreamManager
from trio_openai.types import ChatCompletion
from trio_openai.types.params import ChatCompletionEveryParams, ChatCompletionParams, ChatCompletionParsedParams

from ._doors import DEFAULT_BUFFER, CreatingEndpoint, MakeProtocol, MakeStream
from ._endpoint import Endpoint, RawResponses, ReturnsT
from ._formats import as_parsed, chat_format
from ._operations import Params
from ._parameters import Parameters, by_name_only
from ._stored_chats import StoredChatCompletions
from ._tool_params import DEFAULT_ROUNDS, DEFAULT_TOOLS_AT_A_TIME, chat_tool, start_run

if TYPE_CHECKING:
    import trio

    from trio_openai._stream.parsed import ParsedChatCompletionStream
    from trio_openai._tools.hooks import Approve, OnError
    from trio_openai._tools.run import ChatToolRun
    from trio_openai.types import ParsedChatCompletion

    from ._endpoint import Method, direct, raw

T = TypeVar("T")


class Chat(Endpoint[ReturnsT]):
    """The endpoints below `client.chat`: only `completions`."""

    with_raw_response: Chat[RawResponses]

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.completions: ChatCompletions[ReturnsT] = ChatCompletions(session)


class ChatCompletions(
    StoredChatCompletions[ReturnsT], CreatingEndpoint[ReturnsT, ChatCompletionStream, ChatCompletion]
):
    """Chat Completions: the next message of a conversation. `client.chat.completions`."""

    with_raw_response: ChatCompletions[RawResponses]
    _path = "/chat/completions"
    _parameters = Parameters(ChatCompletionEveryParams, unchecked=("response_format",), items={"tools": chat_tool})
    _stream_class = ChatCompletionStream
    _answer = ChatCompletion
    _format_name = "response_format"

    def _makers(self, params: Params) -> tuple[MakeStream[ChatCompletionStream], MakeProtocol]:
        # A stream without a final [DONE] is complete when as many choices as requested have a finish reason.
        choices = params.get("n") or 1
        wanted = chat_format(params)
        if wanted is None:
            return ChatCompletionStream, lambda: ChatProtocol(choices)
        from trio_openai._protocols.structured.protocols import ParsedChatProtocol
        from trio_openai._stream.parsed import ParsedChatCompletionStream

        return ParsedChatCompletionStream, lambda: ParsedChatProtocol(wanted.judge, choices)

    def _decode(self, params: Params) -> Decode[ChatCompletion]:
        wanted = chat_format(params)
        if wanted is None:
            return as_object(ChatCompletion)
        from trio_openai.types import ParsedChatCompletion

        return as_parsed(ParsedChatCompletion, wanted)

    @overload
    def run_tools(
        self,
        *,
        response_format: type[T],
        max_rounds: int = ...,
        max_concurrent: int = ...,
        on_error: OnError = ...,
        approve: Approve | None = ...,
        **params: Unpack[ChatCompletionParsedParams],
    ) -> AbstractAsyncContextManager[ChatToolRun[ParsedChatCompletion[T]]]: ...
    @overload
    def run_tools(
        self,
        *,
        max_rounds: int = ...,
        max_concurrent: int = ...,
        on_error: OnError = ...,
        approve: Approve | None = ...,
        **params: Unpack[ChatCompletionParams],
    ) -> AbstractAsyncContextManager[ChatToolRun[ChatCompletion]]: ...
    @by_name_only
    def run_tools(
        self,
        *,
        max_rounds: int = DEFAULT_ROUNDS,
        max_concurrent: int = DEFAULT_TOOLS_AT_A_TIME,
        on_error: OnError = "tell_model",
        approve: Approve | None = None,
        **params: Any,
    ) -> AbstractAsyncContextManager[ChatToolRun[Any]]:
        """Let the model call Python functions until it answers without calling any.

        A round is one request to the model, followed by the tools that it calls. The results of the tools are added to
        the conversation for the next round.

        Args:
            max_rounds: The greatest number of requests. If the model still calls tools in the last one, these are run,
                and then iterating raises `ToolRunError`.
            max_concurrent: The number of tools that run at the same time.
            on_error: What happens if a tool raises an exception or gets invalid arguments. "tell_model" sends the
                error to the model as the tool's result. "raise" ends the run with the exception. A function gets the
                call and the exception, and returns the text for the model; if it raises, that ends the run. The model
                is always told if it calls an unknown tool.
            approve: An async function that gets a `ToolRequest` before its tool runs. It returns True to approve it,
                and False or the reason to refuse it, which the model is told. Other tools go on while it waits. If
                it raises, that ends the run. A `Tool` may have its own.
            params: The parameters of `stream`. `tools` may contain functions, `Tool`s, and dictionaries of tools that
                the server runs. A `tool_choice` that forces a tool call applies to the first round only.

        Returns:
            A context manager, which gives a `ChatToolRun`. Iterate it for the events of the run. Leaving the block
            cancels the tools and closes the stream.

        Raises:
            TypeError, ValueError: A parameter cannot be sent, or a tool cannot be called. Nothing has been sent.
        """
        hide_headers(params)
        from trio_openai._tools.conversation import ChatToolConversation
        from trio_openai._tools.run import ChatToolRun

        if params.get("n") not in (None, 1):
            raise ValueError("run_tools follows a single choice: leave n out")
        return start_run(
            self,
            ChatToolRun[Any],
            ChatToolConversation,
            params,
            max_rounds=max_rounds,
            max_concurrent=max_concurrent,
            on_error=on_error,
            approve=approve,
        )

    if TYPE_CHECKING:

        @overload
        def stream(
            self, *, response_format: type[T], **params: Unpack[ChatCompletionParsedParams]
        ) -> StreamManager[ParsedChatCompletionStream[T]]: ...
        @overload
        def stream(self, **params: Unpack[ChatCompletionParams]) -> StreamManager[ChatCompletionStream]: ...
        def stream(self, **params: Any) -> Any: ...
        @overload
        async def start_stream(
            self,
            nursery: trio.Nursery,
            *,
            buffer: int = DEFAULT_BUFFER,
            response_format: type[T],
            **params: Unpack[ChatCompletionParsedParams],
        ) -> ParsedChatCompletionStream[T]: ...
        @overload
        async def start_stream(
            self, nursery: trio.Nursery, *, buffer: int = DEFAULT_BUFFER, **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletionStream: ...
        async def start_stream(self, nursery: trio.Nursery, **params: Any) -> Any: ...
        @overload
        def call(
            self, *, key: object = None, response_format: type[T], **params: Unpack[ChatCompletionParsedParams]
        ) -> StreamCall[ParsedChatCompletionStream[T]]: ...
        @overload
        def call(
            self, *, key: object = None, **params: Unpack[ChatCompletionParams]
        ) -> StreamCall[ChatCompletionStream]: ...
        def call(self, **params: Any) -> Any: ...
        @overload
        async def _create(
            self, *, stream: Literal[True], response_format: type[T], **params: Unpack[ChatCompletionParsedParams]
        ) -> ParsedChatCompletionStream[T]: ...
        @overload
        async def _create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: type[T],
            ask_again: int = 0,
            **params: Unpack[ChatCompletionParsedParams],
        ) -> ParsedChatCompletion[T]: ...
        @overload
        async def _create(
            self, *, stream: Literal[True], **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletionStream: ...
        @overload
        async def _create(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletion: ...
        async def _create(self, **params: Any) -> Any: ...

        _direct, _raw = direct(_create), raw(_create)
        create = Method(_direct, _raw)
