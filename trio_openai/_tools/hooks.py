"""The functions of a program that a run asks: whether a tool may run, and what the model is told about an error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

import attrs

from trio_openai.types.deltas import ToolCallDone


@attrs.frozen
class ToolRequest:
    """A call that waits for the program's approval. An `approve` function gets it.

    Attributes:
        call: The call as the model wrote it.
        arguments: The parsed arguments by name; for a custom tool, the text.
    """

    call: ToolCallDone
    arguments: dict[str, Any] | str

    @property
    def name(self) -> str:
        """The name of the tool."""
        return self.call.name or ""


Approve: TypeAlias = Callable[[ToolRequest], Awaitable[bool | str] | bool | str]
"""True lets the tool run. False refuses it, and so does a string, which is the reason that the model is told."""

OnError: TypeAlias = Literal["tell_model", "raise"] | Callable[[ToolCallDone, Exception], str]
"""What happens if a tool fails. A function returns the text for the model, or raises to end the run."""


def check_on_error(given: object) -> None:
    """Raise `ValueError` unless it is an `OnError`."""
    if given not in ("tell_model", "raise") and not callable(given):
        raise ValueError('on_error takes "tell_model", "raise" or a function that returns the text for the model')


def check_approve(given: object) -> None:
    """Raise `TypeError` unless it is a function."""
    if not callable(given):
        raise TypeError(f"approve takes an async function, not {type(given).__name__}")


def reason_to_refuse(answer: object) -> str | None:
    """Return why an `approve` function refused a call, or None if it allowed it.

    Raises:
        TypeError: The answer is neither a bool nor a string, so nobody has decided.
    """
    if answer is True:
        return None
    if isinstance(answer, str):
        return answer
    if answer is False:
        return ""
    raise TypeError(f"approve must return True, False or the reason for a refusal, not {type(answer).__name__}")
