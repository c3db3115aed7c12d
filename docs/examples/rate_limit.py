"""Send at most 600 requests and 60,000 tokens per minute."""

import trio

from trio_openai import RateLimiter, TrioOpenAI

CITIES = ["Oslo", "Rome", "Lima", "Kyoto"]


async def main() -> None:
    limiter = RateLimiter(requests_per_minute=600, tokens_per_minute=60_000)
    async with TrioOpenAI(limiter=limiter) as client:
        calls = [
            client.chat.completions.call(
                key=city,
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": f"Where is {city}?"}],
                max_tokens=20,
                usage=True,
            )
            for city in CITIES
        ]
        async with client.run_many(calls, ordered=True) as results:
            async for result in results:
                print(f"{result.key}: {result.text}")


trio.run(main)
