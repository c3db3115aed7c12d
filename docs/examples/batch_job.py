"""Send a file of prompts, and run the job again after adding a line."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from trio_openai import TrioOpenAI, batch


async def answer(prompts: Path, answers: Path) -> None:
    async with TrioOpenAI() as client:
        async with batch.run(
            prompts,
            answers,
            clients=client,
            model="gpt-4o-mini",
            params={"temperature": 0},
        ) as job:
            end = await job.wait()
    print(f"{end.done} done, {end.failed} failed, {end.skipped} skipped")


async def main() -> None:
    with TemporaryDirectory() as folder:
        prompts = Path(folder) / "prompts.jsonl"
        answers = Path(folder) / "answers.jsonl"
        lines = [
            {"custom_id": "oslo", "prompt": "Where is Oslo?"},
            {"custom_id": "lima", "prompt": "Where is Lima?"},
            {"custom_id": "nowhere", "prompt": "Where is Nowhere?"},
        ]
        for more in ({}, {"custom_id": "rome", "prompt": "Where is Rome?"}):
            lines += [more] if more else []
            prompts.write_text("".join(json.dumps(x) + "\n" for x in lines))
            await answer(prompts, answers)
        results = map(json.loads, answers.read_text().splitlines())
        for result in sorted(results, key=lambda one: one["custom_id"]):
            if result["error"]:
                print(result["custom_id"], "->", result["error"]["message"])
            else:
                choice = result["response"]["body"]["choices"][0]
                print(result["custom_id"], "->", choice["message"]["content"])


trio.run(main)
