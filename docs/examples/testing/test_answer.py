"""Test what a program does with an answer, and what it asks."""

import trio

from trio_openai import TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer


async def headline(client: TrioOpenAI, topic: str) -> str:
    """Return a headline. This is the program under test."""
    completion = await client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"A headline on {topic}"}],
    )
    return completion.text.upper()


async def test_headline_is_in_capitals(nursery: trio.Nursery) -> None:
    server = ScriptedServer(Reply.chat("Local man reads docs"))
    await server.start(nursery, memory=True)
    async with server.client() as client:
        assert await headline(client, "trio") == "LOCAL MAN READS DOCS"
    asked = server.requests[0].json()
    assert asked["messages"][0]["content"] == "A headline on trio"
