"""Ask before a tool runs, and limit its time and its concurrency."""

import trio

from trio_openai import Tool, ToolDone, ToolRefused, ToolRequest, TrioOpenAI

STOCK = {"tea": 12, "coffee": 0}


async def stock(item: str) -> int:
    """Return how many packets of an item are in stock."""
    return STOCK[item]


async def run_query(text: str) -> str:
    return f"done: {text}"


async def approve(request: ToolRequest) -> bool | str:
    await trio.sleep(0.01)  # stands for a person who looks at it
    return "only an administrator may run SQL"


async def main() -> None:
    tools = [
        Tool.of(stock, timeout=5, max_concurrent=2),
        Tool.custom(
            run_query,
            name="query",
            description="Runs any SQL.",
            approve=approve,
        ),
    ]
    async with TrioOpenAI() as client:
        async with client.responses.run_tools(
            model="gpt-4o-mini", input="What do we have?", tools=tools
        ) as run:
            async for event in run:
                match event:
                    case ToolDone(call, result):
                        print(f"{call.name}: {result}")
                    case ToolRefused(call, reason):
                        print(f"{call.name} was refused: {reason}")


trio.run(main)
