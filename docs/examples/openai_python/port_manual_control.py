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
        role = await anext(stream)
        print(role.choices[0].delta.role)
        first_word = await anext(stream)
        print(first_word.choices[0].delta.content)
        print(
            stream.response.status_code,
            stream.response.headers["content-type"],
        )
    finally:
        await stream.close()


trio.run(main)
