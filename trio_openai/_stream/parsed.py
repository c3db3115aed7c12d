"""The streams whose answers were asked for in the shape of a class."""

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
    """What such a stream has found out so far about its answer."""

    def __init__(self, source: EventSource[Any, Any]) -> None:
        self._source = source
        self._partial = PartialAnswer()
        self._whole: Any = None  # once nothing can follow

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
        if is_over and not pieces:  # it may have come in one
            pieces = [self.snapshot().said().text]
        return self._partial.look(pieces, is_over=is_over)


class ParsedChatCompletionStream(ChatCompletionStream, Generic[T]):
    """A stream of Chat Completions that was asked for with `response_format=` a class."""

    def __init__(self, source: EventSource[ChatCompletionChunk, ChatCompletion]) -> None:
        super().__init__(source)
        self._answer = _Parsed(source)

    @property
    def snapshot(self) -> ParsedChatCompletion[T]:
        """What the events that were read add up to. Readable at any time, also after an error or a cancellation."""
        whole: ParsedChatCompletion[T] = self._answer.snapshot()
        return whole

    @property
    def parsed(self) -> T | Unparsed:
        """The answer (choice 0) as an object of the class; an `Unparsed`, which says why, where there is none (yet)."""
        return self.snapshot.parsed

    @property
    def parsed_partial(self) -> dict[str, Any]:
        """The answer as far as it has come, as decoded JSON: unchecked, members may be missing, strings may be cut.

        It is empty until an object begins. It is read anew when the text has grown by 1/256, so looking at every event
        is no more than 256 times the work of reading the whole once, and up to so much behind. Treat it as read-only.
        """
        return self._answer.partial()

    async def get_final_completion(self) -> ParsedChatCompletion[T]:
        """As `ChatCompletionStream`'s. Whether the answer fits the class is told by its `parsed`."""
        await self.until_done()
        return self.snapshot


class ParsedResponseStream(ResponseStream, Generic[T]):
    """A stream of Responses that was asked for with `text_format=` a class."""

    def __init__(self, source: EventSource[ResponseStreamEvent, Response]) -> None:
        super().__init__(source)
        self._answer = _Parsed(source)

    @property
    def snapshot(self) -> ParsedResponse[T]:
        """What the events that were read add up to. Readable at any time, also after an error or a cancellation."""
        whole: ParsedResponse[T] = self._answer.snapshot()
        return whole

    @property
    def parsed(self) -> T | Unparsed:
        """The answer (the last text of the last message) as an object of the class; or an `Unparsed`."""
        return self.snapshot.parsed

    @property
    def parsed_partial(self) -> dict[str, Any]:
        """The answer as far as it has come. As `ParsedChatCompletionStream`'s."""
        return self._answer.partial()

    async def get_final_response(self) -> ParsedResponse[T]:
        """As `ResponseStream`'s. Whether the answer fits the class is told by its `parsed`."""
        await self.until_done()
        return self.snapshot
