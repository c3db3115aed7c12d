"""Test a program against a server that falls silent for ten minutes."""

import trio
import trio.testing

from trio_openai import APITimeoutError, TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer


async def read(client: TrioOpenAI) -> str:
    try:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Hi"}],
            timeout=600,
        ) as stream:
            await stream.until_done()
    except APITimeoutError as error:
        return f"no answer ({error.phase})"
    return stream.text


async def test_silent_server(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    server = ScriptedServer(Reply.chat("Never sent.").stall_after(0))
    await server.start(nursery, memory=True)
    async with server.client() as client:
        assert await read(client) == "no answer (idle)"
    assert trio.current_time() >= 600
