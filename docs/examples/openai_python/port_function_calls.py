import json

import trio
from openai import AsyncOpenAI

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


async def main() -> None:
    client = AsyncOpenAI()
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[
            {
                "role": "user",
                "content": "What is the weather in Oslo and in Rome?",
            }
        ],
        tools=[WEATHER],
        stream=True,
    )
    calls = {}
    async for chunk in stream:
        for piece in chunk.choices[0].delta.tool_calls or ():
            if piece.index not in calls:
                calls[piece.index] = piece
            else:
                calls[
                    piece.index
                ].function.arguments += piece.function.arguments
    for call in calls.values():
        print(
            call.id, call.function.name, json.loads(call.function.arguments)
        )


trio.run(main)
