"""Let a model call functions from a program without an event loop."""

from trio_openai import ToolDone, ToolRequest
from trio_openai.sync import SyncOpenAI

TEMPERATURES = {"Oslo": 4.0, "Rome": 21.0}


def temperature(city: str, unit: str) -> float:
    """Return the current temperature of a place."""
    return TEMPERATURES[city]  # may block: it runs in a thread


def approve(request: ToolRequest) -> bool:
    return request.name == "temperature"  # may ask with `input`


with SyncOpenAI() as client:
    with client.chat.completions.run_tools(
        model="gpt-4o-mini",
        messages=[
            {
                "role": "user",
                "content": "Where is it warmer, in Oslo or in Rome?",
            }
        ],
        tools=[temperature],
        approve=approve,
        max_concurrent=1,
    ) as run:
        for event in run:
            match event:
                case ToolDone(call, result):
                    print(f"{call.name}: {result}")
        print(run.get_final_completion().choices[0].message.content)
