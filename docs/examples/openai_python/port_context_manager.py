import trio
from openai import AsyncOpenAI


async def main() -> None:
    async with AsyncOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
        ) as stream:
            async for event in stream:
                if event.type == "content.delta":
                    print(event.delta, end="", flush=True)
            completion = await stream.get_final_completion()
    print(f"\n{completion.choices[0].finish_reason}")


trio.run(main)
