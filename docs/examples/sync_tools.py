"""Let a model call functions from a program without an event loop."""

from trio_openai import ToolDone, ToolRequest
from trio_openai.sync import SyncOpenAI


def temperature(city: str) -> float:
    """Return the current temperature of a city in degrees Celsius."""
    return {"Oslo": 4.0, "Rome": 21.0}[city]  # may block: it has a thread


def approve(request: ToolRequest) -> bool:
    return request.name == "temperature"  # may ask with `input`


with SyncOpenAI() as client:
    with client.chat.completions.run_tools(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Is Rome or Oslo warmer?"}],
        tools=[temperature],
        approve=approve,
        max_concurrent=1,
    ) as run:
        for event in run:
            if isinstance(event, ToolDone):
                print(f"{event.call.name}: {event.result}")
        print(run.get_final_completion().text)
