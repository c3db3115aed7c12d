"""Scripts of the server: a list that runs out fails the test, and no client can hide it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing

from trio_openai import APIStatusError, TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer, Stall

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    """Return the exceptions in a group and its groups."""
    nested = [leaves(error) if isinstance(error, BaseExceptionGroup) else [error] for error in group.exceptions]
    return [error for errors in nested for error in errors]


@asynccontextmanager
async def fails() -> AsyncIterator[list[str]]:
    """Expect the block to fail with one `AssertionError`. Its message is in the list afterwards."""
    messages: list[str] = []
    with trio.fail_after(5):  # noqa: ASYNC100 - the block of the test has the checkpoints
        try:
            yield messages
        except* AssertionError as errors:
            (error,) = leaves(errors)
            messages.append(str(error))
        except* APIStatusError as errors:  # the client may get its answer before the server ends
            messages.extend(str(error) for error in leaves(errors) if "The script has ended" not in str(error))
    assert messages, "the script has ended, but nothing failed"


async def serve(body: Callable[[ScriptedServer, TrioOpenAI], Awaitable[object]], *replies: Reply) -> ScriptedServer:
    """Run a body with a server and a client, then end the server, as a test does."""
    server = ScriptedServer(replies)
    async with trio.open_nursery() as nursery:
        await server.start(nursery, memory=True)
        async with server.client() as client:
            await body(server, client)
        nursery.cancel_scope.cancel()
    return server


async def ask_twice(server: ScriptedServer, client: TrioOpenAI) -> None:
    for _ in range(2):
        with suppress(APIStatusError):
            await client.chat.completions.create(**CHAT)


async def test_request_after_the_last_reply_fails_the_test_even_if_the_error_is_caught():
    async with fails() as messages:
        await serve(ask_twice, Reply.chat("one"))
    (message,) = messages
    lines = message.splitlines()
    assert lines[0] == "the script of this server has 1 reply, but 2 requests came:"
    assert lines[1:3] == [
        "  1. POST /v1/chat/completions",
        "  2. POST /v1/chat/completions (no reply was left)",
    ]
    assert "max_retries=0" in lines[3]


async def test_request_after_the_last_reply_is_not_retried():
    servers: list[ScriptedServer] = []

    async def ask(server: ScriptedServer, client: TrioOpenAI) -> None:
        servers.append(server)
        await client.with_options(max_retries=5).chat.completions.create(**CHAT)

    async with fails():
        await serve(ask)
    assert len(servers[0].requests) == 1


async def test_many_requests_after_the_last_reply_are_one_error():
    async def ask(server: ScriptedServer, client: TrioOpenAI) -> None:
        async with client.run_many(client.chat.completions.call(**CHAT) for _ in range(10)) as results:
            async for result in results:
                assert result.error is None or isinstance(result.error, APIStatusError)

    async with fails() as messages:
        await serve(ask, *[Reply.chat("one")] * 3)
    assert "has 3 replies, but " in messages[0]
    assert messages[0].count("(no reply was left)") >= 1


async def test_retry_that_finds_no_reply_is_named():
    async def ask(server: ScriptedServer, client: TrioOpenAI) -> None:
        await client.with_options(max_retries=1).chat.completions.create(**CHAT)

    async with fails() as messages:
        await serve(ask, Reply.error(500, "Oops", headers={"retry-after-ms": "1"}))
    assert "has 1 reply, but 2 requests came" in messages[0]


async def test_script_that_is_just_long_enough_fails_nothing():
    server = await serve(ask_twice, Reply.chat("one"), Reply.chat("two"))
    assert len(server.requests) == 2


async def test_requests_are_listed_up_to_a_bound():
    async def ask(server: ScriptedServer, client: TrioOpenAI) -> None:
        for _ in range(101):
            await client.chat.completions.create(**CHAT)

    async with fails() as messages:
        await serve(ask, *[Reply.chat("one")] * 100)
    lines = messages[0].splitlines()
    assert lines[1:3] == ["  ...", "  52. POST /v1/chat/completions"]
    assert len(lines) == 53


@pytest.mark.parametrize("script", ["text", b"bytes", {"a": 1}, 7, None])
def test_other_things_are_no_script(script: Any):
    with pytest.raises(TypeError, match="takes a Reply"):
        ScriptedServer(script)


async def test_wait_disconnect_ignores_earlier_disconnects(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
):
    server = ScriptedServer(Reply(body=[Stall()]))
    await server.start(nursery, memory=True)
    before = server.statistics()
    for number in (1, 2):
        stream = await server.open_stream()
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        await server.wait_requests(number)
        await stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert server.statistics().disconnects == number
        with trio.move_on_after(60) as scope:
            await server.wait_disconnect()
        assert scope.cancelled_caught
        with trio.fail_after(5):
            await server.wait_disconnect(number, since=before)
