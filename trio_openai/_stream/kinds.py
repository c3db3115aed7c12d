"""The kinds of streams, one for each endpoint. Each adds a method for the final result to `Stream`.

The classes differ in their types only, so a type checker knows what a stream's events and its snapshot are. Streams of
structured answers are in `parsed.py`, because they need more of the library.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeVar

from .stream import DerivedIterator, Stream

if TYPE_CHECKING:  # the types are imported when they are first used: see `types/__init__.py`
    from trio_openai import types  # noqa: F401 - for the bases below
    from trio_openai.types import (
        ChatCompletion,
        Completion,
        Delta,
        ImagesResponse,
        Response,
        Speech,
        ToolCallDone,
        Transcription,
    )

    from .deltas import Follower

EventT = TypeVar("EventT")
WholeT = TypeVar("WholeT")


class AnswerStream(Stream[EventT, WholeT]):
    """A stream of what a model answers, of either API."""

    _follower: Follower[EventT] | None = None

    @property
    def deltas(self) -> AsyncIterator[Delta]:
        """What the events say, part by part: of text, reasoning, refusals and tool calls, in every choice.

        Each step is a `ContentDelta`, `ReasoningDelta`, `RefusalDelta` or `ToolCallArgumentsDelta`; or a `ContentDone`,
        `ReasoningDone`, `RefusalDone` or `ToolCallDone` with the whole part, as soon as that is known to be whole. The
        last ones of a chat may come after its last event. They are of one shape for both APIs.

        What events say that are read in another way (by iterating the stream, or `text_deltas`) is in the parts and
        their snapshots, but is not handed out here. Iterators of `deltas` and `tool_calls` of one stream share what
        they read.

        Raises, beside what iterating the stream raises:
            APIError: the response failed (`response.failed`). Parts that were cut are never reported as done.
            RuntimeError: of a stream that is read ahead (`start_stream`, `race`), events have been read in another way
                before, and what they said has not been kept.
        """
        return DerivedIterator(self._source, lambda: self._follow().next_delta())

    @property
    def tool_calls(self) -> AsyncIterator[ToolCallDone]:
        """The tool calls, each as soon as it is complete, in any interleaving: `deltas`, and of these nothing else."""
        return DerivedIterator(self._source, lambda: self._follow().next_tool_call())

    def _follow(self) -> Follower[EventT]:
        if self._follower is None:
            from .deltas import Follower

            self._follower = Follower(self._source, self._next, (self._background or self._source).handed_over)
            self._next = self._follower.next_event
        return self._follower


class ChatCompletionStream(AnswerStream["types.ChatCompletionChunk", "types.ChatCompletion"]):
    """A stream of Chat Completions."""

    async def get_final_completion(self) -> ChatCompletion:
        """Read to the end; the whole completion.

        Raises:
            APIError: it is not whole; what arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed before its end.
        """
        await self.until_done()
        return self.snapshot


class ResponseStream(AnswerStream["types.ResponseStreamEvent", "types.Response"]):
    """A stream of Responses."""

    @property
    def text(self) -> str:
        """The output text that has arrived so far, as `snapshot.output_text` has it.

        The `text` of a `Response` is something else: the API uses that name for the format of the text.
        """
        return self.snapshot.output_text

    async def get_final_response(self) -> Response:
        """Read to the end; the response of the terminal event, whether it completed, is incomplete, or failed.

        Raises:
            APIError: there was no terminal event; what arrived is in the error's `partial`.
            trio.ClosedResourceError: the stream was closed before its end.
        """
        await self.until_done()
        return self.snapshot


class CompletionStream(Stream["types.Completion", "types.Completion"]):
    """A stream of Completions, the endpoint without a chat."""

    async def get_final_completion(self) -> Completion:
        """Read to the end; the whole completion. Raises as `ChatCompletionStream`'s."""
        await self.until_done()
        return self.snapshot


class ImageStream(Stream["types.ImageStreamEvent", "types.ImagesResponse"]):
    """A stream of pictures. In the snapshot, the latest sketch stands for a picture that is not whole."""

    async def get_final_images(self) -> ImagesResponse:
        """Read to the end; the whole pictures. Raises as `ChatCompletionStream`'s."""
        await self.until_done()
        return self.snapshot


class TranscriptionStream(Stream["types.TranscriptionStreamEvent", "types.Transcription"]):
    """A stream of the text of a recording."""

    async def get_final_transcription(self) -> Transcription:
        """Read to the end; the whole text. Raises as `ChatCompletionStream`'s."""
        await self.until_done()
        return self.snapshot


class SpeechStream(Stream["types.SpeechStreamEvent", "types.Speech"]):
    """A stream of sound."""

    async def get_final_speech(self) -> Speech:
        """Read to the end; the whole sound. Raises as `ChatCompletionStream`'s."""
        await self.until_done()
        return self.snapshot
