"""The endpoints: each knows its path, the dialect of its stream, and the type of its plain answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, overload

from ._calls import Caller, hide_headers
from ._sansio.dialects import ChatDialect, ResponseDialect
from ._stream import ChatCompletionStream, ResponseStream, StreamManager
from .types import ChatCompletion, Response
from .types._base import WireObject

Message = Mapping[str, Any] | WireObject
"""A message of a conversation: a dictionary, or the message of an earlier answer."""

_CHAT = "/chat/completions"
_RESPONSES = "/responses"


class Chat:
    """What is under `client.chat`."""

    def __init__(self, caller: Caller) -> None:
        self.completions = Completions(caller)


class Completions:
    """What is under `client.chat.completions`. Parameters are the API's.

    Beside them, every call takes:

    * `extra_headers`, `extra_query`, `extra_body`: added to the request;
    * `timeout`: as for `TrioOpenAI`.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def stream(self, *, model: str, messages: Iterable[Message], **params: Any) -> StreamManager[ChatCompletionStream]:
        """Stream a chat completion inside an `async with` block. The request is sent when the block is entered.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: on entering the block, and while iterating.
        """
        hide_headers(params)
        body = {"model": model, "messages": _listed(messages), **_without_stream(params)}
        return StreamManager(lambda: self._open(body))

    @overload
    async def create(
        self, *, model: str, messages: Iterable[Message], stream: Literal[True], **params: Any
    ) -> ChatCompletionStream: ...

    @overload
    async def create(
        self,
        *,
        model: str,
        messages: Iterable[Message],
        stream: Literal[False] | None = None,
        **params: Any,
    ) -> ChatCompletion: ...

    async def create(
        self,
        *,
        model: str,
        messages: Iterable[Message],
        stream: bool | None = None,
        **params: Any,
    ) -> ChatCompletionStream | ChatCompletion:
        """Make a chat completion; with `stream=True`, return its stream, to be closed by `aclose()` or `async with`.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: it failed.
        """
        hide_headers(params)
        body = {"model": model, "messages": _listed(messages), **params}
        if not stream:
            return await self._caller.plain(_CHAT, body, ChatCompletion)
        opened = self._open(body)
        await opened.open()
        return opened

    def _open(self, body: dict[str, Any]) -> ChatCompletionStream:
        choices = body["n"] if type(body.get("n")) is int else 1
        exchange = self._caller.exchange(_CHAT, body, stream=True)
        return ChatCompletionStream(exchange, lambda: ChatDialect(choices), self._caller.open_streams)


class Responses:
    """What is under `client.responses`. Parameters are the API's, and those of every call: see `Completions`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def stream(self, **params: Any) -> StreamManager[ResponseStream]:
        """Stream a response inside an `async with` block. The request is sent when the block is entered.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: on entering the block, and while iterating.
        """
        hide_headers(params)
        body = _without_stream(params)
        return StreamManager(lambda: self._open(body))

    @overload
    async def create(self, *, stream: Literal[True], **params: Any) -> ResponseStream: ...

    @overload
    async def create(self, *, stream: Literal[False] | None = None, **params: Any) -> Response: ...

    async def create(self, *, stream: bool | None = None, **params: Any) -> ResponseStream | Response:
        """Make a response; with `stream=True`, return its stream, to be closed by `aclose()` or `async with`.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: it failed.
        """
        hide_headers(params)
        if not stream:
            return await self._caller.plain(_RESPONSES, params, Response)
        opened = self._open(params)
        await opened.open()
        return opened

    def _open(self, body: dict[str, Any]) -> ResponseStream:
        exchange = self._caller.exchange(_RESPONSES, body, stream=True)
        return ResponseStream(exchange, ResponseDialect, self._caller.open_streams)


def _listed(messages: Iterable[Message]) -> list[Message]:
    if isinstance(messages, str | bytes | Mapping):
        raise TypeError('messages takes a list of messages, such as [{"role": "user", "content": "..."}]')
    return list(messages)


def _without_stream(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of `stream(...)`, which streams without being told."""
    if params.pop("stream", True) is not True:
        raise TypeError("stream(...) always streams; for a plain answer call create(...)")
    return params
