"""Read the deltas of both APIs with the same code."""

from collections.abc import AsyncIterator

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
                print(f"call {delta.name} with {delta.arguments}")


async def main() -> None:
    async with TrioOpenAI() as client:
        print("Chat Completions:")
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": QUESTION}],
            tools=[
                {
                    "type": "function",
                    "function": {"name": "get_weather", "parameters": CITY},
                }
            ],
        ) as chat:
            await show(chat.deltas)
        print("Responses:")
        async with client.responses.stream(
            model="gpt-4o-mini",
            input=QUESTION,
            tools=[
                {
                    "type": "function",
                    "name": "get_weather",
                    "parameters": CITY,
                }
            ],
        ) as response:
            await show(response.deltas)


trio.run(main)
