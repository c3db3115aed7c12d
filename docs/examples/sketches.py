"""Show the partial images while an image is generated."""

import base64

import trio

from trio_openai import TrioOpenAI


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.images.generate.stream(
            model="gpt-image-1",
            prompt="A lighthouse in a storm.",
            partial_images=2,
        ) as stream:
            async for event in stream:
                picture = base64.b64decode(event.b64_json)
                print(f"{event.type}: {len(picture)} bytes")
            images = await stream.get_final_images()
        print(f"{images.usage.total_tokens} tokens")


trio.run(main)
