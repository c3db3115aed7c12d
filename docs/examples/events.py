"""Look at every event as the server sent it, and at the snapshot that they add up to."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [{"role": "user", "content": "Say hello in three words."}]
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=messages,
            stream_options={"include_usage": True},
        ) as stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    print(repr(choice.delta.content), choice.finish_reason)
            completion = await stream.get_final_completion()
        print(repr(completion.choices[0].message.content))
        if completion.usage is not None:
            print(completion.usage.completion_tokens, "tokens")


trio.run(main)
