"""Chat Completions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from trio_openai._calls import Caller, Decode, as_object
from trio_openai._sansio.dialect_chat import ChatDialect
from trio_openai._source import EventSource
from trio_openai._stream import ChatCompletionStream, StreamCall, StreamManager
from trio_openai.types import ChatCompletion
from trio_openai.types.params import ChatCompletionParams, ChatCompletionParsedParams

from ._doors import DEFAULT_BUFFER, CreatingEndpoint, Endpoint, MakeDialect, Params
from ._formats import as_parsed, chat_format
from ._parameters import Parameters

if TYPE_CHECKING:
    import trio

    from trio_openai._parsed_stream import ParsedChatCompletionStream
    from trio_openai.types import ParsedChatCompletion

    from ._raw_types import RawChat

T = TypeVar("T")


class Chat(Endpoint):
    """What is under `client.chat`."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(caller)
        self.completions = ChatCompletions(caller)

    if TYPE_CHECKING:

        @property
        def with_raw_response(self) -> RawChat: ...


class ChatCompletions(CreatingEndpoint[ChatCompletionStream, ChatCompletion]):
    """What is under `client.chat.completions`."""

    _path = "/chat/completions"
    _parameters = Parameters(ChatCompletionParams, unchecked=("response_format",))
    _stream_class = ChatCompletionStream
    _answer = ChatCompletion

    def _kind(self, params: Params) -> tuple[Callable[[EventSource[Any, Any]], ChatCompletionStream], MakeDialect]:
        choices = params.get("n") or 1
        wanted = chat_format(params)
        if wanted is None:
            return ChatCompletionStream, lambda: ChatDialect(choices)
        from trio_openai._parsed_stream import ParsedChatCompletionStream
        from trio_openai._sansio.dialects_parsed import ParsedChatDialect

        return ParsedChatCompletionStream, lambda: ParsedChatDialect(wanted.judge, choices)

    def _decode(self, params: Params) -> Decode[ChatCompletion]:
        wanted = chat_format(params)
        if wanted is None:
            return as_object(ChatCompletion)
        from trio_openai.types import ParsedChatCompletion

        return as_parsed(ParsedChatCompletion, wanted)

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
        async def create(
            self, *, stream: Literal[True], response_format: type[T], **params: Unpack[ChatCompletionParsedParams]
        ) -> ParsedChatCompletionStream[T]: ...
        @overload
        async def create(
            self,
            *,
            stream: Literal[False] | None = None,
            response_format: type[T],
            **params: Unpack[ChatCompletionParsedParams],
        ) -> ParsedChatCompletion[T]: ...
        @overload
        async def create(
            self, *, stream: Literal[True], **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletionStream: ...
        @overload
        async def create(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletion: ...
        async def create(self, **params: Any) -> Any: ...
