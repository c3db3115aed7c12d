"""Upload a file of requests, wait for the batch, and save its results."""

import json
import tempfile
from pathlib import Path

import trio

from trio_openai import TrioOpenAI

URL = "/v1/chat/completions"


def request_for(city: str) -> dict[str, object]:
    question = f"In which country is {city}?"
    messages = [{"role": "user", "content": question}]
    body = {"model": "gpt-4o-mini", "messages": messages}
    return {"custom_id": city, "method": "POST", "url": URL, "body": body}


async def run_batch(requests: Path, results: Path) -> None:
    async with TrioOpenAI() as client:
        file = await client.files.create(file=requests, purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint=URL, completion_window="24h"
        )
        while batch.status != "completed":
            print("the batch is", batch.status)
            await trio.sleep(0.1)  # use a minute with a real server
            batch = await client.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        content = client.files.content
        async with content.stream_bytes(batch.output_file_id) as data:
            await data.write_to_file(results)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        requests = Path(folder) / "requests.jsonl"
        results = Path(folder) / "results.jsonl"
        lines = [json.dumps(request_for(city)) for city in ("Oslo", "Lima")]
        requests.write_text("\n".join(lines))
        await run_batch(requests, results)
        for line in results.read_text().splitlines():
            result = json.loads(line)
            choice = result["response"]["body"]["choices"][0]
            print(result["custom_id"], "->", choice["message"]["content"])


trio.run(main)
