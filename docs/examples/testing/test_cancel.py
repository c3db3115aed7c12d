"""Test that a cancelled program leaves nothing open."""

import trio

from trio_openai import TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer


async def read(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}]
    ) as stream:
        await stream.until_done()


async def test_cancelled_stream_is_closed(nursery: trio.Nursery) -> None:
    server = ScriptedServer(Reply.chat("One, two, three.").stall_after(400))
    await server.start(nursery, memory=True)
    async with server.client() as client:
        async with trio.open_nursery() as readers:
            readers.start_soon(read, client)
            await server.wait_requests()
            before = server.statistics()
            readers.cancel_scope.cancel()
        await server.wait_disconnect(since=before)
        assert client.statistics().open_streams == 0
