"""Show a model's reasoning before its answer, whatever the server calls the field."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [{"role": "user", "content": "Is 91 a prime number?"}]
        extra = {"top_k": 20}  # a parameter that OpenAI does not have
        async with client.chat.completions.stream(
            model="local", messages=messages, extra_body=extra
        ) as stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    thought = (
                        choice.delta.reasoning_content
                        or choice.delta.reasoning
                    )
                    if thought:
                        print(f"  ({thought.strip()})")
                    elif choice.delta.content:
                        print(choice.delta.content, end="", flush=True)
        print(f"\n[{stream.verdict}]")


trio.run(main)
