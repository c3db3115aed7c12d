"""Write your own limiter: it permits every attempt until a budget is spent."""

import trio

from trio_openai import Attempt, Outcome, TrioOpenAI

QUESTIONS = [
    "Which country is Oslo in?",
    "Which country is Rome in?",
    "Which country is Lima in?",
]


class BudgetSpentError(Exception):
    pass


class Budget:
    """A budget of tokens. It is also its own permit, since it remembers nothing about a single attempt."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens

    async def acquire(self, attempt: Attempt) -> "Budget":
        await trio.lowlevel.checkpoint()
        if self.left <= 0:
            raise BudgetSpentError(
                f"{attempt.model} would have to be paid for"
            )
        return self

    def settle(self, outcome: Outcome) -> None:
        self.left -= outcome.tokens or 0


async def main() -> None:
    budget = Budget(15)
    async with TrioOpenAI(limiter=budget) as client:
        try:
            for question in QUESTIONS:
                completion = await client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": question}],
                )
                print(
                    completion.choices[0].message.content,
                    f"({budget.left} tokens left)",
                )
        except BudgetSpentError as error:
            print("stopped:", error)


trio.run(main)
