"""Stop when a budget of tokens is spent."""

import trio

from trio_openai import Attempt, Outcome, TrioOpenAI


class BudgetSpentError(Exception):
    pass


class Budget:
    """A limiter that is its own permit: it keeps nothing per attempt."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens

    async def acquire(self, attempt: Attempt) -> "Budget":
        await trio.lowlevel.checkpoint()
        if self.left <= 0:
            raise BudgetSpentError(f"no tokens left for {attempt.model}")
        return self

    def settle(self, outcome: Outcome) -> None:
        self.left -= outcome.tokens or 0


async def main() -> None:
    budget = Budget(15)
    async with TrioOpenAI(limiter=budget) as client:
        try:
            for city in ("Oslo", "Rome", "Lima"):
                completion = await client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[
                        {"role": "user", "content": f"Where is {city}?"}
                    ],
                )
                print(f"{completion.text} ({budget.left} tokens left)")
        except BudgetSpentError as error:
            print(f"Stopped: {error}")


trio.run(main)
