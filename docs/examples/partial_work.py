"""Keep the part of an answer that arrived before the connection broke."""

import trio

from trio_openai import APIError, TrioOpenAI


async def main() -> None:
    prompt = "Write a poem about the sea."
    async with TrioOpenAI() as client:
        try:
            async with client.chat.completions.stream(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": prompt}],
                max_tokens=60,
            ) as stream:
                await stream.until_done()
        except APIError as error:
            print(f"[{type(error).__name__} in {error.request_id}]")
            print(f"[{error}]")
            print(error.partial.text if error.partial else "(nothing)")
        else:
            print(stream.text)


trio.run(main)
