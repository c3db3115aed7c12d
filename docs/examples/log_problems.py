"""Print only the calls that failed or were slow, as JSON."""

import json
import logging
import sys

import trio

from trio_openai import BadRequestError, TrioOpenAI

SHOWN = ("status", "verdict", "error")


def is_a_problem(record: logging.LogRecord) -> bool:
    verdict = getattr(record, "openai_verdict", "")
    slow = getattr(record, "openai_total_ms", 0) > 10_000
    return slow or verdict in ("failed", "truncated")


class AsJSON(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        known = {name: vars(record).get(f"openai_{name}") for name in SHOWN}
        return json.dumps({n: v for n, v in known.items() if v is not None})


async def main() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(AsJSON())
    handler.addFilter(is_a_problem)
    log = logging.getLogger("trio_openai")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    async with TrioOpenAI() as client:
        for prompt in ("Say hello.", "Say goodbye.", "Say nothing."):
            try:
                await client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": prompt}],
                )
            except BadRequestError:
                print("the server does not like this prompt")


trio.run(main)
