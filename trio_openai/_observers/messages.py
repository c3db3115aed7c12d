"""Write the content of a call as OpenTelemetry's conventions do: messages, each with a role and parts.

The shapes are those of the JSON schemas of version 1.41.1 (`gen-ai-input-messages.json` and its siblings). Version
1.36.0 has an event for each message instead, whose fields look like the API's own: `older_event` makes one from the
other. See `genai.py` for the two versions.

What the schemas have no part for is passed on as it is, with its own `type`: they allow that.
"""

from __future__ import annotations

from typing import Any

from trio_openai._wire.json import decode_text, encode_text, is_array, is_object
from trio_openai.types._raw import Raw, objects_in

from .genai import finish_reasons

_ITEM_ROLES = {"function_call_output": "tool", "custom_tool_call_output": "tool"}
_REASONING = ("reasoning_content", "reasoning")  # chat completions of servers other than OpenAI's


# What is sent.


def input_messages(body: Raw) -> list[Raw]:
    """Return the messages of a request: of a chat, a response, or a completion."""
    if is_array(body.get("messages")):
        return [_message(one) for one in objects_in(body["messages"])]
    given = body.get("input", body.get("prompt"))
    if isinstance(given, str):
        return [{"role": "user", "parts": [_text_part(given)]}]
    if not is_array(given):
        return []
    texts = [{"role": "user", "parts": [_text_part(one)]} for one in given if isinstance(one, str)]
    return texts + [_item_message(one) for one in objects_in(given)]


def system_instructions(body: Raw) -> list[Raw]:
    """Return the instructions that are sent apart from the messages."""
    given = body.get("instructions")
    return [_text_part(given)] if isinstance(given, str) else []


def tool_definitions(body: Raw) -> list[Raw]:
    """Return the tools of a request by type and name. The conventions advise against recording more of them."""
    tools = objects_in(body.get("tools"))
    flat = [{**tool, **given} if is_object(given := tool.get("function")) else tool for tool in tools]
    return [{name: tool[name] for name in ("type", "name") if name in tool} for tool in flat]


# What comes back.


def output_messages(answer: Raw, unfinished: str) -> list[Raw]:
    """Return the messages of an answer, one for each choice.

    Args:
        answer: the answer, whole or so far.
        unfinished: the finish reason of a choice that has none, since every message has to have one.
    """
    reasons = ["tool_call" if reason == "tool_calls" else reason or unfinished for reason in finish_reasons(answer)]
    if is_array(answer.get("choices")):
        choices = objects_in(answer["choices"])
        return [{**_choice(one), "finish_reason": reason} for one, reason in zip(choices, reasons, strict=True)]
    parts = [part for item in objects_in(answer.get("output")) for part in _item_message(item)["parts"]]
    return [{"role": "assistant", "parts": parts, "finish_reason": (reasons or [unfinished])[0]}] if parts else []


def _choice(choice: Raw) -> Raw:
    message = choice.get("message")
    if is_object(message):
        return _message({"role": "assistant", **message})
    return {"role": "assistant", "parts": _parts(choice.get("text"))}


# Messages.


