"""Ask your own server, and OpenAI if that one fails or is too slow."""

import trio

from trio_openai import AdaptiveLimiter, RateLimiter, TrioOpenAI

QUESTION = "Why is the sky blue?"


async def main() -> None:
    local = TrioOpenAI(
        base_url="http://127.0.0.1:1/v1",  # nobody listens there today
        limiter=AdaptiveLimiter(),
        max_retries=0,
    )
    cloud = TrioOpenAI(limiter=RateLimiter(requests_per_minute=500))
    async with local, cloud:
        calls = [
            client.chat.completions.call(
                model=model, messages=[{"role": "user", "content": QUESTION}]
            )
            for client, model in [(local, "qwen3"), (cloud, "gpt-4o-mini")]
        ]
        async with cloud.race(calls, stagger=3) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
        print(f"\n[{stream.snapshot.model}]")


trio.run(main)
