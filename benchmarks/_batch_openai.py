"""A plain program for a file of prompts: `AsyncOpenAI` on asyncio, with workers that share the lines of the file.

It does not continue where it stopped, and one failed request ends it. So this is the least that such a program does.

    python _batch_openai.py IN.jsonl OUT.jsonl BASE_URL CONCURRENT STREAM       STREAM is 0 or 1
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import openai


async def _plain(client: openai.AsyncOpenAI, request: dict[str, Any]) -> dict[str, Any]:
    return (await client.chat.completions.create(**request)).model_dump(mode="json")


async def _streamed(client: openai.AsyncOpenAI, request: dict[str, Any]) -> dict[str, Any]:
    text = ""
    async with await client.chat.completions.create(**request, stream=True) as stream:
        async for chunk in stream:
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


async def _work(client: openai.AsyncOpenAI, lines: Iterator[str], out: TextIO, ask: Any) -> None:
    for line in lines:
        row = json.loads(line)
        body = await ask(client, {"model": "gpt-4o", "messages": [{"role": "user", "content": row["prompt"]}]})
        result = {"custom_id": row["custom_id"], "response": {"status_code": 200, "body": body}, "error": None}
        out.write(json.dumps(result) + "\n")


def main(source: str, target: str, url: str, concurrent: str, stream: str) -> None:
    """Answer every line of the file."""
    ask = _streamed if int(stream) else _plain
    with Path(source).open() as lines, Path(target).open("w") as out:
        asyncio.run(_answer_all(lines, out, url, int(concurrent), ask))


async def _answer_all(lines: Iterator[str], out: TextIO, url: str, concurrent: int, ask: Any) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key="benchmark") as client, asyncio.TaskGroup() as group:
        for _ in range(concurrent):
            group.create_task(_work(client, lines, out, ask))


if __name__ == "__main__":
    main(*sys.argv[1:])
