"""Keep just below a limit that the server does not announce."""

import trio

from trio_openai import AdaptiveLimiter, TrioOpenAI

NUMBERS = range(1, 61)


async def main() -> None:
    limiter = AdaptiveLimiter()
    async with TrioOpenAI(limiter=limiter, max_retries=20) as client:
        calls = [
            client.chat.completions.call(
                key=number,
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": f"Spell {number}."}],
            )
            for number in NUMBERS
        ]
        async with client.run_many(calls) as results:
            answers = {r.key: r.text async for r in results if not r.error}
    print(f"{len(answers)} answers")
    print(f"some refused at first: {limiter.statistics().throttled > 0}")


trio.run(main)
