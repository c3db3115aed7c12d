"""The types of parameters, for mypy and pyright: the functions are checked, and never called.

`test_typing.py` runs both type checkers. A line that must fail has a comment that ignores the error, and a comment
without an error is an error in strict mode.
"""

from __future__ import annotations

from typing import Any, assert_type

from trio_openai import Tool, TrioOpenAI
from trio_openai.sync import SyncOpenAI
from trio_openai.types import (
    ChatCompletion,
    ChatCompletionMessageParam,
    ChatCompletionToolParam,
    FunctionCallOutput,
    FunctionToolParam,
    Response,
    ResponseFormatJSONSchema,
    ResponseFunctionToolCall,
    ResponseInputParam,
    ResponseTextConfigParam,
)


def weather(city: str) -> str:
    """Return the weather."""
    return city


async def messages_that_pass(client: TrioOpenAI, earlier: ChatCompletion) -> None:
    create = client.chat.completions.create
    message = earlier.choices[0].message
    await create(model="m", messages=[{"role": "user", "content": "Hi"}])
    await create(model="m", messages=({"role": "user", "content": text} for text in ("Hi", "Ho")))
    parts: list[ChatCompletionMessageParam] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file_1"}},
            ],
        },
        {"role": "assistant", "content": message.content, "tool_calls": message.tool_calls},
        {"role": "function", "name": "f", "content": None},
    ]
    parts.append(message)
    parts.append(message.to_dict())
    for call in message.tool_calls or []:
        parts.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    await create(model="m", messages=parts)
    await create(model="m", messages=[*parts, message, message.to_dict(), {"role": "user", "content": "And?"}])
    raw: dict[str, Any] = message.to_dict()
    assert_type(raw["role"], Any)


async def messages_that_fail(client: TrioOpenAI) -> None:
    stream = client.chat.completions.stream
    stream(model="m", messages=[{"rol": "user"}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
    stream(model="m", messages=[{"role": "user", "contents": "Hi"}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
    stream(model="m", messages=[{"role": "usr", "content": "Hi"}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
    stream(model="m", messages=[{"content": "Hi"}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def input_that_passes(client: TrioOpenAI, earlier: Response) -> None:
    create = client.responses.create
    await create(model="m", input=[{"role": "user", "content": "Hi"}])
    items: ResponseInputParam = [
        {"role": "user", "content": [{"type": "input_text", "text": "What is this?"}]},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_image", "image_url": "https://a", "detail": "auto"}],
        },
        {"type": "item_reference", "id": "msg_1"},
    ]
    items += earlier.output
    items.extend(item.to_dict() for item in earlier.output)
    for item in earlier.output:
        if isinstance(item, ResponseFunctionToolCall):
            output: FunctionCallOutput = {"type": "function_call_output", "call_id": item.call_id, "output": "sunny"}
            items.append(output)
            items.append({"type": "function_call_output", "call_id": item.call_id, "output": "sunny"})
    await create(model="m", input=items)
    await create(model="m", input=[*items, *earlier.output])


async def input_that_fails(client: TrioOpenAI) -> None:
    stream = client.responses.stream
    stream(model="m", input=[{"rol": "user"}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
    stream(model="m", input=[{"role": "user", "text": "Hi"}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def tools_and_formats(client: TrioOpenAI, sync: SyncOpenAI) -> None:
    chat_tool: ChatCompletionToolParam = {"type": "function", "function": {"name": "f", "parameters": {}}}
    tool: FunctionToolParam = {"type": "function", "name": "f", "parameters": {}}
    wanted: ResponseFormatJSONSchema = {"type": "json_schema", "json_schema": {"name": "A", "schema": {}}}
    text: ResponseTextConfigParam = {"format": {"type": "json_schema", "name": "A", "schema": {}}}
    made = Tool.of(weather)
    await client.chat.completions.create(
        model="m", messages=[], tools=[chat_tool, weather, made, made.for_chat()], response_format=wanted
    )
    sync.responses.create(
        model="m", tools=[tool, weather, made.for_responses(), {"type": "web_search"}], text=text, tool_choice="auto"
    )
    sync.responses.create(
        model="m", reasoning={"effort": "low"}, tool_choice={"type": "function", "name": "f"}, text={"verbosity": "low"}
    )
    chat = client.chat.completions.stream
    chat(model="m", messages=[], tools=[{"type": "function", "func": {}}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
    chat(model="m", messages=[], response_format={"type": "jsn"})  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    client.responses.stream(model="m", tools=[{"typ": "web_search"}])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType, reportCallIssue]
    client.responses.stream(model="m", text={"form": {}})  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
