"""Stream three answers at once. A failing one does not end the others."""

import trio

from trio_openai import APIError, TrioOpenAI

answers = {
    "What is a nursery?": "",
    "What is a cancel scope?": "",
    "What is a checkpoint?": "",
}


async def ask(client: TrioOpenAI, prompt: str) -> None:
    try:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": prompt}],
            max_tokens=60,
        ) as stream:
            completion = await stream.get_final_completion()
    except APIError as error:
        answers[prompt] = f"[{error}]"
    else:
        answers[prompt] = completion.text


async def main() -> None:
    async with TrioOpenAI() as client, trio.open_nursery() as nursery:
        for prompt in answers:
            nursery.start_soon(ask, client, prompt)
    for prompt, answer in answers.items():
        print(f"{prompt} {answer}")


trio.run(main)
