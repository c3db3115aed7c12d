"""Parts of a stream that are not done yet, for the deltas of every API.

A part keeps its text as a list of strings that only grows. So a delta can build its snapshot later, and a stream costs
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
    """A part that has begun.

    Attributes:
        is_over: whether it has been reported as done.
        is_call: whether it is a tool call.
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
        """The text so far."""
        return self._whole or join_text(self._pieces)

    @property
    def is_known(self) -> bool:
        """True if everything but the text is known that the `...Done` object needs."""
        return True

    def add(self, text: str) -> Delta:
        """Add text and return its delta."""
        raise NotImplementedError

    def end(self) -> Delta:
        """End the part and return its `...Done` object."""
        raise NotImplementedError

    def end_with(self, whole: str) -> list[Delta]:
        """End the part because the server says so. `whole` is all of its text according to the server.

        A text that is empty or shorter than what was delivered is ignored, because delivered text is never erased. The
        arguments of a call are JSON, where a shorter text may be the correct one.
        """
        if whole and (self.is_call or not is_beginning(whole, self._pieces)):
            self._whole = whole
        rest = [self.add(new)] if (new := rest_after(self._pieces, whole)) else []
        return [*rest, self.end()] if self.is_known else rest


class OpenText(OpenPart):
    """A text. Its kind is the pair of classes for its deltas and its end."""

    __slots__ = ("kind",)

    def __init__(self, kind: TextKind, choice: int, index: int, number: int) -> None:
        super().__init__(choice, index, number)
        self.kind = kind

    def add(self, text: str) -> Delta:
        """Add text and return its delta."""
        self._pieces.append(text)
        return self.kind[0](text, self._choice, self._index, self._number, self._pieces, len(self._pieces))

    def end(self) -> Delta:
        """End the part and return its `...Done` object."""
        self.is_over = True
        return self.kind[1](self.text, self._choice, self._index, self._number)
