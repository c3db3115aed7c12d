"""Report the error of a tool to the model, or raise it in the program."""

from typing import Literal

import trio

from trio_openai import Tool, ToolFailed, TrioOpenAI


async def stock(item: str) -> int:
    """Return how many packets of an item are in stock."""
    return {"tea": 12, "coffee": 0}[item]


def run_query(text: str) -> str:
    raise PermissionError("not today")


async def ask(
    client: TrioOpenAI, on_error: Literal["tell_model", "raise"]
) -> str:
    query = Tool.custom(run_query, name="query", description="Runs any SQL.")
    async with client.responses.run_tools(
        model="gpt-4o-mini",
        input="What do we have?",
        tools=[stock, query],
        on_error=on_error,
    ) as run:
        async for event in run:
            if isinstance(event, ToolFailed):
                print(f"{event.call.name}: {event.output}")
        return (await run.get_final_response()).output_text


async def main() -> None:
    async with TrioOpenAI() as client:
        print(await ask(client, "tell_model"))
        try:
            await ask(client, "raise")
        except PermissionError as error:
            print(f"raised: {error!r}")


trio.run(main)
