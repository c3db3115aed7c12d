import trio
from openai import AsyncOpenAI

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"name": "get_weather", "parameters": PARAMETERS}


async def main() -> None:
    client = AsyncOpenAI()
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Oslo or Rome?"}],
        tools=[{"type": "function", "function": FUNCTION}],
        stream=True,
    )
    calls = {}
    async for chunk in stream:
        for piece in chunk.choices[0].delta.tool_calls or ():
            call = calls.setdefault(piece.index, piece)
            if call is not piece:
                call.function.arguments += piece.function.arguments
    for call in calls.values():
        print(call.id, call.function.name, call.function.arguments)


trio.run(main)
