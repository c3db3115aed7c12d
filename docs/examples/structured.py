"""Get the answer as an object of your own class."""

from dataclasses import dataclass

import trio

from trio_openai import TrioOpenAI


@dataclass
class City:
    name: str
    country: str
    people: int


async def main() -> None:
    async with TrioOpenAI() as client:
        completion = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Tell me of Oslo."}],
            response_format=City,
        )
    print(completion.parsed)


trio.run(main)
