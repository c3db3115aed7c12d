"""Set a deadline for each phase of a request, and learn which one passed."""

import trio

from trio_openai import APITimeoutError, Deadlines, TrioOpenAI

PATIENCE = Deadlines(connect=5, headers=60, first_content=30, idle=1)


async def main() -> None:
    prompt = "Describe a walk in autumn."
    async with TrioOpenAI(timeout=PATIENCE) as client:
        try:
            async with client.chat.completions.stream(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": prompt}],
            ) as stream:
                async for text in stream.text_deltas:
                    print(text, end="", flush=True)
        except APITimeoutError as error:
            print(f"\n{error.phase}: {error}")


trio.run(main)
