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
    """A stream of a model's answer, from Chat Completions or Responses."""

    _follower: Follower[EventT] | None = None

    @property
    def deltas(self) -> AsyncIterator[Delta]:
        """The text, reasoning, refusals and tool calls of every choice, in one shape for both APIs.

        Each step gives a `ContentDelta`, `ReasoningDelta`, `RefusalDelta` or `ToolCallArgumentsDelta`, or a
        `ContentDone`, `ReasoningDone`, `RefusalDone` or `ToolCallDone` with the complete part, as soon as it is
        complete. The last ones of a chat may come after its last event.

        All iterators of `deltas` and `tool_calls` of one stream share what they read. Events that are read in another
        way (by iterating the stream or `text_deltas`) count towards the snapshots here, but their deltas are not handed
        over.

        Raises, besides what iterating the stream raises:
            APIError: the response failed (`response.failed`). A part that was cut off is never reported as done.
            RuntimeError: events of a stream that is read ahead (`start_stream`, `race`) were read in another way first,
                and their bytes have not been kept.
        """
        return DerivedIterator(self._source, lambda: self._follow().next_delta())

    @property
    def tool_calls(self) -> AsyncIterator[ToolCallDone]:
        """The tool calls, each as soon as it is complete. Raises what `deltas` raises."""
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
        """Read to the end and return the complete completion.

        Raises:
            APIError: the stream failed or was truncated. The error's `partial` has what arrived.
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
        """Read to the end and return the response of the last event, be it completed, incomplete or failed.

        Raises:
            APIError: the stream ended without such an event. The error's `partial` has what arrived.
            trio.ClosedResourceError: the stream was closed before its end.
        """
        await self.until_done()
        return self.snapshot


class CompletionStream(Stream["types.Completion", "types.Completion"]):
    """A stream of Completions, the older endpoint without messages."""

    async def get_final_completion(self) -> Completion:
        """Read to the end and return the complete completion. Raises what `get_final_completion` of a chat raises."""
        await self.until_done()
        return self.snapshot


class ImageStream(Stream["types.ImageStreamEvent", "types.ImagesResponse"]):
    """A stream of pictures. Until a picture is complete, the snapshot has its latest sketch."""

    async def get_final_images(self) -> ImagesResponse:
        """Read to the end and return the complete pictures. Raises what `get_final_completion` of a chat raises."""
        await self.until_done()
        return self.snapshot


class TranscriptionStream(Stream["types.TranscriptionStreamEvent", "types.Transcription"]):
    """A stream of the transcript of a recording."""

    async def get_final_transcription(self) -> Transcription:
        """Read to the end and return the complete text. Raises what `get_final_completion` of a chat raises."""
        await self.until_done()
        return self.snapshot


class SpeechStream(Stream["types.SpeechStreamEvent", "types.Speech"]):
    """A stream of sound."""

    async def get_final_speech(self) -> Speech:
        """Read to the end and return the complete sound. Raises what `get_final_completion` of a chat raises."""
        await self.until_done()
        return self.snapshot
