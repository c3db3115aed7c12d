"""Give an agent two seconds, and then let it answer with what it has."""

import trio

from trio_openai import Deadlines, ToolDone, TrioOpenAI

PAGES = {"tea": "Tea has been drunk for 2,000 years."}


async def look_up(topic: str) -> str:
    """Look up a topic in the encyclopedia."""
    if topic not in PAGES:
        await trio.sleep(3600)  # stands for a website that is down
    return PAGES[topic]


async def main() -> None:
    question = "Which is older, tea or coffee?"
    async with TrioOpenAI() as client:
        async with client.chat.completions.run_tools(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": question}],
            tools=[look_up],
        ) as run:
            with trio.move_on_after(2) as deadline:
                async for event in run:
                    if isinstance(event, ToolDone):
                        print(f"found: {event.result}")
        if deadline.cancelled_caught:
            print("The time is up.")
            note = "Answer now, with what you have found."
            messages = [*run.messages, {"role": "user", "content": note}]
            completion = await client.chat.completions.create(
                model="gpt-4o-mini",
                messages=messages,
                timeout=Deadlines(total=10),
            )
            print(completion.text)
        else:
            print((await run.get_final_completion()).text)


trio.run(main)
