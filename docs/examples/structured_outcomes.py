"""Handle every outcome: an object, or the reason why there is none."""

from dataclasses import dataclass

import trio

from trio_openai import TrioOpenAI, Unparsed


@dataclass
class City:
    name: str
    people: int


async def main() -> None:
    async with TrioOpenAI() as client:
        calls = [
            client.responses.call(
                key=name,
                model="gpt-4o-mini",
                input=f"Tell me of {name}.",
                text_format=City,
            )
            for name in ("Oslo", "Atlantis", "Rome", "Kyoto")
        ]
        async with client.run_many(calls, ordered=True) as results:
            async for result in results:
                city = result.unwrap().parsed
                if isinstance(city, Unparsed):
                    why = city.refusal or city.text
                    print(f"{result.key}: {city.reason}: {why}")
                else:
                    print(f"{city.name}: {city.people}")


trio.run(main)
