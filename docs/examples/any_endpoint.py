"""Use an endpoint that the library does not know: vector stores, as dictionaries and as objects of a class."""

from pathlib import Path

import attrs
import trio

from trio_openai import Page, TrioOpenAI


@attrs.define
class VectorStore:
    id: str
    name: str | None = None


async def main() -> None:
    async with TrioOpenAI() as client:
        file = await client.post(
            "/files",
            body={"purpose": "assistants"},
            files={"file": Path(__file__)},
        )
        print("uploaded", file["filename"])

        body = {"name": "examples", "file_ids": [file["id"]]}
        store = await client.post(
            "/vector_stores", body=body, cast_to=VectorStore
        )
        print("created", store)

        async for other in await client.get(
            "/vector_stores", query={"limit": 1}, cast_to=Page[VectorStore]
        ):
            print("found", other.id, other.name)

        print(
            "deleted",
            (await client.delete(f"/vector_stores/{store.id}"))["deleted"],
        )


trio.run(main)
