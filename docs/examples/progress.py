"""Show the progress of many prompts in one line on the terminal."""

import sys

import trio

from trio_openai import Items, TrioOpenAI

NUMBERS = range(1, 41)


async def show(results: Items) -> None:
    while sys.stdout.isatty():
        now = results.statistics()
        print(
            f"{now.done + now.failed} of {len(NUMBERS)}, {now.running} running, {now.events_per_second:.0f} events/s",
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
                messages=[{"role": "user", "content": f"Write {number} in words."}],
                stream_options={"include_usage": True},
            )
            for number in NUMBERS
        )
        async with client.run_many(calls, max_concurrent=8) as results, trio.open_nursery() as nursery:
            nursery.start_soon(show, results)
            answers = {result.key: result.value async for result in results if result.error is None}
            nursery.cancel_scope.cancel()
    total = results.statistics()
    print(f"{total.done} done, {total.failed} failed, {total.tokens} tokens")
    for number, completion in sorted(answers.items())[:3]:
        print(number, completion.choices[0].message.content)


trio.run(main)
