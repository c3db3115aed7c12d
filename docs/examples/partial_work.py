"""Keep the partial answer when a stream fails."""

import trio

from trio_openai import APIError, TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        messages = [
            {"role": "user", "content": "Write a short poem about the sea."}
        ]
        try:
            async with client.chat.completions.stream(
                model="gpt-4o-mini", messages=messages, max_tokens=60
            ) as stream:
                completion = await stream.get_final_completion()
        except APIError as error:
            print(f"{type(error).__name__}: {error}")
            print(f"request {error.request_id}")
            completion = error.partial  # None if nothing arrived
        for choice in completion.choices if completion else ():
            print(choice.message.content)
            print(f"finish reason: {choice.finish_reason}")


trio.run(main)
