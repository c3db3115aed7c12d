"""Open streams in a nursery: background tasks read them, whenever you look at them."""

import trio

from trio_openai import TrioOpenAI

PROMPTS = (
    "How do I make a good cup of tea?",
    "Why is the sky blue? One sentence.",
)


async def main() -> None:
    async with TrioOpenAI() as client, trio.open_nursery() as nursery:
        tea, sky = [
            await client.chat.completions.start_stream(
                nursery,
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": prompt}],
            )
            for prompt in PROMPTS
        ]
        print((await sky.get_final_completion()).choices[0].message.content)
        answer = ""
        async for text in tea.text_deltas:
            answer += text
            if "." in answer:
                break
        await (
            tea.aclose()
        )  # otherwise the nursery would wait for the rest of the stream
    print(answer.partition(".")[0] + ".")
    print(f"[{tea.verdict}] [{sky.verdict}]")


trio.run(main)
