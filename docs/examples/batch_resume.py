"""Answer a file of questions. Run it again to do the rest."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from trio_openai import TrioOpenAI

QUESTIONS = """\
{"custom_id": "1", "question": "Where is Oslo?"}
{"custom_id": "2", "question": "Where is Rome?"}
{"custom_id": "3", "question": "Where is Lima?"}
"""


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open() as file:
        yield from map(json.loads, file)


async def answer_all(questions: Path, answers: Path) -> None:
    answers.touch()
    done = {row["custom_id"] for row in rows(answers)}
    async with TrioOpenAI() as client:
        calls = (
            client.chat.completions.call(
                key=row["custom_id"],
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": row["question"]}],
            )
            for row in rows(questions)
            if row["custom_id"] not in done
        )
        with answers.open("a") as file:
            async with client.run_many(calls, max_concurrent=50) as results:
                async for result in results:
                    if result.error is not None:
                        print(f"{result.key} failed: {result.error}")
                        continue
                    row = {"custom_id": result.key, "answer": result.text}
                    file.write(json.dumps(row) + "\n")
                    file.flush()


async def main() -> None:
    with TemporaryDirectory() as folder:
        questions = Path(folder, "questions.jsonl")
        answers = Path(folder, "answers.jsonl")
        questions.write_text(QUESTIONS)
        for number in (1, 2):
            await answer_all(questions, answers)
            print(f"run {number}: {len(list(rows(answers)))} answers")
        print(*sorted(answers.read_text().splitlines()), sep="\n")


trio.run(main)