def _message(message: Raw) -> Raw:
    """Return a message of a chat."""
    role = str(message.get("role", ""))
    if role in ("tool", "function"):
        response = {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": message.get("content")}
        return {"role": "tool", "parts": [response]}
    thoughts = [message[name] for name in _REASONING if isinstance(message.get(name), str) and message[name]]
    parts = [{"type": "reasoning", "content": text} for text in thoughts[:1]]
    parts += _parts(message.get("content"))
    if isinstance(refusal := message.get("refusal"), str):
        parts.append({"type": "refusal", "content": refusal})
    parts += [_tool_call(one) for one in objects_in(message.get("tool_calls"))]
    named = {"name": message["name"]} if isinstance(message.get("name"), str) else {}
    return {"role": role, "parts": parts, **named}


def _item_message(item: Raw) -> Raw:
    """Return an item of a response, or of its input, as a message."""
    kind = item.get("type", "message")
    if kind == "message":
        return {"role": str(item.get("role", "assistant")), "parts": _parts(item.get("content"))}
    if kind in _ITEM_ROLES:
        part = {"type": "tool_call_response", "id": item.get("call_id"), "response": item.get("output")}
    elif kind in ("function_call", "custom_tool_call"):
        part = _call_part(item.get("call_id"), item.get("name"), item.get("arguments", item.get("input")))
    elif kind == "reasoning":
        texts = [*objects_in(item.get("summary")), *objects_in(item.get("content"))]
        part = {"type": "reasoning", "content": "\n".join(str(one.get("text", "")) for one in texts)}
    else:
        part = item
    return {"role": _ITEM_ROLES.get(str(kind), "assistant"), "parts": [part]}


def _tool_call(call: Raw) -> Raw:
    given = call.get("function", call.get("custom"))
    function: Raw = given if is_object(given) else {}
    return _call_part(call.get("id"), function.get("name"), function.get("arguments", function.get("input")))


def _call_part(call_id: object, name: object, arguments: object) -> Raw:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": as_object(arguments)}


def as_object(arguments: object) -> object:
    """Return the arguments of a tool as an object if they are the text of one, else as they are."""
    if not isinstance(arguments, str):
        return arguments
    try:
        decoded = decode_text(arguments)
    except ValueError:
        return arguments
    return decoded if is_object(decoded) else arguments


# Parts.


def _parts(content: object) -> list[Raw]:
    if isinstance(content, str):
        return [_text_part(content)] if content else []
    return [_part(one) for one in objects_in(content)]


def _text_part(text: str) -> Raw:
    return {"type": "text", "content": text}


def _part(part: Raw) -> Raw:
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text"):
        return _text_part(str(part.get("text", "")))
    if kind in ("image_url", "input_image"):
        image = part.get("image_url")
        url = image.get("url") if is_object(image) else image
        return _by_url(url) if isinstance(url, str) else _by_id("image", part)
    if kind == "input_audio" and is_object(sound := part.get("input_audio")):
        mime_type = f"audio/{sound.get('format', '*')}"
        return {"type": "blob", "modality": "audio", "mime_type": mime_type, "content": sound.get("data")}
    return part


def _by_url(url: str) -> Raw:
    if url.startswith("data:"):
        mime_type, _, data = url.removeprefix("data:").partition(";base64,")
        return {"type": "blob", "modality": "image", "mime_type": mime_type, "content": data}
    return {"type": "uri", "modality": "image", "uri": url}


def _by_id(modality: str, part: Raw) -> Raw:
    return {"type": "file", "modality": modality, "file_id": part.get("file_id")}


# Version 1.36.0.

_EVENT_ROLES = {"developer": "system"}


def older_event(message: Raw) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields of the event that version 1.36.0 has for a message that is sent."""
    role = message["role"]
    kind = _EVENT_ROLES.get(role, role)
    kind = kind if kind in ("system", "user", "assistant", "tool") else "user"
    return f"gen_ai.{kind}.message", {**({"role": role} if role != kind else {}), **_fields(message)}


def older_choice(index: int, message: Raw) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields of the event that version 1.36.0 has for a choice of an answer."""
    reason = "tool_calls" if message["finish_reason"] == "tool_call" else message["finish_reason"]
    return "gen_ai.choice", {"index": index, "finish_reason": reason, "message": encode_text(_fields(message))}


def _fields(message: Raw) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    calls = [part for part in message["parts"] if part["type"] == "tool_call"]
    others = [part for part in message["parts"] if part["type"] != "tool_call"]
    if message["role"] == "tool" and others:
        fields["id"] = others[0].get("id")
        fields["content"] = others[0].get("response")
    elif others and all(part["type"] == "text" for part in others):
        fields["content"] = "".join(part["content"] for part in others)
    elif others:
        fields["content"] = others
    if calls:
        fields["tool_calls"] = [_older_call(part) for part in calls]
    return {name: value for name, value in fields.items() if value is not None}


def _older_call(part: Raw) -> Raw:
    arguments = part["arguments"]
    text = arguments if isinstance(arguments, str) else encode_text(arguments)
    return {"id": part["id"], "type": "function", "function": {"name": part["name"], "arguments": text}}
