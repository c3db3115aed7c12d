"""Run many prompts, a few at a time. A failure is a result like the others."""

import trio

from trio_openai import TrioOpenAI

CITIES = ["Oslo", "Rome", "Nowhere", "Lima", "Kyoto"]


async def main() -> None:
    async with TrioOpenAI() as client:
        calls = (
            client.chat.completions.call(
                key=city,
                model="gpt-4o-mini",
                messages=[
                    {
                        "role": "user",
                        "content": f"Which country is {city} in? One word.",
                    }
                ],
            )
            for city in CITIES
        )
        async with client.run_many(
            calls, max_concurrent=3, ordered=True
        ) as results:
            async for result in results:
                if result.error is None:
                    print(
                        result.key,
                        "-",
                        result.value.choices[0].message.content,
                    )
                else:
                    print(result.key, "-", result.error)


trio.run(main)
