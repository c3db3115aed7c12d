import trio
from openai import AsyncOpenAI


async def main() -> None:
    client = AsyncOpenAI()
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Count to three."}],
        stream=True,
    )
    try:
        chunk = await anext(stream)
        print(chunk.choices[0].delta.role, stream.response.status_code)
    finally:
        await stream.close()


trio.run(main)
