import trio

from trio_openai import TrioOpenAI

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
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "How warm is Oslo?"}],
            tools=[WEATHER],
        ) as stream:
            async for event in stream.deltas:
                if event.type == "content.delta":
                    print(event.delta, end="", flush=True)
                elif event.type == "content.done":
                    print(f"\n{len(event.text)} characters")
                elif event.type == "tool_call.done":
                    print(event.name, event.arguments)


trio.run(main)
