"""Hold a conversation whose history the server keeps."""

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    last_id = None
    async with TrioOpenAI() as client:
        for text in ("Hello, my name is Ada.", "What is my name?"):
            print(">", text)
            async with client.responses.stream(
                model="gpt-4o-mini", input=text, previous_response_id=last_id
            ) as stream:
                async for piece in stream.text_deltas:
                    print(piece, end="", flush=True)
                response = await stream.get_final_response()
            print()
            last_id = response.id


trio.run(main)
