import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
            stream_options={"include_usage": True},
        ) as stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    text = choice.delta.content
                    print(repr(text), choice.finish_reason)
                if chunk.usage is not None:
                    print(f"{chunk.usage.total_tokens} tokens")


trio.run(main)
