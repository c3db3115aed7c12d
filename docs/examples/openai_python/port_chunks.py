import trio
from openai import AsyncOpenAI


async def main() -> None:
    client = AsyncOpenAI()
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Count to three."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        for choice in chunk.choices:
            text = choice.delta.content
            print(repr(text), choice.finish_reason)
        if chunk.usage is not None:
            print(f"{chunk.usage.total_tokens} tokens")


trio.run(main)
