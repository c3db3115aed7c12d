"""Test a retry: the script is a list, with one reply for each request."""

import pytest
import trio
import trio.testing

from trio_openai import RateLimitError, TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer


async def ask(client: TrioOpenAI) -> str:
    completion = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}]
    )
    return completion.text


async def test_busy_server_is_asked_again(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    busy = Reply.error(429, "too fast", headers={"retry-after": "60"})
    server = ScriptedServer([busy, Reply.chat("Hello.")])
    await server.start(nursery, memory=True)
    async with server.client() as client:
        assert await ask(client) == "Hello."
    assert trio.current_time() >= 60  # by the mock clock


async def test_busy_server_without_retries(nursery: trio.Nursery) -> None:
    server = ScriptedServer(Reply.error(429, "too fast"))
    await server.start(nursery, memory=True)
    async with server.client(max_retries=0) as client:
        with pytest.raises(RateLimitError):
            await ask(client)
    assert len(server.requests) == 1
