import trio
from openai import APIError, AsyncOpenAI, RateLimitError


async def main() -> None:
    client = AsyncOpenAI(max_retries=0)
    try:
        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
            stream=True,
        )
        async for _ in stream:
            pass
    except RateLimitError as error:
        print(f"slow down: {error.code}, request {error.request_id}")
    except APIError as error:
        print(f"failed: {error.message}")


trio.run(main)
