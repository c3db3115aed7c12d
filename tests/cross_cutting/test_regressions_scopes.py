"""Scopes, clocks and connections of other clients that went wrong, through the public API."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import pytest
import trio
from body_helpers import (
    CHAT_DONE,
    COMPLETED,
    CREATED,
    DONE,
    HEADERS,
    HELLO,
    HI,
    STOP,
    YOU,
    listen,
    manager,
    served,
)
from disconnect_helpers import FROM_START

from trio_openai import (
    APIError,
    APITimeoutError,
    BadRequestError,
    Deadlines,
    InternalServerError,
    NotFoundError,
    StreamTruncatedError,
    UnprocessableEntityError,
)
from trio_openai.testing import Pause, Reply, ScriptedServer, Stall

# ------------------------------------------------------------------------------------------ scopes, clocks, connections


async def test_ping_comments_do_not_hold_a_dead_stream_open(autojump_clock: trio.abc.Clock) -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI, *(step for _ in range(100) for step in (Pause(1), b": ping\n\n")), Stall())
        async with server.client(timeout=Deadlines(idle=5), max_retries=0) as client:
            started = trio.current_time()
            with pytest.raises(APITimeoutError) as info:
                async with manager(client, False, {}) as stream:
                    await stream.until_done()
        assert info.value.phase == "idle"
        assert info.value.partial.choices[0].message.content == "Hi"
        assert isinstance(info.value, TimeoutError)
        assert trio.current_time() - started == pytest.approx(5)
        await server.wait_disconnect(since=FROM_START)
        await server.aclose()


@pytest.mark.promise(n=1)
@pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])
async def test_break_closes_the_connection_at_once(memory: bool) -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI, YOU, Stall(), memory=memory)
        async with server.client() as client:
            async with manager(client, False, {}) as stream:
                async for _ in stream:
                    break
            assert str(stream.verdict) == "closed"
            assert stream.snapshot.choices[0].message.content == "Hi"
            with trio.fail_after(5):
                await server.wait_disconnect(since=FROM_START)
                await server.wait_closed()
        await server.aclose()


async def test_a_stream_without_a_block_is_closed_by_aclose() -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI, YOU, Stall())
        async with server.client() as client:
            stream = await client.chat.completions.create(model="m", messages=[], stream=True)
            async for _ in stream:
                break
            await stream.aclose()
            with trio.fail_after(5):
                await server.wait_closed()
            with pytest.raises(trio.ClosedResourceError):
                await anext(stream)
        await server.aclose()


@pytest.mark.promise(n=1)
@pytest.mark.parametrize("responses", [False, True], ids=["chat", "responses"])
async def test_a_stream_read_to_its_end_leaves_no_resource_warning(responses: bool) -> None:
    body = [CREATED, HELLO, COMPLETED, DONE] if responses else [HI, STOP, DONE]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with trio.open_nursery() as nursery:
            server = await served(nursery, *body, memory=False)
            async with server.client() as client:
                heard = await listen(client, responses, False, {})
            await server.aclose()
        gc.collect()
    assert heard.error is None
    assert seen == []


@pytest.mark.promise(n=1)
async def test_a_stream_left_early_leaves_no_resource_warning() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        async with trio.open_nursery() as nursery:
            server = await served(nursery, HI, YOU, Stall(), memory=False)
            async with server.client() as client, manager(client, False, {}) as stream:
                async for _ in stream:
                    break
            del stream
            await server.aclose()
        gc.collect()
    assert seen == []


@pytest.mark.promise(n=7)
async def test_every_step_is_a_checkpoint_even_between_buffered_events() -> None:
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI * 1000 + STOP + DONE)
        async with server.client() as client, manager(client, False, {}) as stream:
            seen = 0
            with trio.CancelScope() as scope:
                async for _ in stream:
                    seen += 1
                    if seen == 10:
                        scope.cancel()
            assert scope.cancelled_caught
            assert seen == 10
            async for _ in stream:  # the cancelled step lost no event
                seen += 1
            assert seen == 1001
            assert stream.snapshot.choices[0].message.content == "Hi" * 1000
        await server.aclose()


@pytest.mark.promise(n=7)
async def test_other_tasks_run_during_a_burst() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI * 20_000 + STOP + DONE)
        async with server.client() as client, manager(client, False, {}) as stream:
            await anext(stream)
            nursery.start_soon(take_turns)
            await stream.until_done()
            assert turns > 10  # 20,000 events take about 100 ms, and a burst may block the scheduler for 1 ms
        nursery.cancel_scope.cancel()


async def test_a_body_that_stays_open_after_done_blocks_nobody(autojump_clock: trio.abc.Clock) -> None:
    for responses, body in ((False, [HI, STOP, DONE]), (True, [CREATED, HELLO, COMPLETED])):
        async with trio.open_nursery() as nursery:
            server = await served(nursery, *body, Stall())
            async with server.client() as client:
                started = trio.current_time()
                heard = await listen(client, responses, False, {})
                assert heard.error is None
                assert heard.verdict.startswith("done")
                assert trio.current_time() == started
            with trio.fail_after(5):
                await server.wait_closed()
            await server.aclose()


async def test_slow_headers_have_a_deadline_phase(autojump_clock: trio.abc.Clock) -> None:
    """Check the `headers` deadline: a queued llama.cpp request sends no byte, not even headers, for seconds."""
    async with trio.open_nursery() as nursery:
        server = await served(nursery, HI, STOP, DONE, delay=20)
        patient = Deadlines(headers=30, first_event=1, first_content=1, idle=1)
        async with server.client(max_retries=0) as client:
            heard = await listen(client, False, False, {"timeout": patient})
            assert heard.verdict == CHAT_DONE
            with pytest.raises(APITimeoutError) as info:
                await listen(client, False, False, {"timeout": Deadlines(headers=10, idle=60)})
        assert info.value.phase == "headers"
        await server.aclose()


async def test_a_missing_request_id_is_none() -> None:
    async with trio.open_nursery() as nursery:
        server = ScriptedServer(Reply(headers={"content-type": "text/event-stream"}, body=[HI]))
        await server.start(nursery, memory=True)
        async with server.client(max_retries=0) as client, manager(client, False, {}) as stream:
            assert stream.request_id is None
            with pytest.raises(StreamTruncatedError) as info:
                await stream.until_done()
            assert info.value.request_id is None
        await server.aclose()


STATUS_ERRORS: dict[str, tuple[int, bytes, type[APIError], str, Any]] = {
    "an integer error code": (
        400,
        b'{"error":{"code":400,"message":"bad prompt"}}',
        BadRequestError,
        "HTTP 400: bad prompt",
        400,
    ),
    "an error that is a string": (404, b'{"error":"no such model"}', NotFoundError, "HTTP 404: no such model", None),
    "a detail": (422, b'{"detail":"n is too big"}', UnprocessableEntityError, "HTTP 422: n is too big", None),
    "an empty-bodied 500": (500, b"", InternalServerError, "HTTP 500: the server gave no reason", None),
    "a page": (
        502,
        b"<html><title>502 Bad Gateway</title></html>",
        InternalServerError,
        "HTTP 502: 502 Bad Gateway",
        None,
    ),
}


@pytest.mark.parametrize(
    ("status", "body", "error", "message", "code"), STATUS_ERRORS.values(), ids=STATUS_ERRORS.keys()
)
async def test_an_error_status_raises_its_class_with_the_servers_message(
    status: int, body: bytes, error: type[APIError], message: str, code: Any
) -> None:
    async with trio.open_nursery() as nursery:
        server = ScriptedServer(Reply(status, HEADERS, body, "length"))
        await server.start(nursery, memory=True)
        async with server.client(max_retries=0) as client:
            for responses in (False, True):
                with pytest.raises(error) as info:
                    await listen(client, responses, False, {})
                assert (info.value.message, info.value.code) == (message, code)
                assert info.value.request_id == "req_1"
        await server.wait_closed()
        await server.aclose()
