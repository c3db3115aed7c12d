import trio

from trio_openai import TrioOpenAI

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"name": "get_weather", "parameters": PARAMETERS}


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Oslo or Rome?"}],
            tools=[{"type": "function", "function": FUNCTION}],
        ) as stream:
            completion = await stream.get_final_completion()
    for call in completion.choices[0].message.tool_calls or ():
        print(call.id, call.function.name, call.function.arguments)


trio.run(main)
