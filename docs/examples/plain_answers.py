"""List models, embed two texts, and read a stored response's input."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        async for model in client.models.list():
            print(model.id, "by", model.owned_by)

        answer = await client.embeddings.create(
            model="text-embedding-3-small",
            input=["sea", "ocean"],
            dimensions=2,
        )
        for one in answer.data:
            print(one.index, one.embedding)

        items = client.responses.input_items
        async for item in items.list("resp_123", order="asc"):
            print(item.role, [part.text for part in item.content])


trio.run(main)
