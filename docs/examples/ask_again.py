"""Ask again after a truncated answer. The library never does so by itself, since the second answer would differ."""

import trio

from trio_openai import Deadlines, StreamTruncatedError, TrioOpenAI


async def main() -> None:
    messages = [
        {"role": "user", "content": "How do I make a good cup of tea?"}
    ]
    async with TrioOpenAI(timeout=Deadlines(headers=30, idle=20)) as client:
        with trio.move_on_after(60):  # all attempts together
            for _ in range(3):
                try:
                    async with client.chat.completions.stream(
                        model="gpt-4o-mini", messages=messages
                    ) as stream:
                        completion = await stream.get_final_completion()
                except StreamTruncatedError as error:
                    text = (
                        error.partial.choices[0].message.content
                        if error.partial
                        else ""
                    )
                    print(f"cut after {text!r}")
                else:
                    print(completion.choices[0].message.content)
                    break


trio.run(main)
