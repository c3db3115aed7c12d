"""The result of a tool as the model gets it: text, JSON, or content parts such as images.

A function returns whatever suits a Python program. `output_of` decides which of three it is:

* A string is sent unchanged.
* A content part, or a list of them, is a dictionary with the `type` and the members of a part of either API. A program
  may write parts of one API and use the tool with the other: `chat_parts` and `response_parts` translate them.
* Anything else is sent as JSON.

Chat Completions takes only text from a tool, so an image there is an error. Responses takes text, images and files
(`output` of https://platform.openai.com/docs/api-reference/responses/create#responses-create-input).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from trio_openai._wire.encode import result_text
from trio_openai._wire.json import decode_json, is_object
from trio_openai._wire.text import printable, utf8
from trio_openai.types._fields import is_wire
from trio_openai.types._plain import current
from trio_openai.types._raw import Raw

ToolOutput: TypeAlias = str | list[dict[str, Any]]
"""The text or the content parts that are sent to the model."""

_MEMBERS = {
    "text": ("text",),
    "input_text": ("text",),
    "image_url": ("image_url",),
    "input_image": ("image_url", "file_id"),
    "file": ("file",),
    "input_file": ("file_id", "file_data", "file_url"),
}
"""The types of content parts. A part has at least one of these members, which JSON of another kind lacks."""

_TEXTS = ("text", "input_text")


def text_of(result: object) -> str:
    """Return a function's result as the text for the model: a string unchanged, anything else as JSON.

    Characters of a string that UTF-8 cannot encode (such as in a file name) are replaced.

    Raises:
        TypeError: The result cannot be expressed as JSON.
    """
    return printable(result) if isinstance(result, str) else result_text(_converter().unstructure(result))


def output_of(result: object) -> ToolOutput:
    """Return a function's result for the model: content parts as a list, and anything else as text.

    Raises:
        TypeError: The result cannot be expressed as JSON.
    """
    if isinstance(result, str):
        return printable(result)
    plain: object = _converter().unstructure(result)
    text = result_text(plain)
    found: list[object] = [plain] if isinstance(plain, Mapping) else _listed(plain)
    if not found or not all(map(_is_part, found)):
        return text
    parts = decode_json(utf8(text))  # with plain types only, and with printable text
    return cast("list[Raw]", parts if isinstance(parts, list) else [parts])


def _listed(plain: object) -> list[object]:
    return list(cast("list[object]", plain)) if isinstance(plain, list | tuple) else []


def _is_part(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    part = cast("Mapping[str, Any]", value)
    kind = part.get("type")
    return isinstance(kind, str) and any(part.get(name) is not None for name in _MEMBERS.get(kind, ()))


def chat_parts(output: ToolOutput) -> ToolOutput:
    """Return an output as the content of a message of Chat Completions.

    Raises:
        TypeError: The output has a part that is not text.
    """
    if isinstance(output, str):
        return output
    for part in output:
        if part["type"] not in _TEXTS:
            raise TypeError(
                f"Chat Completions takes only text from a tool, not a part of type {part['type']!r}: "
                "use client.responses.run_tools, or return text"
            )
    return [{**part, "type": "text"} for part in output]


def joined_text(output: ToolOutput) -> str:
    """Return the text of an output for Chat Completions as one string, as the legacy `function_call` needs it."""
    return output if isinstance(output, str) else "".join(part["text"] for part in output)


def response_parts(output: ToolOutput) -> ToolOutput:
    """Return an output as the `output` of an item of Responses."""
    return output if isinstance(output, str) else list(map(_response_part, output))


def _response_part(part: Raw) -> Raw:
    if part["type"] == "text":
        return {**part, "type": "input_text"}
    if part["type"] == "image_url":
        image = part["image_url"]
        named: Raw = {"image_url": image.get("url"), "detail": image.get("detail", "auto")} if is_object(image) else {}
        return {**part, **named, "type": "input_image"}
    if part["type"] == "file" and is_object(part["file"]):
        return {"type": "input_file", **part["file"]}
    return part


@functools.cache
def _converter() -> Any:
    from cattrs.preconf.json import make_converter

    converter = make_converter()
    converter.register_unstructure_hook_func(is_wire, current)
    converter.register_unstructure_hook_func(_is_pydantic, lambda model: model.model_dump(mode="json"))
    converter.register_unstructure_hook(bytes, _refuse_bytes)  # cattrs would encode them in base 85
    return converter


def _is_pydantic(cls: object) -> bool:
    return hasattr(cls, "model_json_schema") and hasattr(cls, "model_dump")


def _refuse_bytes(_: bytes) -> str:
    raise TypeError("a tool cannot return bytes, which JSON cannot express: decode them to a str first")
