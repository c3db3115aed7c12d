"""The conversation between a model and its tools, and the request of the next round.

A round is one request and its answer. After its tools have run, the model's message and the tools' outputs are appended
to `messages`. So `messages` is valid input for the API after every round, whether or not another one follows.

The Responses API can continue in three ways. The parameters of the first request decide:

* With `conversation`, the server stores everything, so only the tools' outputs are sent.
* With `previous_response_id` (unless `store=False`), each request names the previous response, and again only the
  outputs are sent.
* Otherwise everything is sent again, including the model's output items as they came. This needs no stored state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from trio_openai._wire.json import decode_json, encode_text, is_object, objects_in
from trio_openai._wire.text import has_lone_half, utf8
from trio_openai.types._raw import Raw
from trio_openai.types.chat import ChatCompletion, ChatCompletionMessage
from trio_openai.types.deltas import ToolCallDone

from .normalize import arguments_to_send, distinct_ids, id_of, item_to_send, items_of_calls, name_to_send
from .output import ToolOutput, chat_parts, joined_text, response_parts

WholeT = TypeVar("WholeT", contravariant=True)
Output = tuple[ToolCallDone, ToolOutput]

_CUT_OFF = ("length", "content_filter")  # finish reasons of an answer that may be incomplete
_FORCING = ("function", "custom")  # types of a `tool_choice` that demands one tool


class ToolConversation(Protocol, Generic[WholeT]):
    """A conversation with a model that calls tools, over either API."""

    messages: list[Any]

    def request(self) -> Raw:
        """Return the parameters of the next round."""
        ...

    def add(self, whole: WholeT, outputs: Sequence[Output]) -> None:
        """Record a completed round: the model's answer and the output of each of its calls."""
        ...

    def output_of(self, output: ToolOutput) -> ToolOutput:
        """Return a tool's output as this API takes it.

        Raises:
            TypeError: The API does not take an output of this kind.
        """
        ...

    def is_cut_off_by(self, event: Any) -> bool:
        """Return whether an event says that the answer was cut off, so that its last call may be incomplete."""
        ...

    def has_failed(self, whole: WholeT) -> bool:
        """Return whether the answer failed, so that no round can follow whatever it called."""
        ...


class ChatToolConversation:
    """A conversation over Chat Completions.

    Args:
        params: the parameters of the first round.

    Attributes:
        messages: the whole conversation so far.
    """

    def __init__(self, params: Raw) -> None:
        self.messages: list[Any] = list(params["messages"])
        self._params = params
        self._ids: set[str] = set()  # the ids of all calls so far

    def request(self) -> Raw:
        """Return the parameters of the next round."""
        return {**self._params, "messages": list(self.messages)}

    def add(self, whole: ChatCompletion, outputs: Sequence[Output]) -> None:
        """Record a completed round: the model's answer and the output of each of its calls."""
        # Only choice 0 is continued: a conversation cannot go on from two answers. Some servers leave its index out.
        choice = next((choice for choice in whole.choices if not choice.index), None)
        if choice is None:
            return
        ids = distinct_ids([call.id for call, _ in outputs], self._ids)
        self.messages.append(_sendable(_assistant(choice.message, [call for call, _ in outputs], ids)))
        self.messages += [
            _chat_output(call, call_id, output) for (call, output), call_id in zip(outputs, ids, strict=True)
        ]
        self._params = _unforced(self._params)

    def output_of(self, output: ToolOutput) -> ToolOutput:
        """Return a tool's output as Chat Completions takes it. Raise `TypeError` if it is more than text."""
        return chat_parts(output)

    def is_cut_off_by(self, event: Any) -> bool:
        """Return whether a chunk says that the answer was cut off."""
        return any(choice.get("finish_reason") in _CUT_OFF for choice in objects_in(event.raw.get("choices")))

    def has_failed(self, whole: ChatCompletion) -> bool:  # noqa: ARG002
        """Return False: a failed chat completion raises an error instead."""
        return False


_SAID = ("refusal", "reasoning_content", "reasoning_details")
"""Fields that are sent back besides `content`. Servers that send reasoning want it back between tool calls."""


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


def _chat_output(call: ToolCallDone, call_id: str, output: ToolOutput) -> Raw:
    if call.kind == "function_call":
        return {"role": "function", "name": name_to_send(call.name), "content": joined_text(output)}
    return {"role": "tool", "tool_call_id": call_id, "content": output}


def _sendable(said: Raw) -> Raw:
    """Return a message that can be encoded as UTF-8: join the two halves of a surrogate pair, replace a lone one."""
    text = encode_text(said)
    return cast("Raw", decode_json(utf8(text))) if has_lone_half(text) else said


def is_complete(call: ToolCallDone) -> bool:
    """Return whether a call is complete although the answer was cut off after it.

    Arguments that are a JSON object are complete. The text of a custom tool may end anywhere, so it never counts as
    complete here.
    """
    try:
        return call.kind != "custom" and is_object(decode_json(utf8(call.arguments)))
    except ValueError:
        return False


class ResponseToolConversation:
    """A conversation over the Responses API.

    Args:
        params: the parameters of the first round.

    Attributes:
        messages: the input and output items so far, without those that only the server stores.
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
        self._sent = 0  # how many of the messages the server stores, so that they need not be sent again
        self._ids: set[str] = set()  # the ids of all calls so far

    def request(self) -> Raw:
        """Return the parameters of the next round."""
        return {**self._params, "input": self.messages[self._sent :]}

    def add(self, whole: Any, outputs: Sequence[Output]) -> None:
        """Record a completed round: the model's answer and the output of each of its calls."""
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
        """Return the output items to send back, and the id that each call's output refers to.

        A server that stores the conversation knows its calls by the ids it sent, so those are never changed.
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

    def output_of(self, output: ToolOutput) -> ToolOutput:
        """Return a tool's output as Responses takes it."""
        return response_parts(output)

    def is_cut_off_by(self, event: Any) -> bool:
        """Return whether an event ends the response, or one of its items, before it was complete."""
        item = event.raw.get("item")
        return event.type == "response.incomplete" or (is_object(item) and item.get("status") == "incomplete")

    def has_failed(self, whole: Any) -> bool:
        """Return whether the response failed or was cancelled."""
        return whole.status in ("failed", "cancelled")


def _items(given: object) -> Iterable[Any]:
    return cast("Iterable[Any]", given)


def _response_output(call: ToolCallDone, call_id: str, output: ToolOutput) -> Raw:
    kind = "custom_tool_call_output" if call.kind == "custom" else "function_call_output"
    return {"type": kind, "call_id": call_id, "output": output}


def _unforced(params: Raw) -> Raw:
    """Return the parameters without a `tool_choice` that demands a tool call: the model would call tools forever."""
    choice = params.get("tool_choice")
    is_forcing = choice == "required" or (is_object(choice) and choice.get("type") in _FORCING)
    return {name: value for name, value in params.items() if name != "tool_choice"} if is_forcing else params
