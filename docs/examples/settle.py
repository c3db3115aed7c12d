"""Stop reading early, and still learn how many tokens were used."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    prompt = "How do I make a cup of tea?"
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
            max_tokens=60,
            usage=True,
        ) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
                if "." in text:
                    break
            await stream.settle(5)
    usage = stream.snapshot.usage
    print(f"\n[{stream.verdict}]")
    print(usage.total_tokens if usage else "unknown", "tokens")


trio.run(main)
