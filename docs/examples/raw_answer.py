"""Read the status and headers of a plain (not streamed) response."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [{"role": "user", "content": "Count to three."}]
        raw = await client.chat.completions.with_raw_response.create(
            model="gpt-4o-mini", messages=messages
        )
        print(
            f"status {raw.status_code}, request {raw.request_id}, {raw.retries_taken} retry"
        )
        print(
            f"tokens left in this minute: {raw.headers['x-ratelimit-remaining-tokens']}"
        )
        print(f"answered within a minute: {raw.elapsed.total_seconds() < 60}")
        completion = raw.parse()
        print(completion.choices[0].message.content)


trio.run(main)
