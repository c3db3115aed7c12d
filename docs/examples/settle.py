"""Stop reading early, and still learn the usage."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    messages = [
        {"role": "user", "content": "How do I make a good cup of tea?"}
    ]
    async with TrioOpenAI() as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=messages,
            max_tokens=60,
            stream_options={"include_usage": True},
        ) as stream:
            answer = ""
            async for text in stream.text_deltas:
                answer += text
                if "." in answer:
                    break
            await stream.settle(5)
    print(answer.partition(".")[0] + ".")
    usage = stream.snapshot.usage
    print(
        f"[{stream.verdict}, {usage.total_tokens if usage else 'an unknown number of'} tokens]"
    )


trio.run(main)
