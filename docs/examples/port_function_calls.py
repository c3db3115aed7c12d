import json

import trio

from trio_openai import TrioOpenAI

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
            completion = await stream.get_final_completion()
        for call in completion.choices[0].message.tool_calls or ():
            print(
                call.id,
                call.function.name,
                json.loads(call.function.arguments or "{}"),
            )


trio.run(main)
