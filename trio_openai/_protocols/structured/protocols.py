"""The protocols of structured outputs: those of the two APIs, with snapshots that can be parsed."""

from __future__ import annotations

from typing import Generic, TypeVar

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai.types._fields import Hook, hook_for
from trio_openai.types.parsed import Judge, ParsedChatCompletion, ParsedResponse

T = TypeVar("T")


class ParsedChatProtocol(ChatProtocol, Generic[T]):
    """Chat Completions. `judge` makes the object of the class."""

    def __init__(self, judge: Judge[T], choices: int = 1) -> None:
        super().__init__(choices)
        self._judge = judge

    @property
    def pieces(self) -> list[str]:
        """The text of the answer, in a list that grows."""
        return self._snapshot.pieces

    def snapshot(self) -> ParsedChatCompletion[T]:
        hook: Hook = hook_for(ParsedChatCompletion)
        made: ParsedChatCompletion[T] = hook(self._snapshot.as_raw(), None)
        return made.judged_by(self._judge, is_whole=False)


class ParsedResponseProtocol(ResponseProtocol, Generic[T]):
    """Responses. `judge` makes the object of the class."""

    def __init__(self, judge: Judge[T]) -> None:
        super().__init__()
        self._judge = judge

    @property
    def pieces(self) -> list[str]:
        """The text of the answer, in a list that grows."""
        return self._snapshot.pieces

    def snapshot(self) -> ParsedResponse[T]:
        hook: Hook = hook_for(ParsedResponse)
        made: ParsedResponse[T] = hook(super().snapshot().raw, None)
        return made.judged_by(self._judge, is_whole=False)
