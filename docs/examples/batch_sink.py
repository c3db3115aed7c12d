"""Take the requests from a program, and put the results into a database."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import trio

from trio_openai import TrioOpenAI, batch


class Cities:
    def lines(self) -> Iterator[dict[str, Any]]:
        for city in ("Oslo", "Lima", "Rome"):
            yield {"custom_id": city, "prompt": f"Where is {city}?"}


class Database:
    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:")
        self.db.execute("CREATE TABLE results (id TEXT, line TEXT)")

    async def open(self) -> Iterator[dict[str, Any]]:
        await trio.lowlevel.checkpoint()
        rows = self.db.execute("SELECT line FROM results")
        return (json.loads(line) for (line,) in rows)

    async def write(self, lines: list[Mapping[str, Any]]) -> None:
        await trio.lowlevel.checkpoint()
        rows = [(line["custom_id"], json.dumps(line)) for line in lines]
        with self.db:  # a transaction
            self.db.executemany("INSERT INTO results VALUES (?, ?)", rows)

    async def sync(self) -> None:
        await trio.lowlevel.checkpoint()  # a transaction is enough here

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def main() -> None:
    sink = Database()
    async with TrioOpenAI() as client:
        for _ in range(2):
            async with batch.run(
                Cities(), sink, clients=client, model="gpt-4o-mini"
            ) as job:
                end = await job.wait()
            print(f"{end.done} done, {end.skipped} skipped")
    for row in sink.db.execute("SELECT id FROM results ORDER BY id"):
        print(*row)


trio.run(main)
