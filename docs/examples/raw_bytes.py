"""Forward a stream's bytes unchanged, and still learn its usage."""

import trio
import trio.testing

from trio_openai import TrioOpenAI


async def forward(client: TrioOpenAI, sink: trio.abc.SendStream) -> None:
    async with client.chat.completions.stream(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Count to three."}],
        usage=True,
    ) as stream:
        async for data in stream.raw_bytes:
            await sink.send_all(data)
    if usage := stream.snapshot.usage:
        print(f"{stream.verdict}, {usage.total_tokens} tokens")


async def main() -> None:
    sink, source = trio.testing.memory_stream_pair()
    async with TrioOpenAI() as client:
        await forward(client, sink)
    await sink.aclose()
    forwarded = b"".join([data async for data in source])
    print(forwarded[-14:])


trio.run(main)
