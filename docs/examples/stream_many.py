"""Read the events of many streams in one loop, as they arrive."""

import trio

from trio_openai import TrioOpenAI

QUESTIONS = {
    "sky": "Why is the sky blue?",
    "grass": "Why is grass green?",
    "sea": "Why is the sea salty?",
}


async def main() -> None:
    texts = dict.fromkeys(QUESTIONS, "")
    async with TrioOpenAI() as client:
        calls = [
            client.chat.completions.call(
                key=key,
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": question}],
            )
            for key, question in QUESTIONS.items()
        ]
        async with client.stream_many(calls) as items:
            async for item in items:
                if item.result is None:
                    for choice in item.event.choices:
                        texts[item.key] += choice.delta.content or ""
                elif item.result.error is not None:
                    texts[item.key] += " (cut)"
    for key, text in texts.items():
        print(f"{key}: {text}")


trio.run(main)
