import trio
from openai import AsyncOpenAI

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


async def main() -> None:
    async with AsyncOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "How warm is Oslo?"}],
            tools=[WEATHER],
        ) as stream:
            async for event in stream:
                if event.type == "content.delta":
                    print(event.delta, end="", flush=True)
                elif event.type == "content.done":
                    print(f"\n{len(event.content)} characters")
                elif event.type == "tool_calls.function.arguments.done":
                    print(event.name, event.arguments)


trio.run(main)
