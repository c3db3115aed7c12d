"""Use vector stores, which the library has no methods for."""

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

        page = await client.get(
            "/vector_stores", query={"limit": 1}, cast_to=Page[VectorStore]
        )
        async for other in page:
            print("found", other.id, other.name)

        answer = await client.delete(f"/vector_stores/{store.id}")
        print("deleted", answer["deleted"])


trio.run(main)
