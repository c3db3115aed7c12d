import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
        ) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
            completion = await stream.get_final_completion()
    print(f"\n{completion.choices[0].finish_reason}")


trio.run(main)
