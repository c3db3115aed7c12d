"""`stream(...)` returns a context manager with `snapshot`, `text`, `verdict` and `timings`.

They can be read before, inside and after the block, so a program can inspect them after a deadline around the block.
"""

from __future__ import annotations

import pytest
import trio
from net_helpers import CHAT, client_over, serve

from trio_openai import APIStatusError
from trio_openai.testing import Reply, Stall

pytestmark = pytest.mark.promise(n=3)

STALLS = Reply.sse({"choices": [{"index": 0, "delta": {"content": "Once upon"}}]}, Stall())
RESPONSE = {"model": "m", "input": "Hi"}


async def test_the_state_of_a_stream_can_be_read_before_its_block_is_entered(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat("Hi")))
    async with client:
        manager = client.chat.completions.stream(**CHAT)
        assert manager.snapshot.choices == []
        assert manager.text == ""
        assert manager.verdict.state == "open"
        assert manager.timings.headers is None
        async with manager as stream:
            await stream.until_done()
        assert manager.text == "Hi"


async def test_the_partial_answer_can_be_read_after_a_deadline_around_the_block(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, _ = client_over(await serve(nursery, STALLS))
    async with client:
        manager = client.chat.completions.stream(**CHAT)
        with trio.move_on_after(5) as scope:
            async with manager as stream:
                await stream.until_done()
        assert scope.cancelled_caught
        assert manager.text == "Once upon"
        assert manager.snapshot.choices[0].message.content == "Once upon"
        assert manager.verdict.state == "closed"
        assert manager.timings.first_event is not None


async def test_the_verdict_is_failed_if_the_request_failed(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.error(400, "no")))
    async with client:
        manager = client.chat.completions.stream(**CHAT)
        with pytest.raises(APIStatusError):
            await manager.__aenter__()
        assert manager.verdict.state == "failed"
        assert manager.text == ""


async def test_the_verdict_is_closed_if_entering_the_block_was_cancelled(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, _ = client_over(await serve(nursery, Reply.sse(Stall())))
    async with client:
        manager = client.chat.completions.stream(**CHAT)
        with trio.CancelScope() as scope:
            scope.cancel()
            async with manager:
                pass
        assert manager.verdict.state == "closed"


async def test_text_grows_with_the_stream_and_stays_after_its_end(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat("one two three")))
    async with client, client.chat.completions.stream(**CHAT) as stream:
        so_far = ""
        async for piece in stream.text_deltas:
            so_far += piece
            assert stream.text == so_far
        assert stream.text == "one two three"
    assert stream.text == "one two three"


async def test_text_of_a_response_stream_is_the_output_text(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.response("one two")))
    async with client:
        manager = client.responses.stream(**RESPONSE)
        async with manager as stream:
            await stream.until_done()
            assert stream.text == manager.text == stream.snapshot.output_text == "one two"


async def test_a_manager_cannot_be_entered_twice(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.chat("Hi")))
    async with client:
        manager = client.chat.completions.stream(**CHAT)
        async with manager:
            pass
        with pytest.raises(RuntimeError, match="has been entered already"):
            await manager.__aenter__()
