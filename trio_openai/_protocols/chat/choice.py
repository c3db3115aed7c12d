"""One choice of a chat snapshot: the deltas of a choice, added up to its message. `snapshot.py` has the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trio_openai._wire.json import encode_text, is_array, is_object, objects_in
from trio_openai._wire.text import join_text
from trio_openai.types._raw import Raw

from .tool_calls import CallPieces, ToolCalls

USUAL_OF_CHOICE = frozenset(("index", "delta", "logprobs", "finish_reason"))
_REASONING = {"reasoning", "reasoning_content"}
_OF_CHUNK = USUAL_OF_CHOICE | {"message", "content_filter_results"}


def said_in(choice: Raw, chunk: Raw, seen: Callable[[], set[str]]) -> Raw | None:
    """Return the delta of one choice in a chunk, or the message that some servers send instead.

    A whole completion repeats its deltas. So only those fields of its message count that were not `seen` before.
    """
    if is_object(delta := choice.get("delta")):
        return delta
    message = choice.get("message")
    if not is_object(message) or chunk.get("object") != "chat.completion":
        return message if is_object(message) else None
    known = seen()
    known |= _REASONING if known & _REASONING else set()
    return {key: value for key, value in message.items() if key in _FOLDS and key not in known}


class AudioPieces:
    """The audio of an answer, which arrives in pieces."""

    __slots__ = ("_texts", "_values")

    def __init__(self) -> None:
        self._values: Raw = {}
        self._texts: dict[str, list[str]] = {}

    def add(self, raw: Raw) -> None:
        """Take a piece. The first id counts, base64 and transcript are appended, and other fields are replaced."""
        for key, value in raw.items():
            if key in ("data", "transcript"):
                if value is not None:
                    self._texts.setdefault(key, []).append(value if type(value) is str else encode_text(value))
            elif not (key == "id" and self._values.get("id")):
                keep_last(self._values, key, value)

    def as_raw(self) -> Raw:
        """Return the audio so far, as a JSON object."""
        return {**self._values, **{key: join_text(pieces) for key, pieces in self._texts.items()}}


class ChatChoice:
    """A choice that is being added up. The table `_FOLDS` says how each field of a delta is added.

    Attributes:
        has_content: whether the model has produced anything for it.
        is_finished: whether a finish reason has come, and no content since.
        texts: for each text field, its text as a list of strings.
        tool_calls: the tool calls, or None.
        function_call: the call of the older `functions` API, or None.
    """

    __slots__ = (
        "_audio",
        "_details",
        "_extra",
        "_fields",
        "_filtered",
        "_logprobs",
        "_role",
        "finish_reason",
        "function_call",
        "has_content",
        "index",
        "is_finished",
        "texts",
        "tool_calls",
    )

    def __init__(self, index: int) -> None:
        self.index = index
        self.has_content = self.is_finished = False
        self.finish_reason: str | None = None
        self.texts: dict[str, list[str]] = {"content": []}
        self.tool_calls: ToolCalls | None = None
        self.function_call: CallPieces | None = None
        self._role: str | None = None
        self._audio: AudioPieces | None = None
        self._details: list[Raw] | None = None
        self._logprobs: Raw | None = None
        self._filtered: Raw | None = None
        self._fields: Raw = {}  # of the message, those without a rule of their own
        self._extra: Raw = {}  # of the choice, likewise

    def add(self, choice: Raw, chunk: Raw) -> str:
        """Add what a chunk says about this choice. Return the new text if this is choice 0, else an empty string."""
        text, said = "", None
        delta: Raw | None = choice.get("delta")
        if type(delta) is dict and len(delta) == 1 and type(content := delta.get("content")) is str and content:
            self.texts["content"].append(text := content)  # nearly every delta is just text
            self.has_content, self.is_finished = True, False
        elif said := said_in(choice, chunk, self._seen):
            text = "".join([self._fold(key, value) for key, value in said.items()])
        if reason := choice.get("finish_reason"):
            self._finish(reason)
        logprobs: Raw | None = choice.get("logprobs")
        if type(logprobs) is dict:
            self._logprobs = self._logprobs if self._logprobs is not None else {}
            for key, value in logprobs.items():
                keep_joined(self._logprobs, key, value)
        if not USUAL_OF_CHOICE.issuperset(choice):
            self._add_extra(choice, said)
        return text if self.index == 0 else ""

    def _seen(self) -> set[str]:
        """Return the names of the fields for which something has come."""
        others = {
            "tool_calls": self.tool_calls,
            "function_call": self.function_call,
            "audio": self._audio,
            "reasoning_details": self._details,
        }
        return {key for key, value in (*self.texts.items(), *others.items()) if value}

    def _finish(self, reason: Any) -> None:
        self.finish_reason = reason
        self.is_finished = True
        if self.tool_calls:
            self.tool_calls.finish()
        if self.function_call and self.function_call.can_finish:
            self.function_call.is_done = True

    def _add_extra(self, choice: Raw, said: Raw | None) -> None:
        """Keep the other fields: those that are not in `said` and are not about the end."""
        if is_object(message := choice.get("message")) and message is not said:
            for key, value in message.items():
                if key not in _FOLDS:
                    keep_last(self._fields, key, list(value) if is_array(value) else value)
        if is_object(found := choice.get("content_filter_results")):
            self._filtered = self._filtered or {}
            self._filtered.update(found)
        for key, value in choice.items():
            if key not in _OF_CHUNK:
                keep_last(self._extra, key, value)

    def _fold(self, key: str, value: object) -> str:
        """Add one field of a delta. Return the text that it brings."""
        fold = _FOLDS.get(key)
        if fold is None or value is None:
            keep_joined(self._fields, key, value)
            return ""
        return fold(self, key, value) or ""

    def _take_content(self) -> None:
        self.has_content, self.is_finished = True, False

    def add_text(self, key: str, value: object) -> str | None:
        if type(value) is not str:
            return join_text([self.add_text(name, text) or "" for name, text in texts_in(key, value)])
        self.texts.setdefault(key, []).append(value)
        if value:
            self._take_content()
        return value if key == "content" else None

    def add_role(self, _: str, value: object) -> None:
        if not self._role and type(value) is str:
            self._role = value

    def add_tool_calls(self, _: str, value: object) -> None:
        for number, piece in enumerate(objects_in(value)):
            self.tool_calls = self.tool_calls or ToolCalls()
            self.tool_calls.add(piece, is_first=not number)
            if self.tool_calls.has_grown:
                self.is_finished = False
            self.has_content = True

    def add_function_call(self, _: str, value: object) -> None:
        if is_object(value):
            self.function_call = self.function_call or CallPieces(0, needs_id=False)
            self.has_content = True
            if self.function_call.add({"function": value}):
                self.is_finished = False

    def add_audio(self, _: str, value: object) -> None:
        if is_object(value):
            self._audio = self._audio or AudioPieces()
            self._audio.add(value)
            self._take_content()

    def add_details(self, _: str, value: object) -> None:
        self._details = self._details or []
        self._details.extend(objects_in(value))

    def as_raw(self) -> Raw:
        """Return the choice so far, as a JSON object that later deltas do not change."""
        raw = {"index": self.index, "message": self._message(), "finish_reason": self.finish_reason, **self._extra}
        if self._logprobs is not None:
            raw["logprobs"] = copied(self._logprobs)
        if self._filtered is not None:
            raw["content_filter_results"] = dict(self._filtered)
        return raw

    def _message(self) -> Raw:
        raw: Raw = {"role": None, "content": None, **copied(self._fields)}
        raw["role"] = self._role or "assistant"
        raw.update({key: join_text(pieces) for key, pieces in self.texts.items() if pieces})
        if self.tool_calls:
            raw["tool_calls"] = self.tool_calls.as_raw()
        if self.function_call:
            raw["function_call"] = self.function_call.function_as_raw()
        if self._audio:
            raw["audio"] = self._audio.as_raw()
        if self._details:
            raw["reasoning_details"] = _merged_details(self._details)
        return raw


_FOLDS: dict[str, Callable[[ChatChoice, str, object], str | None]] = {
    "content": ChatChoice.add_text,
    "refusal": ChatChoice.add_text,
    "reasoning_content": ChatChoice.add_text,
    "reasoning": ChatChoice.add_text,
    "role": ChatChoice.add_role,
    "tool_calls": ChatChoice.add_tool_calls,
    "function_call": ChatChoice.add_function_call,
    "audio": ChatChoice.add_audio,
    "reasoning_details": ChatChoice.add_details,
}


def keep_last(fields: Raw, key: str, value: object) -> None:
    """Set a field. Null never replaces a value."""
    if value is not None or key not in fields:
        fields[key] = value


def keep_joined(fields: Raw, key: str, value: object) -> None:
    """Set a field; a list is appended to the list that is there. The lists in `fields` are its own."""
    if not is_array(value):
        keep_last(fields, key, value)
    elif is_array(known := fields.get(key)):
        known.extend(value)
    else:
        fields[key] = list(value)


def copied(fields: Raw) -> Raw:
    """Return a copy of what `keep_joined` has made."""
    return {key: list(value) if is_array(value) else value for key, value in fields.items()}


def texts_in(key: str, value: object) -> list[tuple[str, str]]:
    """Return the texts in a field of a delta, each with the name of the field to which it belongs.

    Content may be a list: `{"type": "text", "text": ...}` and `{"type": "thinking", "thinking": [texts]}`.
    """
    if type(value) is str:
        return [(key, value)]
    return [
        ("reasoning_content", join_text(map(_part_text, objects_in(thinking))))
        if is_array(thinking := part.get("thinking"))
        else (key, _part_text(part))
        for part in objects_in(value)
    ]


def _part_text(part: Raw) -> str:
    text = part.get("text")
    return text if type(text) is str else ""


def _merged_details(details: list[Raw]) -> list[Raw]:
    """Merge OpenRouter's `reasoning_details`: join the texts of entries with the same type and index."""
    merged: dict[tuple[str, int | str], Raw] = {}
    texts: dict[tuple[tuple[str, int | str], str], list[str]] = {}
    for number, detail in enumerate(details):
        index = detail.get("index")
        key = encode_text(detail.get("type")), index if type(index) is int else f"#{number}"
        whole = merged.setdefault(key, {})
        for name, value in detail.items():
            if name in ("text", "summary", "data") and type(value) is str:
                texts.setdefault((key, name), []).append(value)
            elif not whole.get(name):
                whole[name] = value
    for (key, name), pieces in texts.items():
        merged[key][name] = join_text(pieces)
    return list(merged.values())
