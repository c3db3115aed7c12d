import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
            stream=True,
        )
        try:
            chunk = await anext(stream)
            print(chunk.choices[0].delta.role, stream.response.status_code)
        finally:
            await stream.aclose()


trio.run(main)
