"""What a model and its tools have said to each other, and what is sent in the next round.

A round is one request and its answer. When its tools have run, what the model said and what they returned go into
`messages`, which is valid for the API after every round, whether the next one comes or not.

Of Responses there are three ways to go on, chosen by what the first request said:

* with `conversation`, the server keeps all of it, so only the tools' outputs are sent;
* with `previous_response_id`, and not `store=False`, the next request follows the response before, likewise;
* otherwise everything is sent again, the model's output items as they came: that works without anything kept anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from trio_openai._wire.json import decode_json, encode_text, is_object, objects_in
from trio_openai._wire.text import has_lone_half, utf8
from trio_openai.types._base import Raw
from trio_openai.types.chat import ChatCompletion, ChatCompletionMessage
from trio_openai.types.deltas import ToolCallDone

from .sent_back import arguments_to_send, distinct_ids, id_of, item_to_send, items_of_calls, name_to_send

WholeT = TypeVar("WholeT", contravariant=True)
Output = tuple[ToolCallDone, str]

_CUT = ("length", "content_filter")
_FORCING = ("function", "custom")


class Conversation(Protocol, Generic[WholeT]):
    """One with a model that calls tools."""

    messages: list[Any]

    def request(self) -> Raw:
        """The parameters of the next round."""
        ...

    def add(self, whole: WholeT, outputs: Sequence[Output]) -> None:
        """A round is over: what the model said, and what came of each of its calls."""
        ...

    def is_cut_by(self, event: Any) -> bool:
        """Whether an event says that the answer was cut, so that a call which is done by it may not be whole."""
        ...

    def is_over(self, whole: WholeT) -> bool:
        """Whether nothing can follow an answer, whatever it called."""
        ...


class ChatConversation:
    """By Chat Completions.

    Args:
        params: those of the first round.

    Attributes:
        messages: the whole conversation so far.
    """

    def __init__(self, params: Raw) -> None:
        self.messages: list[Any] = list(params["messages"])
        self._params = params
        self._ids: set[str] = set()  # of all calls so far

    def request(self) -> Raw:
        """The parameters of the next round."""
        return {**self._params, "messages": list(self.messages)}

    def add(self, whole: ChatCompletion, outputs: Sequence[Output]) -> None:
        """A round is over: what the model said, and what came of each of its calls."""
        choice = next((choice for choice in whole.choices if not choice.index), None)
        if choice is None:
            return
        ids = distinct_ids([call.id for call, _ in outputs], self._ids)
        self.messages.append(_sendable(_assistant(choice.message, [call for call, _ in outputs], ids)))
        self.messages += [
            _chat_output(call, call_id, output) for (call, output), call_id in zip(outputs, ids, strict=True)
        ]
        self._params = _unforced(self._params)

    def is_cut_by(self, event: Any) -> bool:
        """Whether a chunk says that the answer was cut."""
        return any(choice.get("finish_reason") in _CUT for choice in objects_in(event.raw.get("choices")))

    def is_over(self, whole: ChatCompletion) -> bool:  # noqa: ARG002
        """Never: a chat that fails is an error."""
        return False


_SAID = ("refusal", "reasoning_content", "reasoning_details")
"""Beside the content. Servers that send reasoning want it back while the model works with its tools."""


def _assistant(message: ChatCompletionMessage, calls: Sequence[ToolCallDone], ids: Sequence[str]) -> Raw:
    said: Raw = {"role": "assistant", "content": message.content}
    said.update({name: value for name in _SAID if (value := getattr(message, name, None))})
    if tool_calls := [
        _chat_call(call, call_id) for call, call_id in zip(calls, ids, strict=True) if call.kind != "function_call"
    ]:
        said["tool_calls"] = tool_calls
    for call in calls:
        if call.kind == "function_call":
            said["function_call"] = {"name": name_to_send(call.name), "arguments": arguments_to_send(call)}
    return said


def _chat_call(call: ToolCallDone, call_id: str) -> Raw:
    text = "input" if call.kind == "custom" else "arguments"
    called = {"name": name_to_send(call.name), text: arguments_to_send(call)}
    return {**call.extra, "id": call_id, "type": call.kind, call.kind: called}


def _chat_output(call: ToolCallDone, call_id: str, output: str) -> Raw:
    if call.kind == "function_call":
        return {"role": "function", "name": name_to_send(call.name), "content": output}
    return {"role": "tool", "tool_call_id": call_id, "content": output}


def _sendable(said: Raw) -> Raw:
    """What the model said, where a server sent halves of surrogate pairs: they are put together, or replaced."""
    text = encode_text(said)
    return cast("Raw", decode_json(utf8(text))) if has_lone_half(text) else said


def is_whole(call: ToolCallDone) -> bool:
    """Whether the arguments of a call, after which the answer was cut, are whole; of a text nobody knows."""
    try:
        return call.kind != "custom" and is_object(decode_json(utf8(call.arguments)))
    except ValueError:
        return False


class ResponseConversation:
    """By Responses.

    Args:
        params: those of the first round.

    Attributes:
        messages: the items of the conversation so far, as far as they went through here.
    """

    def __init__(self, params: Raw) -> None:
        given: object = params.get("input")
        if given is None:
            given = []
        asked: list[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else list(_items(given))
        self.messages = asked
        self._params = params
        self._is_chained = params.get("previous_response_id") is not None and params.get("store") is not False
        self._is_kept = self._is_chained or params.get("conversation") is not None
        self._sent = 0  # of the messages, those that the server has
        self._ids: set[str] = set()  # of all calls so far

    def request(self) -> Raw:
        """The parameters of the next round."""
        return {**self._params, "input": self.messages[self._sent :]}

    def add(self, whole: Any, outputs: Sequence[Output]) -> None:
        """A round is over: what the model said, and what came of each of its calls."""
        items, ids = self._answered([item.raw for item in whole.output], [call for call, _ in outputs])
        self.messages += map(_sendable, items)
        if self._is_kept:
            self._sent = len(self.messages)
        self.messages += [
            _response_output(call, call_id, output) for (call, output), call_id in zip(outputs, ids, strict=True)
        ]
        self._params = _unforced(self._params)
        if self._is_chained and whole.id:
            self._params = {**self._params, "previous_response_id": whole.id}

    def _answered(self, items: list[Raw], calls: list[ToolCallDone]) -> tuple[list[Raw], list[str]]:
        """Return the output items as they go back, and the id that answers each call.

        A server that keeps the conversation knows its calls by the ids that it sent, so those are never changed.
        """
        places = items_of_calls(items, calls)
        known = [
            id_of(call, None if place is None else items[place]) for call, place in zip(calls, places, strict=True)
        ]
        ids = distinct_ids(known, self._ids)
        if self._is_kept:
            ids = [own or call_id for own, call_id in zip(known, ids, strict=True)]
        items = list(items)
        for call, call_id, place in zip(calls, ids, places, strict=True):
            if place is None:
                items.append(item_to_send(call, call_id, None))
            else:
                items[place] = item_to_send(call, call_id, items[place])
        return items, ids

    def is_cut_by(self, event: Any) -> bool:
        """Whether an event ends the response, or an item of it, before it was whole."""
        item = event.raw.get("item")
        return event.type == "response.incomplete" or (is_object(item) and item.get("status") == "incomplete")

    def is_over(self, whole: Any) -> bool:
        """Whether the response failed."""
        return whole.status in ("failed", "cancelled")


def _items(given: object) -> Iterable[Any]:
    return cast("Iterable[Any]", given)


def _response_output(call: ToolCallDone, call_id: str, output: str) -> Raw:
    kind = "custom_tool_call_output" if call.kind == "custom" else "function_call_output"
    return {"type": kind, "call_id": call_id, "output": output}


def _unforced(params: Raw) -> Raw:
    """Without a `tool_choice` that has a tool be called, which would never end."""
    choice = params.get("tool_choice")
    is_forcing = choice == "required" or (is_object(choice) and choice.get("type") in _FORCING)
    return {name: value for name, value in params.items() if name != "tool_choice"} if is_forcing else params
