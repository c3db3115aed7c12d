"""Show the progress of many calls in one line on the terminal."""

import sys

import trio

from trio_openai import Items, Result, TrioOpenAI
from trio_openai.types import ChatCompletion

NUMBERS = range(1, 41)


async def show(results: Items[Result[ChatCompletion]]) -> None:
    while sys.stdout.isatty():  # print no progress into a file
        now = results.statistics()
        line = f"{now.fraction:.0%}, {now.running} running"
        print(line, end=" \r", flush=True)
        await trio.sleep(0.1)


async def main() -> None:
    async with TrioOpenAI() as client:
        calls = [
            client.chat.completions.call(
                key=number,
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": f"Spell {number}."}],
                usage=True,
            )
            for number in NUMBERS
        ]
        async with (
            client.run_many(calls, max_concurrent=8) as results,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(show, results)
            answers = {r.key: r.text async for r in results if not r.error}
            nursery.cancel_scope.cancel()
    end = results.statistics()
    print(f"{end.done} answers, {end.usage.total_tokens} tokens")
    print(answers[1], answers[2], answers[3])


trio.run(main)
