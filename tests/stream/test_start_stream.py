"""`start_stream`: a task in the caller's nursery reads the stream into a bounded buffer. Also `settle`."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from disconnect_helpers import FROM_START
from net_helpers import CHAT, client_over, serve

from trio_openai import BadRequestError, StreamTruncatedError
from trio_openai.testing import Cut, Pause, Reply, Stall

WORDS = [f"word{number} " for number in range(20)]
TEXT = "".join(WORDS)


def chunk(content: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {"content": content} if content is not None else {}
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None, **more}]}


LONG = Reply.sse(*map(chunk, WORDS), chunk(finish_reason="stop"))
PACED = Reply.sse(*(step for word in WORDS for step in (Pause(1), chunk(word))), chunk(finish_reason="stop"))
CUT = Reply.sse(*map(chunk, WORDS), Cut())


async def test_start_stream_reads_in_the_background(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, PACED)
    client, _ = client_over(server)
    async with client, trio.open_nursery() as streams:
        stream = await client.chat.completions.start_stream(streams, **CHAT)
        await trio.sleep(30)
        assert stream.verdict.state == "done"
        assert stream.snapshot.choices[0].message.content == TEXT
        assert [text async for text in stream.text_deltas] == WORDS
        assert client.statistics().open_streams == 0


@pytest.mark.promise(n=6)
async def test_the_background_task_waits_if_its_buffer_is_full(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, LONG)
    client, _ = client_over(server)
    async with client, trio.open_nursery() as streams:
        stream = await client.chat.completions.start_stream(streams, **CHAT, buffer=3)
        await trio.testing.wait_all_tasks_blocked()
        assert stream.snapshot.choices[0].message.content == "".join(WORDS[:4]), (
            "three events are in the buffer and the task holds one more"
        )
        assert len([event async for event in stream]) == len(WORDS) + 1


async def test_one_nursery_can_hold_several_streams(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, LONG)
    client, transport = client_over(server)
    async with client, trio.open_nursery() as streams:
        opened = [await client.chat.completions.start_stream(streams, **CHAT) for _ in range(5)]
        for stream in opened:
            assert (await stream.get_final_completion()).choices[0].message.content == TEXT
    assert transport.statistics().active == 0


@pytest.mark.promise(n=1)
async def test_cancelling_the_nursery_closes_the_stream_at_once(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(chunk("a"), Stall()))
    client, transport = client_over(server)
    async with client:
        async with trio.open_nursery() as streams:
            stream = await client.chat.completions.start_stream(streams, **CHAT)
            assert (await anext(stream)).choices[0].delta.content == "a"
            streams.cancel_scope.cancel()
        assert transport.statistics().active == 0
        await server.wait_disconnect(since=FROM_START)
        assert stream.verdict.state == "closed"
        assert stream.snapshot.choices[0].message.content == "a"
        with pytest.raises(trio.ClosedResourceError):
            await anext(stream)


async def test_cancelling_the_nursery_ends_a_consumer_in_another_nursery(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.sse(chunk("a"), Stall()))
    client, _ = client_over(server)
    got: list[object] = []

    async def consume(stream: Any) -> None:
        with pytest.raises(trio.ClosedResourceError):
            async for event in stream:
                got.append(event)

    async with client, trio.open_nursery() as consumers:
        async with trio.open_nursery() as streams:
            stream = await client.chat.completions.start_stream(streams, **CHAT)
            consumers.start_soon(consume, stream)
            await trio.testing.wait_all_tasks_blocked()
            streams.cancel_scope.cancel()
    assert len(got) == 1


@pytest.mark.parametrize("buffer", [0, 64])
async def test_aclose_from_any_task_ends_the_background_task_and_wakes_the_consumer(
    nursery: trio.Nursery, autojump_clock: object, buffer: int
) -> None:
    for reply in (Reply.sse(chunk("a"), Stall()), LONG):
        server = await serve(nursery, reply)
        client, transport = client_over(server)

        async def consume(stream: Any) -> None:
            with pytest.raises(trio.ClosedResourceError):
                while True:
                    await anext(stream)
                    await trio.sleep(1)

        async with client, trio.open_nursery() as streams:
            stream = await client.chat.completions.start_stream(streams, **CHAT, buffer=buffer)
            streams.start_soon(consume, stream)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
            assert transport.statistics().active == 0
            await stream.aclose()


async def test_an_error_is_raised_to_the_consumer(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, CUT)
    client, transport = client_over(server)
    async with client, trio.open_nursery() as streams:
        stream = await client.chat.completions.start_stream(streams, **CHAT, buffer=2)
        texts: list[str] = []
        with pytest.raises(StreamTruncatedError) as caught:
            async for text in stream.text_deltas:
                texts.append(text)
        assert texts == WORDS
        assert caught.value.partial.choices[0].message.content == TEXT
        assert caught.value.request_id
        with pytest.raises(StreamTruncatedError):
            await anext(stream)
    assert transport.statistics().active == 0


async def test_an_error_is_raised_to_the_subscribers(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, CUT)
    client, _ = client_over(server)
    async with client, trio.open_nursery() as streams:
        stream = await client.chat.completions.start_stream(streams, **CHAT, buffer=2)
        subscription = stream.subscribe(3)
        got = []
        with pytest.raises(trio.BrokenResourceError) as caught:
            async for event in subscription:
                got.append(event)
        assert len(got) == len(WORDS)
        assert isinstance(caught.value.__cause__, StreamTruncatedError)


@pytest.mark.promise(n=2)
async def test_an_error_without_a_consumer_is_raised_from_the_nursery(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, CUT)
    client, transport = client_over(server)
    async with client:
        with pytest.RaisesGroup(StreamTruncatedError):
            async with trio.open_nursery() as streams:
                await client.chat.completions.start_stream(streams, **CHAT)
                await trio.sleep_forever()
        assert transport.statistics().active == 0


async def test_an_error_before_the_stream_begins_is_raised_from_the_call_without_a_group(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply.error(400, "no"))
    client, _ = client_over(server)
    async with client, trio.open_nursery() as streams:
        with pytest.raises(BadRequestError):
            await client.chat.completions.start_stream(streams, **CHAT)


async def test_subscribers_are_not_blocked_by_a_full_buffer_without_a_consumer(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, LONG)
    client, _ = client_over(server)
    async with client, trio.open_nursery() as streams:
        for late in (False, True):
            stream = await client.chat.completions.start_stream(streams, **CHAT, buffer=2)
            if late:
                await trio.testing.wait_all_tasks_blocked()  # now the background task waits for room in the buffer
            subscription = stream.subscribe(replay=True)
            assert len([event async for event in subscription]) == len(WORDS) + 1
            with pytest.raises(RuntimeError, match="only its subscribers"):
                await anext(stream)
            assert (await stream.get_final_completion()).choices[0].message.content == TEXT


async def test_a_second_consumer_gets_busy_resource_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(Stall()))
    client, _ = client_over(server)
    async with client, trio.open_nursery() as streams:
        stream = await client.chat.completions.start_stream(streams, **CHAT)
        streams.start_soon(stream.until_done)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await anext(stream)
        streams.cancel_scope.cancel()


async def test_a_closed_nursery_is_refused_and_no_connection_leaks(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, LONG)
    client, transport = client_over(server)
    async with client:
        async with trio.open_nursery() as streams:
            pass
        with pytest.raises(RuntimeError):
            await client.chat.completions.start_stream(streams, **CHAT)
        assert transport.statistics().active == 0
        with pytest.raises(ValueError, match="buffer"):
            await client.chat.completions.start_stream(streams, **CHAT, buffer=-1)


async def test_start_stream_works_for_responses(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.response("Hello there."))
    client, _ = client_over(server)
    async with client, trio.open_nursery() as streams:
        stream = await client.responses.start_stream(streams, model="m", input="Hi")
        assert "".join([text async for text in stream.text_deltas]) == "Hello there."
        assert (await stream.get_final_response()).status == "completed"


# ------------------------------------------------------------------------------------------------------ settle


USAGE = {"id": "c", "choices": [], "usage": {"total_tokens": 9, "prompt_tokens": 4, "completion_tokens": 5}}
SETTLING = Reply.sse(chunk("a"), chunk("b"), Pause(1), chunk("c", finish_reason="stop"), USAGE)


@pytest.mark.parametrize("door", ["create", "start_stream"])
async def test_settle_reads_the_usage_and_delivers_no_event(
    nursery: trio.Nursery, autojump_clock: object, door: str
) -> None:
    server = await serve(nursery, SETTLING)
    client, transport = client_over(server)
    async with client, trio.open_nursery() as streams:
        if door == "create":
            stream = await client.chat.completions.create(**CHAT, stream=True)
        else:
            stream = await client.chat.completions.start_stream(streams, **CHAT)
        subscription = stream.subscribe(10)
        await anext(stream)
        await stream.settle(5)
        assert stream.verdict.state == "done"
        assert stream.snapshot.usage is not None
        assert stream.snapshot.usage.total_tokens == 9
        assert stream.snapshot.choices[0].message.content == "abc"
        assert subscription.statistics().buffered <= 2
        assert transport.statistics().active == 0
        assert transport.statistics().idle == 1, "a stream that was read to its end returns its connection to the pool"


@pytest.mark.parametrize("door", ["create", "start_stream"])
async def test_settle_closes_the_stream_after_its_time_limit(
    nursery: trio.Nursery, autojump_clock: object, door: str
) -> None:
    server = await serve(nursery, Reply.sse(chunk("a"), Stall()))
    client, transport = client_over(server)
    async with client, trio.open_nursery() as streams:
        if door == "create":
            stream = await client.chat.completions.create(**CHAT, stream=True)
        else:
            stream = await client.chat.completions.start_stream(streams, **CHAT)
        await anext(stream)
        began = trio.current_time()
        await stream.settle(5)
        assert trio.current_time() - began == 5
        assert stream.verdict.state == "closed"
        assert transport.statistics().active == 0
        with pytest.raises(trio.ClosedResourceError):
            await anext(stream)


async def test_settle_neither_retries_nor_raises(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(Pause(1), Cut()))
    client, _ = client_over(server)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        await stream.settle(5)
        assert stream.verdict.state == "truncated"
        assert len(server.requests) == 1


async def test_settle_is_refused_while_another_task_reads(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, SETTLING)
    client, _ = client_over(server)
    async with client, trio.open_nursery() as readers:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        readers.start_soon(stream.until_done)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError, match="cancel it"):
            await stream.settle(5)


async def test_a_cancelled_settle_closes_the_stream(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(chunk("a"), Stall()))
    client, transport = client_over(server)
    async with client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        with trio.move_on_after(1):
            await stream.settle(5)
        assert stream.verdict.state == "closed"
        assert transport.statistics().active == 0
