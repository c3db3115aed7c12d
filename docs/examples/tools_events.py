"""Show which functions the model calls, and its answer as it arrives."""

from typing import Literal

import trio

from trio_openai import RoundEvent, ToolDone, ToolStarted, TrioOpenAI

TEMPERATURES = {"Oslo": 4.0, "Rome": 21.0}


async def temperature(
    city: str, unit: Literal["celsius", "fahrenheit"]
) -> float:
    """Return the current temperature of a place.

    Args:
        city: Its name, without the country.
        unit: What the user is used to.
    """
    await trio.sleep(0.01)  # stands for a request to a weather service
    celsius = TEMPERATURES[city]
    return celsius if unit == "celsius" else celsius * 9 / 5 + 32


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.run_tools(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Is Rome or Oslo warmer?"}],
            tools=[temperature],
        ) as run:
            async for event in run:
                match event:
                    case ToolStarted(call):
                        print(f"{call.name} {call.arguments} ...")
                    case ToolDone(call, result):
                        print(f"... is {result}")
                    case RoundEvent(text=text):
                        print(text, end="", flush=True)
        print(f"\n[{len(run.messages)} messages]")


trio.run(main)
