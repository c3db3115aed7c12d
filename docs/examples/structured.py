"""Get the answer as an object of your own class, and a partial object while the model is writing."""

from __future__ import annotations

from typing import Literal

import attrs
import trio

from trio_openai import TrioOpenAI, Unparsed


@attrs.define
class Ingredient:
    name: str
    grams: int | None = attrs.field(
        default=None,
        metadata={"description": "null if it is counted, not weighed"},
    )


@attrs.define
class Recipe:
    """A recipe for two."""

    title: str
    kind: Literal["starter", "main", "dessert"]
    ingredients: list[Ingredient]


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[
                {"role": "user", "content": "What shall we cook tonight?"}
            ],
            response_format=Recipe,
        ) as stream:
            seen = 0
            async for _ in stream:
                ingredients = stream.parsed_partial.get("ingredients", [])
                if len(ingredients) > seen:
                    seen = len(ingredients)
                    print(f"{seen} so far")
        match stream.parsed:
            case Recipe(title, kind, ingredients):
                print(
                    f"{title} ({kind}): {', '.join(one.name for one in ingredients)}"
                )
            case Unparsed() as why:
                print(why)


trio.run(main)
