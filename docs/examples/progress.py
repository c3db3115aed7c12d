"""Show the progress of many prompts in one line on the terminal."""

import sys

import trio

from trio_openai import Items, Result, TrioOpenAI
from trio_openai.types import ChatCompletion

NUMBERS = range(1, 41)


async def show(results: Items[Result[ChatCompletion]]) -> None:
    while sys.stdout.isatty():
        now = results.statistics()
        print(
            f"{now.fraction:.0%}, {now.running} running, {now.waiting} waiting, {now.events_per_second:.0f} events/s",
            end="\x1b[K\r",
            flush=True,
        )
        await trio.sleep(0.1)


async def main() -> None:
    async with TrioOpenAI() as client:
        calls = (
            client.chat.completions.call(
                key=number,
                model="gpt-4o-mini",
                messages=[
                    {"role": "user", "content": f"Write {number} in words."}
                ],
                usage=True,
            )
            for number in NUMBERS
        )
        async with (
            client.run_many(
                calls, max_concurrent=8, total=len(NUMBERS)
            ) as results,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(show, results)
            answers = {
                result.key: result.value
                async for result in results
                if result.error is None
            }
            nursery.cancel_scope.cancel()
    total = results.statistics()
    print(
        f"{total.done} done, {total.failed} failed, {total.usage.total_tokens} tokens"
    )
    for number, completion in sorted(answers.items())[:3]:
        print(number, completion.choices[0].message.content)


trio.run(main)
