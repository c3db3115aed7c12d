"""Count which model wins the races, and what became of the others."""

from collections import Counter

import trio

from trio_openai import Observer, RaceEnded, TrioOpenAI

MODELS = ("gpt-4o", "gpt-4o-mini")


class Races(Observer):
    """Counts the races that each model has won, lost and failed in."""

    def __init__(self) -> None:
        self.won: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def race(self, record: RaceEnded, /) -> None:
        self.won[record.winner] += 1
        self.lost.update(record.losers)
        self.failed.update(record.errors.keys())


async def main() -> None:
    races = Races()
    async with TrioOpenAI(observer=races) as client:
        for color in ("blue", "red", "black"):
            question = f"Why is the sky {color}?"
            calls = [
                client.chat.completions.call(
                    key=model,
                    model=model,
                    messages=[{"role": "user", "content": question}],
                )
                for model in MODELS
            ]
            async with client.race(calls) as stream:
                await stream.until_done()
    for model in MODELS:
        won, lost = races.won[model], races.lost[model]
        print(
            f"{model}: won {won}, lost {lost}, failed {races.failed[model]}"
        )


trio.run(main)
