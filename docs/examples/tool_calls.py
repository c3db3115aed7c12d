"""Run each tool while the model is still writing the call of the next."""

import json

import trio

from trio_openai import TrioOpenAI
from trio_openai.types import ToolCallDone

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


async def run(call: ToolCallDone, results: dict[str | None, str]) -> None:
    city = json.loads(call.arguments)["city"]
    results[call.id] = f"rain in {city}"


async def main() -> None:
    results: dict[str | None, str] = {}
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[
                {
                    "role": "user",
                    "content": "What is the weather in Oslo and in Rome?",
                }
            ],
            tools=[WEATHER],
        ) as stream:
            async with trio.open_nursery() as tools:
                async for call in stream.tool_calls:
                    tools.start_soon(run, call, results)
    print(sorted(results.items()))


trio.run(main)
