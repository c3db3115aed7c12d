# ruff: noqa: PT017 - what is looked at is an exception that is being handled
"""An error leaves the library without the library's frames; the program's own exceptions keep all of theirs."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import trio
from net_helpers import CHAT, client_over, outcome, serve

from trio_openai import APIError, TrioOpenAI
from trio_openai.testing import Cut, RecordedRequest, Reply, Reset

pytestmark = pytest.mark.promise(n=2)

PLAIN = Reply.chat("Hello there.", stream=False)
HELLO = Reply.chat("Hello there.")
ROLE = {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]}

Use = Callable[[TrioOpenAI], Awaitable[object]]


async def plain(client: TrioOpenAI) -> object:
    return await client.chat.completions.create(**CHAT)


async def block(client: TrioOpenAI) -> object:
    async with client.chat.completions.stream(**CHAT) as stream:
        return await stream.get_final_completion()


async def speech(client: TrioOpenAI) -> object:
    async with client.audio.speech.stream_bytes(model="m", voice="v", input="x") as stream:
        return await stream.read()


def lines_of(error: BaseException | None) -> list[str]:
    """Return every line of the tracebacks of an exception and its chain."""
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        lines += [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        error = error.__cause__ or error.__context__
    return lines


def broken() -> None:
    try:
        {}["missing"]
    except KeyError as error:
        raise ValueError("of the program") from error


FAILING = {
    "refused": (plain, Reply.error(400, "no")),
    "retried in vain": (plain, Reply.error(503, "busy")),
    "reset": (plain, Reset()),
    "not HTTP": (plain, Reply.raw(b"SSH-2.0\r\n")),
    "not JSON": (plain, Reply(200, body=b"?")),
    "a stream that is cut": (block, Reply.sse(ROLE, Cut())),
    "a stream that is not one": (block, Reply.sse("not json")),
    "bytes that are cut": (speech, Reply(200, body=b"x" * 100).cut_after(10)),
}


def replied(reply: Any) -> Reply:
    return PLAIN.reset_after(1) if isinstance(reply, Reset) else reply


@pytest.mark.parametrize(("use", "reply"), FAILING.values(), ids=FAILING.keys())
async def test_failure_does_not_change_the_exception_being_handled(
    nursery: trio.Nursery, autojump_clock: object, use: Use, reply: Any
) -> None:
    server = await serve(nursery, replied(reply))
    client, _ = client_over(server, max_retries=1)
    async with client:
        try:
            broken()
        except ValueError as mine:
            before = lines_of(mine)
            failure = await outcome(use, client)
            assert isinstance(failure, APIError)
            assert lines_of(mine) == before
            assert len(before) == 3
            again = await outcome(use, client)  # another library error is in the chain
            assert isinstance(again, APIError)
            assert lines_of(mine) == before


@pytest.mark.parametrize("use", [plain, block])
async def test_successful_retry_does_not_change_the_exception_being_handled(
    nursery: trio.Nursery, autojump_clock: object, use: Use
) -> None:
    good = HELLO if use is block else PLAIN
    server = await serve(nursery, [Reply.error(503, "busy"), HELLO.cut_after(3) if use is block else Reply.raw(), good])
    client, _ = client_over(server)
    async with client:
        try:
            broken()
        except ValueError as mine:
            before = lines_of(mine)
            await use(client)
            assert lines_of(mine) == before
    assert len(server.requests) == 3


async def test_error_of_an_earlier_call_keeps_its_traceback_while_it_is_handled(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.error(400, "no"))
    client, _ = client_over(server)
    async with client:
        try:
            await plain(client)
        except APIError as first:
            before = lines_of(first)
            assert "plain" in " ".join(before)
            second = await outcome(plain, client)
            assert second.__context__ is first
            assert lines_of(first) == before


async def test_api_call_during_cleanup_does_not_change_the_blocks_exception(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.error(400, "no"))
    client, _ = client_over(server)

    class Report:
        async def __aenter__(self) -> None:
            await trio.lowlevel.checkpoint()

        async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
            before = lines_of(error)
            assert isinstance(await outcome(plain, client), APIError)  # noqa: ASYNC102 - a block that a user may write
            assert lines_of(error) == before

    async with client:
        with pytest.raises(ValueError, match="of the program") as caught:
            async with Report():
                broken()
    assert "broken" in " ".join(lines_of(caught.value))


async def test_exception_kept_by_a_users_transport_is_not_changed(autojump_clock: object) -> None:
    try:
        raise httpx.ConnectError("kept")
    except httpx.ConnectError as error:
        kept = error
    before = lines_of(kept)

    def fail(request: httpx.Request) -> httpx.Response:
        raise kept

    http = httpx.AsyncClient(transport=httpx.MockTransport(fail))
    async with TrioOpenAI(api_key="k", http_client=http, max_retries=0) as client:
        assert isinstance(await outcome(plain, client), APIError)
    assert lines_of(kept)[-len(before) :] == before


@pytest.mark.parametrize(("use", "reply"), FAILING.values(), ids=FAILING.keys())
async def test_error_does_not_keep_library_frames_alive(
    nursery: trio.Nursery, autojump_clock: object, use: Use, reply: Any
) -> None:
    server = await serve(nursery, replied(reply))
    client, _ = client_over(server, max_retries=1)
    async with client:
        try:
            broken()
        except ValueError:
            failure = await outcome(use, client)
    assert isinstance(failure, APIError)
    assert "broken" in frames_of(failure), "the program's own exception is still in the chain"
    assert frames_of(failure).isdisjoint(("_talk", "_answered", "_read_head", "receive", "_read_all", "_send"))


def frames_of(error: BaseException) -> set[str]:
    pending: list[BaseException | None] = [error]
    names: set[str] = set()
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            names |= {frame.name for frame in traceback.extract_tb(one.__traceback__)}
            pending += [one.__cause__, one.__context__]
    return names


async def test_api_call_in_a_tool_does_not_change_the_exception_it_handles(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    def script(request: RecordedRequest) -> Reply:
        return Reply.error(400, "no") if not request.json().get("stream") else HELLO

    server = await serve(nursery, script)
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        async for _ in stream:
            try:
                broken()
            except ValueError as mine:
                before = lines_of(mine)
                assert isinstance(await outcome(plain, client), APIError)
                assert lines_of(mine) == before
