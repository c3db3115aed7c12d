"""The parts of a stream: what those of a chat and those of a response have in common.

Texts are kept in pieces, which are only ever appended to: so a delta can make its snapshot later, and a stream costs
O(n).
"""

from __future__ import annotations

from trio_openai._wire.text import is_beginning, join_text, rest_after
from trio_openai.types.deltas import (
    ContentDelta,
    ContentDone,
    Delta,
    ReasoningDelta,
    ReasoningDone,
    RefusalDelta,
    RefusalDone,
)

TextKind = tuple[type[ContentDelta | ReasoningDelta | RefusalDelta], type[ContentDone | ReasoningDone | RefusalDone]]

CONTENT: TextKind = (ContentDelta, ContentDone)
REASONING: TextKind = (ReasoningDelta, ReasoningDone)
REFUSAL: TextKind = (RefusalDelta, RefusalDone)


class OpenPart:
    """A part that is on its way.

    Attributes:
        is_over: whether it has been reported as done.
        is_call: whether it is what a tool is called with.
    """

    __slots__ = ("_choice", "_index", "_number", "_pieces", "_whole", "is_over")

    is_call = False

    def __init__(self, choice: int, index: int, number: int) -> None:
        self.is_over = False
        self._choice, self._index, self._number = choice, index, number
        self._pieces: list[str] = []
        self._whole = ""

    @property
    def text(self) -> str:
        """All of it, as far as it has come."""
        return self._whole or join_text(self._pieces)

    @property
    def is_known(self) -> bool:
        """Whether all that its last event has to say is known, but the text."""
        return True

    def add(self, text: str) -> Delta:
        """Take a piece of it."""
        raise NotImplementedError

    def end(self) -> Delta:
        """It is done."""
        raise NotImplementedError

    def end_with(self, whole: str) -> list[Delta]:
        """End it, as the server says, with what it says is all of it.

        An empty text, or less than what was delivered, says nothing: delivered text is never erased. Arguments of a
        call are JSON, of which a beginning can be the whole.
        """
        if whole and (self.is_call or not is_beginning(whole, self._pieces)):
            self._whole = whole
        rest = [self.add(new)] if (new := rest_after(self._pieces, whole)) else []
        return [*rest, self.end()] if self.is_known else rest


class OpenText(OpenPart):
    """A stretch of text of one kind, which is the classes of its events."""

    __slots__ = ("kind",)

    def __init__(self, kind: TextKind, choice: int, index: int, number: int) -> None:
        super().__init__(choice, index, number)
        self.kind = kind

    def add(self, text: str) -> Delta:
        """Take a piece of it."""
        self._pieces.append(text)
        return self.kind[0](text, self._choice, self._index, self._number, self._pieces, len(self._pieces))

    def end(self) -> Delta:
        """It is done."""
        self.is_over = True
        return self.kind[1](self.text, self._choice, self._index, self._number)
