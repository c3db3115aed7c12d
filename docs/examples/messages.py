"""The messages of a stream as the server sent them, with their names and ids."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [{"role": "user", "content": "Say hello."}]
        async with client.chat.completions.stream(
            model="gpt-4o-mini", messages=messages
        ) as stream:
            async for message in stream.messages:
                print(f"{message.id} {message.event}: {message.text[:54]}")
        print(stream.snapshot.choices[0].message.content)
        print(f"[{stream.verdict}]")


trio.run(main)
