"""Ask again for an answer that does not fit the class."""

import trio
from pydantic import BaseModel, field_validator

from trio_openai import TrioOpenAI


class City(BaseModel):
    name: str
    people: int

    @field_validator("people")
    @classmethod
    def check_people(cls, people: int) -> int:
        if people < 1000:
            raise ValueError("count all people")
        return people


async def main() -> None:
    async with TrioOpenAI() as client:
        completion = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Tell me of Oslo."}],
            response_format=City,
            ask_again=2,
        )
    for attempt in completion.attempts:
        print(attempt.answer.text)
        print(attempt.error or "it fits")
    print(completion.parsed)


trio.run(main)
