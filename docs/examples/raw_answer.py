"""Read the status and the headers of a plain response."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
        )
        print(f"status {raw.status_code}, request {raw.request_id}")
        print(f"retries: {raw.retries_taken}")
        print(f"tokens left: {raw.headers['x-ratelimit-remaining-tokens']}")
        completion = raw.parse()
        print(completion.choices[0].message.content)


trio.run(main)
