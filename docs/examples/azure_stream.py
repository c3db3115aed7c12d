"""A deployment on Azure. AZURE_OPENAI_ENDPOINT, AZURE_OPENAI_API_KEY and OPENAI_API_VERSION are set."""

import trio

from trio_openai import AzureOpenAI


async def main() -> None:
    async with AzureOpenAI() as client:
        messages = [{"role": "user", "content": "Say hello."}]
        async with client.chat.completions.stream(
            model="my-deployment", messages=messages
        ) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
        whole = stream.snapshot
        print(f"\n[{stream.verdict}]")
        print(f"the prompt: {whole.prompt_filter_results}")
        print(f"the answer: {whole.choices[0].content_filter_results}")


trio.run(main)
