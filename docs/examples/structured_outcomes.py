"""Handle every outcome as a value: an object of the class, or the reason why there is none."""

import attrs
import trio

from trio_openai import TrioOpenAI


@attrs.define
class City:
    name: str
    people: int = attrs.field(metadata={"description": "in thousands"})


async def main() -> None:
    async with TrioOpenAI() as client:
        calls = (
            client.responses.call(
                key=name,
                model="gpt-4o-mini",
                input=f"Tell me of {name}.",
                text_format=City,
            )
            for name in ("Oslo", "Atlantis", "Rome", "Kyoto")
        )
        async with client.run_many(
            calls, max_concurrent=2, ordered=True
        ) as results:
            async for result in results:
                city = result.value.parsed
                if city:
                    print(f"{city.name}: {city.people} thousand")
                else:
                    print(
                        f"{result.key}: {city.reason}: {city.text or city.refusal}"
                    )


trio.run(main)
