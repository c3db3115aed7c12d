import trio
from trio_openai import TrioOpenAI

async def main() -> None:
    messages = [{"role": "user", "content": "Why is the sky blue?"}]
    async with TrioOpenAI() as client:
        chat = client.chat.completions
        async with chat.stream(model="gpt-4o", messages=messages) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)

trio.run(main)
