import trio

from trio_openai import APIError, RateLimitError, TrioOpenAI


async def main() -> None:
    async with TrioOpenAI(max_retries=0) as client:
        try:
            async with client.chat.completions.stream(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": "Count to three."}],
            ) as stream:
                await stream.until_done()
        except RateLimitError as error:
            print(f"slow down: {error.code}, request {error.request_id}")
        except APIError as error:
            print(f"failed: {error.message}, after {error.partial}")


trio.run(main)
