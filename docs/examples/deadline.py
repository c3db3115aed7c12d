"""Take as much of a long answer as arrives within one second."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    prompt = "Tell me a very long story."
    async with TrioOpenAI() as client:
        manager = client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
        )
        with trio.move_on_after(1) as scope:
            async with manager as stream:
                await stream.until_done()
    if scope.cancelled_caught:
        print("The time is up. This much arrived:")
    print(manager.text)
    print(f"[{manager.verdict}]")


trio.run(main)
