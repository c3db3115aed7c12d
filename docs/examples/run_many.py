"""Ask several questions at the same time."""

import trio

from trio_openai import TrioOpenAI

CITIES = ["Oslo", "Rome", "Nowhere", "Lima", "Kyoto"]


async def main() -> None:
    async with TrioOpenAI() as client:
        calls = [
            client.chat.completions.call(
                key=city,
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": f"Where is {city}?"}],
            )
            for city in CITIES
        ]
        async with client.run_many(calls, ordered=True) as results:
            async for result in results:
                print(f"{result.key}: {result.error or result.text}")


trio.run(main)
