"""Ask again for an answer that does not fit the class, here a pydantic model that checks more than a schema can."""

import trio
from pydantic import BaseModel, Field, field_validator

from trio_openai import TrioOpenAI


class City(BaseModel):
    name: str
    people: int = Field(description="as a plain number")

    @field_validator("people")
    @classmethod
    def check_people(cls, people: int) -> int:
        if people < 1000:
            raise ValueError("count all people, not thousands of them")
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
            print(attempt.answer.text, "-", attempt.error or "fits")
        if city := completion.choices[0].message.parsed:
            print(f"{city.name}: {city.people:,}")


trio.run(main)
