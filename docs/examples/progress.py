"""Show the progress of many calls as a bar on the terminal."""

import trio

import trio_openai
from trio_openai import TrioOpenAI

NUMBERS = range(1, 41)


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
            trio_openai.progress(results, transient=True),
        ):
            answers = {r.key: r.text async for r in results if not r.error}
    end = results.statistics()
    print(f"{end.done} answers, {end.usage.total_tokens} tokens")
    print(answers[1], answers[2], answers[3])


trio.run(main)
