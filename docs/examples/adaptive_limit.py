"""Send many prompts to a server with a concurrency limit that it does not announce."""

import sys

import trio

from trio_openai import AdaptiveLimiter, TrioOpenAI

NUMBERS = range(1, 61)


async def show(limiter: AdaptiveLimiter) -> None:
    while sys.stdout.isatty():
        now = limiter.statistics()
        print(
            f"{now.in_flight} of {now.limit:.0f} in flight, {now.waiting} waiting, {now.throttled} refused",
            end="\x1b[K\r",
            flush=True,
        )
        await trio.sleep(0.1)


async def main() -> None:
    limiter = AdaptiveLimiter()
    async with TrioOpenAI(limiter=limiter, max_retries=20) as client:
        calls = (
            client.chat.completions.call(
                key=number,
                model="gpt-4o-mini",
                messages=[
                    {"role": "user", "content": f"Write {number} in words."}
                ],
            )
            for number in NUMBERS
        )
        async with (
            client.run_many(calls, max_concurrent=30) as results,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(show, limiter)
            errors = [
                result.error
                async for result in results
                if result.error is not None
            ]
            nursery.cancel_scope.cancel()
    print(f"{len(NUMBERS) - len(errors)} answers, {len(errors)} errors")
    print(
        "at first it asked for more than the server takes:",
        limiter.statistics().throttled > 0,
    )


trio.run(main)
