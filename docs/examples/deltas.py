"""Read the deltas of both APIs with the same code."""

from collections.abc import AsyncIterator
from typing import Any

import trio

from trio_openai import TrioOpenAI
from trio_openai.types import (
    ContentDelta,
    ContentDone,
    Delta,
    ReasoningDone,
    ToolCallArgumentsDelta,
    ToolCallDone,
)

QUESTION = "What is the weather in Oslo?"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": CITY,
}


async def show(deltas: AsyncIterator[Delta]) -> None:
    async for delta in deltas:
        match delta:
            case ReasoningDone(text):
                print(f"(thought: {text})")
            case ContentDelta(text):
                print(text, end="|")
            case ContentDone():
                print()
            case ToolCallArgumentsDelta():
                print(f"{delta.name} {delta.snapshot} ...")
            case ToolCallDone():
                print(
                    f"call {delta.name} with {delta.arguments} for {delta.id}"
                )


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": QUESTION}],
            tools=[{"type": "function", "function": WEATHER}],
        ) as chat:
            await show(chat.deltas)
        print("---")
        async with client.responses.stream(
            model="gpt-4o-mini",
            input=QUESTION,
            tools=[{"type": "function", **WEATHER}],
        ) as response:
            await show(response.deltas)


trio.run(main)
