"""Take as much of a long answer as arrives within one second."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [{"role": "user", "content": "Tell a very long story about a lighthouse keeper."}]
        async with client.chat.completions.stream(model="gpt-4o-mini", messages=messages) as stream:
            with trio.move_on_after(1) as scope:
                await stream.until_done()
        if scope.cancelled_caught:
            print("time is up; this much was there:")
        for choice in stream.snapshot.choices:
            print(choice.message.content)
        print(f"[{stream.verdict}]")


trio.run(main)
