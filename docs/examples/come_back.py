"""Read with a short deadline, do something else, and come back."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    prompt = "Why is the sky blue?"
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
        ) as stream:
            with trio.move_on_after(0.5):
                await stream.until_done()
            print("so far:", stream.text)
            await stream.until_done()
            print("in the end:", stream.text)


trio.run(main)
