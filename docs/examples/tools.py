"""Let the model call a function of your program."""

import trio

from trio_openai import TrioOpenAI


async def temperature(city: str) -> float:
    """Return the current temperature of a city in degrees Celsius."""
    return {"Oslo": 4.0, "Rome": 21.0}[city]


async def main() -> None:
    async with TrioOpenAI() as client:
        async with client.chat.completions.run_tools(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Is Rome or Oslo warmer?"}],
            tools=[temperature],
        ) as run:
            completion = await run.get_final_completion()
    print(completion.text)


trio.run(main)
