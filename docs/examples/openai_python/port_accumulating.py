import trio
from openai import AsyncOpenAI


async def main() -> None:
    client = AsyncOpenAI()
    stream = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Count to three."}],
        stream=True,
    )
    role, pieces = None, []
    async for chunk in stream:
        delta = chunk.choices[0].delta
        role = role or delta.role
        pieces.append(delta.content or "")
    print(f"{role}: {''.join(pieces)}")


trio.run(main)
