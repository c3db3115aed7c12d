"""The endpoints: each knows its path, the dialect of its stream, and the type of its plain answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, overload

import trio

from ._calls import Caller, hide_headers
from ._sansio.dialects import ChatDialect, ResponseDialect
from ._stream import ChatCompletionStream, ResponseStream, StreamCall, StreamManager, start
from .types import ChatCompletion, Response
from .types._base import WireObject

Message = Mapping[str, Any] | WireObject
"""A message of a conversation: a dictionary, or the message of an earlier answer."""

_CHAT = "/chat/completions"
_RESPONSES = "/responses"

DEFAULT_BUFFER = 64
"""Events that a task may read ahead of whoever iterates the stream."""


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
        return StreamManager(self._prepare(_streamed(params, model=model, messages=messages)))

    async def start_stream(
        self,
        nursery: trio.Nursery,
        *,
        model: str,
        messages: Iterable[Message],
        buffer: int = DEFAULT_BUFFER,
        **params: Any,
    ) -> ChatCompletionStream:
        """Stream a chat completion inside a nursery: a task in it reads the stream, into a buffer of so many events.

        The task ends with the stream. Cancelling the nursery, or `aclose()`, closes the stream.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: now, and while iterating. Out of the nursery, if nobody iterates and nobody has subscribed.
        """
        prepared = self._prepare(_streamed(params, model=model, messages=messages))
        return await start(prepared, nursery, buffer)

    def call(
        self, *, key: object = None, model: str, messages: Iterable[Message], **params: Any
    ) -> StreamCall[ChatCompletionStream]:
        """A chat completion to be made by `stream_many`, `run_many` or `race`; `key` is what tells it apart.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
        """
        return StreamCall(key, self._prepare(_streamed(params, model=model, messages=messages)))

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
        body = _body(params, model=model, messages=messages)
        if not stream:
            return await self._caller.plain(_CHAT, body, ChatCompletion)
        opened = self._prepare(body)()
        await opened.open()
        return opened

    def _prepare(self, body: dict[str, Any]) -> Callable[[], ChatCompletionStream]:
        caller, call = self._caller, self._caller.prepare(_CHAT, body, stream=True)
        choices = body["n"] if type(body.get("n")) is int else 1
        return lambda: ChatCompletionStream(caller.source(call, lambda: ChatDialect(choices)))


class Responses:
    """What is under `client.responses`. Parameters are the API's, and those of every call: see `Completions`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def stream(self, *, resume: bool = False, **params: Any) -> StreamManager[ResponseStream]:
        """Stream a response inside an `async with` block. The request is sent when the block is entered.

        Args:
            resume: take the stream up again where it broke, without a gap and without a repetition. It has to be a
                background response (`background=True`), which the server goes on with meanwhile.
            params: the API's, and those of every call.

        Raises:
            TypeError, ValueError: a parameter cannot be sent, or `resume` without `background`.
            APIError: on entering the block, and while iterating.
        """
        return StreamManager(self._prepare(_streamed(params), resume=resume))

    async def start_stream(
        self, nursery: trio.Nursery, *, buffer: int = DEFAULT_BUFFER, resume: bool = False, **params: Any
    ) -> ResponseStream:
        """Stream a response inside a nursery: a task in it reads the stream, into a buffer of so many events.

        The task ends with the stream. Cancelling the nursery, or `aclose()`, closes the stream.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
            APIError: now, and while iterating. Out of the nursery, if nobody iterates and nobody has subscribed.
        """
        return await start(self._prepare(_streamed(params), resume=resume), nursery, buffer)

    def call(self, *, key: object = None, resume: bool = False, **params: Any) -> StreamCall[ResponseStream]:
        """A response to be made by `stream_many`, `run_many` or `race`; `key` is what tells it apart.

        Raises:
            TypeError, ValueError: a parameter cannot be sent.
        """
        return StreamCall(key, self._prepare(_streamed(params), resume=resume))

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
        body = _body(params)
        if not stream:
            return await self._caller.plain(_RESPONSES, body, Response)
        opened = self._prepare(body)()
        await opened.open()
        return opened

    def _prepare(self, body: dict[str, Any], *, resume: bool = False) -> Callable[[], ResponseStream]:
        if resume and not body.get("background"):
            raise ValueError("resume=True needs background=True: only of a background response the rest can be had")
        caller, call = self._caller, self._caller.prepare(_RESPONSES, body, stream=True)
        return lambda: ResponseStream(caller.source(call, ResponseDialect, resume=resume))


def _body(params: dict[str, Any], **named: Any) -> dict[str, Any]:
    """All parameters of a call. Those that are given as a dictionary are made fit to stand in a traceback."""
    hide_headers(params)
    if "messages" in named:
        named["messages"] = _listed(named["messages"])
    return {**named, **params}


def _streamed(params: dict[str, Any], **named: Any) -> dict[str, Any]:
    """All parameters of a call that streams without being told."""
    if params.pop("stream", True) is not True:
        raise TypeError("this always streams; for a plain answer call create(...)")
    return _body(params, **named)


def _listed(messages: Iterable[Message]) -> list[Message]:
    if isinstance(messages, str | bytes | Mapping):
        raise TypeError('messages takes a list of messages, such as [{"role": "user", "content": "..."}]')
    return list(messages)
