"""List the models of a server, and embed two texts."""

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


trio.run(main)
