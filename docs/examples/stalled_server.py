"""Test a program against a server that stops sending, without a socket and without waiting for ten minutes."""

import trio
import trio.testing

from trio_openai import APITimeoutError, TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer, Stall


async def headline(client: TrioOpenAI) -> str:
    """Return a headline, marked if it is incomplete. This is the program under test."""
    messages = [{"role": "user", "content": "A headline, please."}]
    answer = ""
    try:
        async with client.chat.completions.stream(
            model="gpt-4o-mini", messages=messages, timeout=600
        ) as stream:
            async for text in stream.text_deltas:
                answer += text
    except APITimeoutError:
        answer += "..."
    return answer


def chunk(text: str) -> dict[str, object]:
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": text}}],
    }


async def test_headline_of_a_stalled_server() -> None:
    server = ScriptedServer(
        Reply.sse(chunk("Local man "), chunk("reads "), Stall())
    )
    async with trio.open_nursery() as nursery:
        await server.start(nursery, memory=True)
        before = server.statistics()
        async with server.client() as client:
            assert await headline(client) == "Local man reads ..."
        await server.wait_disconnect(since=before)
        assert (
            server.requests[0].json()["messages"][0]["content"]
            == "A headline, please."
        )
        nursery.cancel_scope.cancel()
    print(f"{trio.current_time():.0f} seconds have passed by trio's clock")


# With pytest-trio, pytest runs the test and passes the fixture `autojump_clock`.
trio.run(
    test_headline_of_a_stalled_server,
    clock=trio.testing.MockClock(autojump_threshold=0),
)
