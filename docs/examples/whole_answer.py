"""Ask for the whole answer at once, without streaming."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    prompt = "Say hello in three words."
    async with TrioOpenAI() as client:
        completion = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
        )
    print(completion.text)
    if completion.usage:
        print(completion.usage.total_tokens, "tokens")


trio.run(main)
