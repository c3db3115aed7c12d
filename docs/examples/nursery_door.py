"""Open two streams in a nursery, whose background tasks read them."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client, trio.open_nursery() as nursery:
        tea, sky = [
            await client.chat.completions.start_stream(
                nursery,
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": prompt}],
            )
            for prompt in ("How do I make tea?", "Why is the sky blue?")
        ]
        print((await sky.get_final_completion()).text)
        async for text in tea.text_deltas:
            print(text, end="", flush=True)
            if "." in text:
                break
        await tea.aclose()  # otherwise the nursery waits for the rest
    print(f"\n[sky: {sky.verdict}]")
    print(f"[tea: {tea.verdict}]")


trio.run(main)
