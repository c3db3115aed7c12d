"""Take as much of a long answer as arrives within one second."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [
            {
                "role": "user",
                "content": "Tell a very long story about a lighthouse keeper.",
            }
        ]
        manager = client.chat.completions.stream(
            model="gpt-4o-mini", messages=messages
        )
        with trio.move_on_after(1) as scope:
            async with manager as stream:
                await stream.until_done()
        if scope.cancelled_caught:
            print("the time is up; this much arrived:")
        print(manager.text)
        print(f"[{manager.verdict}]")


trio.run(main)
