"""Print each event as the server sent it, and then the whole answer."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    prompt = "Say hello in three words."
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
            usage=True,
        ) as stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    print(repr(choice.delta.content), choice.finish_reason)
            completion = await stream.get_final_completion()
    print(repr(completion.text))
    if completion.usage:
        print(completion.usage.completion_tokens, "tokens")


trio.run(main)
