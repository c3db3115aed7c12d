"""Turn many texts into objects of a class."""

from dataclasses import dataclass
from datetime import date

import trio

from trio_openai import TrioOpenAI

MESSAGES = [
    "Hi, 12 packets of tea please, by the 3rd of May. Ann",
    "Bob here. I need 2 packets of coffee for my party on June 21.",
    "Are you open on Sundays?",
]


@dataclass
class Order:
    """An order of tea or coffee. All dates are in 2026."""

    customer: str
    item: str
    packets: int
    due: date


@dataclass
class Extract:
    """The content of a message. `order` is null if it orders nothing."""

    order: Order | None


async def main() -> None:
    async with TrioOpenAI() as client:
        calls = (
            client.responses.call(
                key=text,
                model="gpt-4o-mini",
                instructions="Extract the order from the message.",
                input=text,
                text_format=Extract,
            )
            for text in MESSAGES
        )
        async with client.run_many(calls, ordered=True) as results:
            async for result in results:
                extract = None if result.error else result.value.parsed
                if not extract:
                    print(f"Failed: {result.key}")
                elif order := extract.order:
                    print(f"{order.customer}: {order.packets} {order.item}")
                else:
                    print(f"No order: {result.key}")


trio.run(main)
