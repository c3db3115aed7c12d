"""Print a stream's messages with the names and ids that they carry."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Say hello."}],
        ) as stream:
            async for message in stream.messages:
                print(f"{message.id} {message.event}: {message.text[:54]}")
        print(stream.snapshot.choices[0].message.content)


trio.run(main)
