"""Tokens: what a request may use, by an estimate, and what an answer says that it has used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .json import decode_json, is_array, is_object

if TYPE_CHECKING:
    from trio_openai._statistics import Usage
    from trio_openai.types._raw import Raw

_CHARACTERS_A_TOKEN = 4
_MOST_TOKENS = 100_000_000  # that one request can use; the largest context windows hold a tenth of that
INPUT_PARAMETERS = ("messages", "input", "prompt", "instructions", "tools")
"""The parameters whose text is the input of a model."""

_MOST_OUTPUT = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_NO_TEXT = ("type", "role", "id", "image_url", "url", "data", "file_data", "file_id", "encrypted_content")


def estimated_tokens(body: object) -> int:
    """Estimate the tokens of a request: the largest output that it allows, and one for every four characters of input.

    Images and files are ignored, because their tokens do not depend on their length.
    """
    if not is_object(body):
        return 0
    characters = sum(map(len, _texts([body.get(name) for name in INPUT_PARAMETERS])))
    output = max((value for name in _MOST_OUTPUT if type(value := body.get(name)) is int), default=0)
    choices = body.get("n")
    all_output = max(output, 0) * (max(choices, 1) if type(choices) is int else 1)
    return min(all_output + characters // _CHARACTERS_A_TOKEN, _MOST_TOKENS)


def count_of(value: object) -> int | None:
    """Return a count of tokens as a server or a limiter's caller gives it, or None if it cannot be one.

    A bool, a float, text, a negative number, and more than 100 million (no request uses so many) are no counts.
    """
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def bounded(estimate: object) -> int:
    """Return an estimate of tokens, between none and the most that a request can use; 0 if it is no whole number."""
    return min(max(estimate, 0), _MOST_TOKENS) if type(estimate) is int else 0


def _texts(value: object) -> Iterator[str]:
    """Yield all texts in a JSON value, except in fields that the model does not read."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif is_object(one):
            left += (member for name, member in one.items() if name not in _NO_TEXT)
        elif is_array(one):
            left += one


def used_tokens(usage: object) -> int | None:
    """Return the total of a `usage` object of any endpoint, or None if it does not say a plausible one."""
    if not is_object(usage):
        return None
    if total := count_of(usage.get("total_tokens")):
        return total
    parts = [count_of(usage.get(f"{kind}_tokens")) for kind in ("input", "output", "prompt", "completion")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def tokens_of_answer(content: bytes) -> int | None:
    """Return the tokens that a plain answer says were used, or None."""
    answer = decoded_with_usage(content)
    return used_tokens(answer.get("usage")) if is_object(answer) else None


def decoded_with_usage(content: bytes) -> object:
    """Return a plain answer as decoded JSON, or None if it is no JSON or has no usage."""
    if b'"usage"' not in content:  # saves decoding large answers
        return None
    try:
        return decode_json(content)
    except ValueError:
        return None


class UsageTotal:
    """The sum of `usage` objects of any endpoints."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts = [0, 0, 0, 0]

    def add(self, usage: object) -> None:
        """Add a `usage` object as it was sent. What is missing or no plausible count is left out."""
        if not is_object(usage):
            return
        given = (
            _count(usage, "input_tokens", "prompt_tokens"),
            _count(usage, "output_tokens", "completion_tokens"),
            _count(_details(usage, "input_tokens_details", "prompt_tokens_details"), "cached_tokens"),
            _count(_details(usage, "output_tokens_details", "completion_tokens_details"), "reasoning_tokens"),
        )
        self._counts = [old + new for old, new in zip(self._counts, given, strict=True)]

    def usage(self) -> Usage:
        """Return the sum so far."""
        from trio_openai._statistics import Usage

        return Usage(*self._counts)


def _count(usage: object, *names: str) -> int:
    """Return the first of the counts that is given, or 0."""
    given = (count_of(usage.get(name)) for name in names) if is_object(usage) else ()
    return next(filter(None, given), 0)


def _details(usage: Raw, *names: str) -> object:
    return next(filter(is_object, map(usage.get, names)), None)
