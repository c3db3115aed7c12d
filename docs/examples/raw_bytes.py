"""Write a gateway: forward a stream's bytes unchanged, and still learn its usage."""

import trio
import trio.testing

from trio_openai import TrioOpenAI


async def pass_on(client: TrioOpenAI, sink: trio.abc.SendStream) -> None:
    messages = [{"role": "user", "content": "Count to three."}]
    options = {"include_usage": True}
    async with client.chat.completions.stream(
        model="gpt-4o-mini", messages=messages, stream_options=options
    ) as stream:
        async for data in stream.raw_bytes:
            await sink.send_all(data)
    usage = stream.snapshot.usage
    print(
        f"[{stream.verdict}; {usage.total_tokens if usage else 'unknown'} tokens]"
    )


async def main() -> None:
    sink, source = trio.testing.memory_stream_pair()
    async with TrioOpenAI() as client:
        await pass_on(client, sink)
    await sink.aclose()
    passed = b"".join([data async for data in source])
    print(passed[-14:])


trio.run(main)
