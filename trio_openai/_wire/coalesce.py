"""Merging neighbouring deltas, for subscribers with `overflow="coalesce"`.

Two deltas may be merged if they are of one kind: the same field of the same choice (Chat Completions), or the same
event type for the same item and content part (Responses). An event counts as a delta only if it says nothing else. An
event with a finish reason, usage, log probabilities or two choices stays as it is, so nothing is lost. The other fields
of merged events (ids, `sequence_number`, `obfuscation`) are those of the last one.
"""

from __future__ import annotations

from collections.abc import Hashable

from trio_openai.types._raw import Raw

from .json import is_array, is_object

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")
_PLACE = ("type", "item_id", "output_index", "content_index", "summary_index", "command_index")
_DELTA_FIELDS = {*_PLACE, "delta", "sequence_number", "obfuscation", "logprobs"}


def chat_delta(raw: Raw) -> tuple[Hashable, str] | None:
    """Return the kind and text of a chunk that is a single delta of one choice, or None for any other chunk."""
    choices = raw.get("choices")
    if not (is_array(choices) and len(choices) == 1 and is_object(choice := choices[0])) or raw.get("usage"):
        return None
    delta = choice.get("delta")
    if not is_object(delta) or any(value for key, value in choice.items() if key not in ("index", "delta")):
        return None
    said = [(key, value) for key, value in delta.items() if value]
    if len(said) != 1:
        return None
    (key, value), index = said[0], choice.get("index")
    if key == "tool_calls":
        return _arguments(index, value)
    return ((index, key), value) if key in _TEXTS and type(value) is str else None


def _arguments(choice: Hashable, calls: object) -> tuple[Hashable, str] | None:
    """Return the kind and text of a delta that only adds to the arguments of one tool call, or None."""
    if not (is_array(calls) and len(calls) == 1 and is_object(call := calls[0]) and is_object(call.get("function"))):
        return None
    function, index = call["function"], call.get("index")
    text = function.get("arguments")
    is_piece = type(index) is int and type(text) is str and not call.get("id") and not function.get("name")
    may_replace = is_piece and text.lstrip().startswith("{")  # `{}` sent before; must stay apart
    return ((choice, "tool_calls", index), text) if is_piece and not may_replace else None


def with_chat_delta(raw: Raw, text: str) -> Raw:
    """Return a copy of the chunk with another text in its delta."""
    choice = raw["choices"][0]
    delta = dict(choice["delta"])
    if delta.get("tool_calls"):
        call = delta["tool_calls"][0]
        delta["tool_calls"] = [{**call, "function": {**call["function"], "arguments": text}}]
    else:
        key = next(key for key, value in delta.items() if value)
        delta[key] = text
    return {**raw, "choices": [{**choice, "delta": delta}]}


def response_delta(raw: Raw) -> tuple[Hashable, str] | None:
    """Return the kind and text of a Responses event that is a delta and says nothing else; None for any other."""
    kind, text = raw.get("type"), raw.get("delta")
    if not raw.keys() <= _DELTA_FIELDS:
        return None  # merging would lose the unknown field
    if type(kind) is not str or not kind.endswith(".delta") or type(text) is not str or raw.get("logprobs"):
        return None
    place = tuple(map(raw.get, _PLACE))
    return (place, text) if all(map(_is_plain, place)) else None


def _is_plain(value: object) -> bool:
    return value is None or type(value) in (str, int)


def with_response_delta(raw: Raw, text: str) -> Raw:
    """Return a copy of the event with another delta."""
    return {**raw, "delta": text}
