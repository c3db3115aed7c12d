"""Read a long answer over a bad line: the stream resumes where it broke."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.responses.stream(
            model="gpt-4o-mini",
            input="Tell a story about a lighthouse keeper.",
            background=True,
            resume=True,
        ) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
            response = await stream.get_final_response()
    print(f"\n[{response.status}, resumed {stream.timings.resumes} times]")


trio.run(main)
