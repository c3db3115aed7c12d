import trio

from trio_openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    RateLimitError,
    TrioOpenAI,
)


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
        except APIStatusError as error:
            print(f"the server answered {error.status_code}")
        except (
            APIConnectionError
        ) as error:  # also if a deadline passed or the stream was truncated
            print(f"no answer, or not the whole of it: {error.partial}")
        except (
            APIError
        ) as error:  # an error event of the server, or an invalid response
            print(f"failed: {error.message}, after {error.partial}")


trio.run(main)
