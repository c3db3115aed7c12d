"""Chat Completions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from trio_openai._calls import Caller
from trio_openai._sansio.dialect_chat import ChatDialect
from trio_openai._stream import ChatCompletionStream, StreamCall, StreamManager
from trio_openai.types import ChatCompletion
from trio_openai.types.params import ChatCompletionParams

from ._doors import DEFAULT_BUFFER, CreatingEndpoint, Endpoint
from ._parameters import Parameters

if TYPE_CHECKING:
    import trio

    from ._raw_types import RawChat


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
    _parameters = Parameters(ChatCompletionParams)
    _stream_class = ChatCompletionStream
    _answer = ChatCompletion

    def _dialect(self, params: dict[str, Any]) -> Callable[[], ChatDialect]:
        choices = params.get("n") or 1
        return lambda: ChatDialect(choices)

    if TYPE_CHECKING:

        def stream(self, **params: Unpack[ChatCompletionParams]) -> StreamManager[ChatCompletionStream]: ...
        async def start_stream(
            self, nursery: trio.Nursery, *, buffer: int = DEFAULT_BUFFER, **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletionStream: ...
        def call(
            self, *, key: object = None, **params: Unpack[ChatCompletionParams]
        ) -> StreamCall[ChatCompletionStream]: ...
        @overload
        async def create(
            self, *, stream: Literal[True], **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletionStream: ...
        @overload
        async def create(
            self, *, stream: Literal[False] | None = None, **params: Unpack[ChatCompletionParams]
        ) -> ChatCompletion: ...
        async def create(self, **params: Any) -> Any: ...
