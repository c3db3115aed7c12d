import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [{"role": "user", "content": "Count to three."}]
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=messages,
            stream_options={"include_usage": True},
        ) as stream:
            async for chunk in stream:
                if chunk.usage is not None:
                    print(f"{chunk.usage.total_tokens} tokens")
                for choice in chunk.choices:
                    delta = choice.delta
                    print(
                        f"{chunk.model} {choice.index} {delta.role} {delta.content!r} {choice.finish_reason}"
                    )


trio.run(main)
