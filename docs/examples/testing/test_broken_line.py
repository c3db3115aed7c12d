"""Test a program against a connection that breaks, at every place."""

import pytest
import trio

from trio_openai import StreamTruncatedError, TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer

ANSWER = Reply.chat("One, two, three.", stream=True)


async def read(client: TrioOpenAI) -> str:
    """Return the answer, marked with an ellipsis if it is incomplete."""
    try:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
        ) as stream:
            await stream.until_done()
    except StreamTruncatedError:
        return stream.text + "..."
    return stream.text


@pytest.mark.parametrize("length", range(0, ANSWER.length(), 50))
async def test_broken_answer_is_marked(
    nursery: trio.Nursery, length: int
) -> None:
    server = ScriptedServer(ANSWER.cut_after(length))
    await server.start(nursery, memory=True)
    async with server.client(max_retries=0) as client:
        assert (await read(client)).endswith("...")
