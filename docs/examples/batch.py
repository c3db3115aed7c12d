"""Upload a file of requests, start a batch, wait for it, and save its results without holding them in memory."""

import json
import tempfile
from pathlib import Path

import trio

from trio_openai import TrioOpenAI


def write_requests(path: Path, cities: list[str]) -> None:
    with path.open("w") as file:
        for city in cities:
            body = {
                "model": "gpt-4o-mini",
                "messages": [
                    {
                        "role": "user",
                        "content": f"In which country is {city}?",
                    }
                ],
            }
            request = {
                "custom_id": city,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": body,
            }
            file.write(json.dumps(request) + "\n")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        requests, results = (
            Path(folder) / "requests.jsonl",
            Path(folder) / "results.jsonl",
        )
        write_requests(requests, ["Oslo", "Lima"])
        async with TrioOpenAI() as client:
            file = await client.files.create(file=requests, purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
            )
            while batch.status != "completed":
                print("the batch is", batch.status)
                await trio.sleep(0.1)  # in earnest, a minute
                batch = await client.batches.retrieve(batch.id)
            assert batch.output_file_id is not None
            async with client.files.content.stream_bytes(
                batch.output_file_id
            ) as content:
                await content.write_to_file(results)
        for line in results.read_text().splitlines():
            result = json.loads(line)
            print(
                result["custom_id"],
                "->",
                result["response"]["body"]["choices"][0]["message"][
                    "content"
                ],
            )


trio.run(main)
