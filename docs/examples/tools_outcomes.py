"""Handle tools that fail: report the error to the model, or raise it in the program."""

import trio

from trio_openai import Tool, ToolFailed, TrioOpenAI

STOCK = {"tea": 12, "coffee": 0}


def read_stock(item: str) -> int:
    return STOCK[item]  # stands for slow, blocking work


async def stock(item: str) -> int:
    """Return how many packets of an item are in stock."""
    return await trio.to_thread.run_sync(read_stock, item)


def run_query(text: str) -> str:
    raise PermissionError("not today")


async def main() -> None:
    query = Tool.custom(run_query, name="query", description="Runs any SQL.")
    async with TrioOpenAI() as client:
        for on_error in ("tell_model", "raise"):
            try:
                async with client.responses.run_tools(
                    model="gpt-4o-mini",
                    input="What do we have?",
                    tools=[stock, query],
                    on_error=on_error,
                ) as run:
                    async for event in run:
                        if isinstance(event, ToolFailed):
                            print(f"{event.call.name}: {event.output}")
                    response = await run.get_final_response()
                    print(response.output_text)
            except PermissionError as error:
                print(f"{error!r}, as it was raised")


trio.run(main)
