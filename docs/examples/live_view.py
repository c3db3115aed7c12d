"""Ask two models the same questions at the same time, with a bar for each."""

import trio

import trio_openai
from trio_openai import TrioOpenAI

CITIES = ("Oslo", "Rome", "Lima", "Kyoto")


async def ask(client: TrioOpenAI, model: str) -> None:
    calls = [
        client.chat.completions.call(
            key=city,
            model=model,
            messages=[{"role": "user", "content": f"Where is {city}?"}],
        )
        for city in CITIES
    ]
    async with (
        client.run_many(calls, ordered=True) as results,
        trio_openai.progress(results, title=model, transient=True),
    ):
        answers = [result.text async for result in results]
    print(*answers)


async def main() -> None:
    async with TrioOpenAI() as client, trio.open_nursery() as nursery:
        for model in ("gpt-4o", "gpt-4o-mini"):
            nursery.start_soon(ask, client, model)


trio.run(main)
