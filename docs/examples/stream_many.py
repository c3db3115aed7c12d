"""Read the events of many streams, as they arrive, in one loop."""

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
                if item.result is not None:  # the last item of this key
                    texts[item.key] += " (cut)" if item.result.error else ""
                    continue
                for choice in item.event.choices:
                    texts[item.key] += choice.delta.content or ""
    for key, text in texts.items():
        print(f"{key}: {text}")


trio.run(main)
