"""Hold a conversation: send what was said before with every question."""

import trio

from trio_openai import TrioOpenAI
from trio_openai.types import ChatCompletionMessageParam

SYSTEM: ChatCompletionMessageParam = {
    "role": "system",
    "content": "Answer in one sentence.",
}
history: list[ChatCompletionMessageParam] = []


async def answer(client: TrioOpenAI, text: str) -> None:
    question: ChatCompletionMessageParam = {"role": "user", "content": text}
    async with client.chat.completions.stream(
        model="gpt-4o-mini", messages=[SYSTEM, *history[-20:], question]
    ) as stream:
        async for piece in stream.text_deltas:
            print(piece, end="", flush=True)
    print()
    history.append(question)
    history.append({"role": "assistant", "content": stream.text})


async def main() -> None:
    async with TrioOpenAI() as client:
        for text in ("Hello, my name is Ada.", "What is my name?"):
            print(">", text)
            await answer(client, text)


trio.run(main)
