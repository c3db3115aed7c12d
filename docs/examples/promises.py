"""Keep the three promises of the README against a server that breaks them."""

import trio

from trio_openai import StreamTruncatedError, TrioOpenAI


def ask(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


async def stop_in_time(client: TrioOpenAI) -> None:
    chat = client.chat.completions
    # --- time
    story = chat.stream(model="gpt-4o", messages=ask("Tell me a story."))
    with trio.move_on_after(1):
        async with story as stream:
            await stream.until_done()
    print(f"Within a second: {story.text}...")
    # ---


async def notice_the_break(client: TrioOpenAI) -> None:
    chat = client.chat.completions
    poem = ask("Write a poem.")
    # --- break
    try:
        async with chat.stream(model="gpt-4o", messages=poem) as stream:
            print(await stream.get_final_completion())
    except StreamTruncatedError as error:
        print(f"It broke off: {error.partial.text}...")
    # ---


async def ask_many(client: TrioOpenAI) -> None:
    chat = client.chat.completions
    questions = "Is Rome a city?", "Is Rome a river?", "Is Rome a verb?"
    # --- many
    calls = (chat.call(model="gpt-4o", messages=ask(q)) for q in questions)
    many = client.run_many(calls, max_concurrent=100, ordered=True)
    async with many as results:
        async for result in results:
            print(result.error or result.value.text)
    # ---


async def main() -> None:
    async with TrioOpenAI() as client:
        await stop_in_time(client)
        await notice_the_break(client)
        await ask_many(client)


trio.run(main)
