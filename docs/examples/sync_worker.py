"""Call blocking code from a trio program, and keep its cancel scope."""

import trio

from trio_openai.sync import SyncOpenAI


def count(client: SyncOpenAI) -> str:
    with client.chat.completions.stream(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Count to three."}],
    ) as stream:
        return stream.get_final_completion().text


async def main() -> None:
    with SyncOpenAI() as client:
        with trio.move_on_after(30):
            print(await trio.to_thread.run_sync(count, client))


trio.run(main)
