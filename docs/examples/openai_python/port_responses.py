import trio
from openai import AsyncOpenAI


async def main() -> None:
    async with AsyncOpenAI() as client:
        async with client.responses.stream(
            model="gpt-4o-mini", input="Count to three."
        ) as stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    print(event.delta, end="", flush=True)
            response = await stream.get_final_response()
    print(f"\n{response.status}, {response.usage.total_tokens} tokens")


trio.run(main)
