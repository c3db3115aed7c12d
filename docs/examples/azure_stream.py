"""Stream from a deployment on Azure, and read its content filter."""

import trio

from trio_openai import AzureOpenAI


async def main() -> None:
    async with AzureOpenAI() as client:
        async with client.chat.completions.stream(
            model="my-deployment",
            messages=[{"role": "user", "content": "Say hello."}],
        ) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
        completion = stream.snapshot
        print("\nprompt:", completion.prompt_filter_results)
        print("answer:", completion.choices[0].content_filter_results)


trio.run(main)
