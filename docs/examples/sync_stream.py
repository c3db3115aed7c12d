"""Call one blocking function without an event loop, and from a worker thread of a running one."""

import trio

from trio_openai.sync import SyncOpenAI


def count(client: SyncOpenAI) -> None:
    messages = [{"role": "user", "content": "Count to three."}]
    with client.chat.completions.stream(
        model="gpt-4o-mini", messages=messages
    ) as stream:
        for text in stream.text_deltas:
            print(text, end="", flush=True)
    print(f"\n[{stream.verdict}]")


async def main() -> None:
    with trio.move_on_after(30):
        await trio.to_thread.run_sync(count, client)


with SyncOpenAI() as client:
    count(client)
    trio.run(main)
