"""Use several servers as one: each call goes to whichever is free."""

import os

import trio

from trio_openai import Server, Servers

CITIES = ["Oslo", "Rome", "Lima", "Kyoto"]
SERVERS = [
    "http://127.0.0.1:1/v1",  # nobody listens there today
    Server(
        os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1"),
        name="cloud",
        models={"qwen3": "gpt-4o-mini"},
    ),
]


async def main() -> None:
    async with Servers(SERVERS) as servers:
        calls = [
            servers.chat.completions.call(
                key=city,
                model="qwen3",
                messages=[{"role": "user", "content": f"Where is {city}?"}],
            )
            for city in CITIES
        ]
        async with servers.run_many(calls, ordered=True) as results:
            async for result in results:
                print(f"{result.key}: {result.error or result.text}")
        for server in servers.statistics().servers:
            print(f"[{server.name} is {server.state}: {server.done} done]")


trio.run(main)
