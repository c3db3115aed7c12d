"""Show an answer that is being written, long before it is complete."""

from dataclasses import dataclass
from typing import Literal

import trio

from trio_openai import TrioOpenAI


@dataclass
class Ingredient:
    name: str
    grams: int | None


@dataclass
class Recipe:
    """A recipe for two."""

    title: str
    kind: Literal["starter", "main", "dessert"]
    ingredients: list[Ingredient]


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "What shall we cook?"}],
            response_format=Recipe,
        ) as stream:
            seen = 0
            async for _ in stream:
                ingredients = stream.parsed_partial.get("ingredients", [])
                if len(ingredients) > seen:
                    seen = len(ingredients)
                    print(f"{seen} so far")
        if recipe := stream.parsed:
            names = [ingredient.name for ingredient in recipe.ingredients]
            print(f"{recipe.title} ({recipe.kind}): {', '.join(names)}")


trio.run(main)
