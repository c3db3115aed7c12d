import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
        ) as stream:
            await stream.until_done()
    message = stream.snapshot.choices[0].message
    print(f"{message.role}: {message.content}")


trio.run(main)
