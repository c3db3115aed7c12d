"""Stream from llama.cpp's own endpoint, which has no final event."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        body = {"prompt": "One, two,", "stream": True}
        async with client.stream_request(
            "POST", "/completion", json=body, end=None
        ) as stream:
            async for event in stream:
                print(event["content"], end="")
                if event["stop"]:
                    print(f"\n{event['tokens_predicted']} tokens")


trio.run(main)
