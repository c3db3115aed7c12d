"""Completions, the endpoint without a chat. A stream's events are of the same class as a whole answer."""

from __future__ import annotations

from typing import Any

import attrs

from ._base import WireObject, wire
from .chat import CompletionUsage


@wire
class CompletionLogprobs(WireObject):
    """Tokens, their log probabilities and places in the text; and for each the likeliest ones."""

    text_offset: list[int] | None = None
    token_logprobs: list[float] | None = None
    tokens: list[str] | None = None
    top_logprobs: list[dict[str, float]] | None = None


@wire
class CompletionChoice(WireObject):
    """One answer of the model, or a piece of it. `finish_reason` is None while it is not finished."""

    index: int | None = None
    text: str = ""
    finish_reason: str | None = None
    logprobs: CompletionLogprobs | None = None


@wire
class Completion(WireObject):
    """A completion: whole, or one event of a stream."""

    id: str | None = None
    choices: list[CompletionChoice] = attrs.field(factory=list[CompletionChoice])
    created: int | None = None
    model: str | None = None
    object: str | None = None
    system_fingerprint: str | None = None
    usage: CompletionUsage | None = None

    @property
    def text(self) -> str:
        """The text of choice 0. It is empty if there is none."""
        text: Any = next((choice.text for choice in self.choices if not choice.index), "")
        return text if isinstance(text, str) else ""
