import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI(max_retries=0) as client:
        patient = client.with_options(max_retries=5)
        async with patient.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
        ) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
    print()


trio.run(main)
