import trio
from openai import AsyncOpenAI


async def main() -> None:
    client = AsyncOpenAI()
    messages = [{"role": "user", "content": "Count to three."}]
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=messages,
        stream=True,
        stream_options={"include_usage": True},
    )
    async for chunk in stream:
        if chunk.usage is not None:
            print(f"{chunk.usage.total_tokens} tokens")
        for choice in chunk.choices:
            delta = choice.delta
            print(
                f"{chunk.model} {choice.index} {delta.role} {delta.content!r} {choice.finish_reason}"
            )


trio.run(main)
