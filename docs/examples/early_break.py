"""Stop after the first sentence. The server notices and stops generating."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [
            {"role": "user", "content": "How do I make a good cup of tea?"}
        ]
        answer = ""
        async with client.chat.completions.stream(
            model="gpt-4o-mini", messages=messages
        ) as stream:
            async for text in stream.text_deltas:
                answer += text
                if "." in answer:
                    break
        # The block has been left, so the connection is closed already, without garbage collection or a background task.
        print(answer.partition(".")[0] + ".")
        print(f"[{stream.verdict}]")


trio.run(main)
