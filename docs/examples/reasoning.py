"""Show a model's reasoning before its answer."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="local",
            messages=[{"role": "user", "content": "Is 91 a prime number?"}],
            extra_body={"top_k": 20},  # OpenAI has no such parameter
        ) as stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    delta = choice.delta
                    thought = delta.reasoning_content or delta.reasoning
                    if thought:
                        print(f"  ({thought.strip()})")
                    if delta.content:
                        print(delta.content, end="", flush=True)
        print()


trio.run(main)
