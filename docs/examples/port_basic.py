import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
        ) as stream:
            async for chunk in stream:
                print(
                    chunk.choices[0].delta.content or "", end="", flush=True
                )
        print()


trio.run(main)
