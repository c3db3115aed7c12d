"""Run each tool while the model is still writing the call of the next."""

import json

import trio

from trio_openai import TrioOpenAI
from trio_openai.types import ChatCompletionFunctionToolParam, ToolCallDone

WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
results: dict[str | None, str] = {}


async def get_weather(call: ToolCallDone) -> None:
    city = json.loads(call.arguments)["city"]
    results[call.id] = f"rain in {city}"


async def main() -> None:
    question = "What is the weather in Oslo and in Rome?"
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": question}],
            tools=[WEATHER],
        ) as stream:
            async with trio.open_nursery() as nursery:
                async for call in stream.tool_calls:
                    nursery.start_soon(get_weather, call)
    print(sorted(results.items()))


trio.run(main)
