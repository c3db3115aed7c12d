"""Stream several prompts at once. A failing one does not end the others."""

import trio

from trio_openai import APIError, TrioOpenAI

PROMPTS = (
    "What is a nursery?",
    "What is a cancel scope?",
    "What is a checkpoint?",
)


async def ask(
    client: TrioOpenAI, prompt: str, answers: dict[str, str]
) -> None:
    messages = [{"role": "user", "content": prompt}]
    try:
        async with client.chat.completions.stream(
            model="gpt-4o-mini", messages=messages, max_tokens=60
        ) as stream:
            completion = await stream.get_final_completion()
    except APIError as error:
        answers[prompt] = f"{type(error).__name__}: {error}"
    else:
        answers[prompt] = completion.choices[0].message.content or ""


async def main() -> None:
    answers: dict[str, str] = {}
    async with TrioOpenAI() as client, trio.open_nursery() as nursery:
        for prompt in PROMPTS:
            nursery.start_soon(ask, client, prompt, answers)
    for prompt in PROMPTS:
        print(f"{prompt} {answers[prompt]}")


trio.run(main)
