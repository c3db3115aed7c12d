"""Streams whose answers were requested in the shape of a class (structured outputs)."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from trio_openai._protocols.structured.partial import PartialAnswer
from trio_openai.types import (
    ChatCompletion,
    ChatCompletionChunk,
    ParsedChatCompletion,
    ParsedResponse,
    Response,
    ResponseStreamEvent,
    Unparsed,
)

from .kinds import ChatCompletionStream, ResponseStream
from .source import EventSource

T = TypeVar("T")


class _Parsed:
    """The structured answer of one stream, as far as it has come."""

    def __init__(self, source: EventSource[Any, Any]) -> None:
        self._source = source
        self._partial = PartialAnswer()
        self._whole: Any = None  # once the stream is complete

    def snapshot(self) -> Any:
        if self._whole is None:
            whole = self._source.protocol.snapshot()
            if self._source.lifecycle.verdict.state != "done":
                return whole
            whole.is_whole, self._whole = True, whole
        return self._whole

    def partial(self) -> dict[str, Any]:
        protocol: Any = self._source.protocol
        is_over = self._source.lifecycle.verdict.state != "open"
        pieces: list[str] = protocol.pieces
        if is_over and not pieces:  # the answer may have come in one event
            pieces = [self.snapshot().said().text]
        return self._partial.look(pieces, is_over=is_over)


class ParsedChatCompletionStream(ChatCompletionStream, Generic[T]):
    """A stream of Chat Completions that was requested with `response_format=` a class."""

    def __init__(self, source: EventSource[ChatCompletionChunk, ChatCompletion]) -> None:
        super().__init__(source)
        self._answer = _Parsed(source)

    @property
    def snapshot(self) -> ParsedChatCompletion[T]:
        """Everything that has arrived so far, added up. Readable at any time, also after an error or a cancellation."""
        whole: ParsedChatCompletion[T] = self._answer.snapshot()
        return whole

    @property
    def parsed(self) -> T | Unparsed:
        """The answer (choice 0) as an object of the class, or an `Unparsed` that says why there is none yet."""
        return self.snapshot.parsed

    @property
    def parsed_partial(self) -> dict[str, Any]:
        """The answer as far as it has come, as decoded JSON. Members may be missing, and strings may be cut off.

        Nothing is checked against the class. The dictionary is empty until an object begins. It is decoded again
        whenever the text has grown by 1/256, so looking at it after every event costs at most as much as decoding the
        complete answer 256 times, and it may lag behind by as much. Treat it as read-only.
        """
        return self._answer.partial()

    async def get_final_completion(self) -> ParsedChatCompletion[T]:
        """Read to the end and return the complete completion. Its `parsed` tells whether the answer fits the class."""
        await self.until_done()
        return self.snapshot


class ParsedResponseStream(ResponseStream, Generic[T]):
    """A stream of Responses that was requested with `text_format=` a class."""

    def __init__(self, source: EventSource[ResponseStreamEvent, Response]) -> None:
        super().__init__(source)
        self._answer = _Parsed(source)

    @property
    def snapshot(self) -> ParsedResponse[T]:
        """Everything that has arrived so far, added up. Readable at any time, also after an error or a cancellation."""
        whole: ParsedResponse[T] = self._answer.snapshot()
        return whole

    @property
    def parsed(self) -> T | Unparsed:
        """The answer (the last text of the last message) as an object of the class, or an `Unparsed`."""
        return self.snapshot.parsed

    @property
    def parsed_partial(self) -> dict[str, Any]:
        """The answer as far as it has come; see `ParsedChatCompletionStream.parsed_partial`."""
        return self._answer.partial()

    async def get_final_response(self) -> ParsedResponse[T]:
        """Read to the end and return the response. Its `parsed` tells whether the answer fits the class."""
        await self.until_done()
        return self.snapshot
