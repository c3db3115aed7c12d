"""Fan-out: the task that reads a stream also delivers its events to the subscribers, in order.

Each subscriber has a bounded buffer and an `overflow` policy that says what happens when this buffer is full.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from net_helpers import CHAT, client_over, serve

from trio_openai import APIError, ChatCompletionStream, StreamTruncatedError, Subscription, TrioOpenAI
from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.chat.snapshot import ChatSnapshot
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai._stream.fanout import Hub
from trio_openai.testing import Cut, Reply, Stall
from trio_openai.types import ChatCompletionChunk

WORDS = [f"word{number} " for number in range(20)]
TEXT = "".join(WORDS)


def chunk(content: str | None = None, *, index: int = 0, **more: Any) -> dict[str, Any]:
    delta = {"content": content} if content is not None else {}
    return {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": None, **more}]}


LONG = Reply.sse(*(chunk(word) for word in WORDS), chunk(finish_reason="stop"))


async def collect(events: AsyncIterator[Any]) -> list[Any]:
    return [event async for event in events]


def text_of(events: list[ChatCompletionChunk]) -> str:
    return "".join(event.choices[0].delta.content or "" for event in events if event.choices)


async def opened(nursery: trio.Nursery, reply: Reply) -> tuple[TrioOpenAI, ChatCompletionStream]:
    client, _ = client_over(await serve(nursery, reply), max_retries=0)
    return client, await client.chat.completions.create(**CHAT, stream=True)


@pytest.mark.promise(n=5)
async def test_every_subscriber_gets_every_event_in_order(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, stream = await opened(nursery, LONG)
    results: dict[int, list[Any]] = {}

    async def read(number: int, subscription: Subscription[ChatCompletionChunk]) -> None:
        results[number] = await collect(subscription)

    async with client, stream, trio.open_nursery() as readers:
        for number, buffer in enumerate((0, 1, 5, 100)):
            readers.start_soon(read, number, stream.subscribe(buffer))
        mine = await collect(stream)
    assert text_of(mine) == TEXT
    assert [results[number] for number in range(4)] == [mine] * 4
    assert all(a is b for a, b in zip(mine, results[0], strict=True)), "every subscriber gets the same objects"


@pytest.mark.promise(n=6)
async def test_a_full_subscriber_with_overflow_wait_slows_down_the_reader(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, stream = await opened(nursery, LONG)
    async with client, stream:
        subscription = stream.subscribe(buffer=2)
        seen: list[Any] = []

        async def read() -> None:
            async for event in stream:
                seen.append(event)

        async with trio.open_nursery() as readers:
            readers.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            assert len(seen) == 2, "the reader has two events and waits for the subscriber to take the third"
            assert subscription.statistics().buffered == 2
            assert subscription.statistics().waits == 1
            await subscription.receive()
            await trio.testing.wait_all_tasks_blocked()
            assert len(seen) == 3
            subscription.close()
        assert text_of(seen) == TEXT
        assert stream.verdict.state == "done"


async def test_cancelling_the_reader_during_a_delivery_loses_no_event(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, stream = await opened(nursery, LONG)
    mine: list[Any] = []
    theirs: list[Any] = []
    async with client, stream:
        slow, quick = stream.subscribe(), stream.subscribe(buffer=100)

        async def read_slowly() -> None:
            await trio.sleep(1)
            async for event in slow:
                theirs.append(event)
                await trio.sleep(0.01)

        async with trio.open_nursery() as readers:
            readers.start_soon(read_slowly)
            while True:
                with trio.move_on_after(0.003):
                    try:
                        mine.append(await anext(stream))
                    except StopAsyncIteration:
                        break
    assert text_of(mine) == TEXT
    assert theirs == mine == await collect(quick)


@pytest.mark.parametrize(("overflow", "left"), [("drop_oldest", WORDS[-3:]), ("drop_newest", WORDS[:3])])
async def test_full_buffers_drop_the_oldest_or_newest_events(
    nursery: trio.Nursery, autojump_clock: object, overflow: Any, left: list[str]
) -> None:
    client, stream = await opened(nursery, Reply.sse(*map(chunk, WORDS)))
    async with client, stream:
        subscription = stream.subscribe(3, overflow)
        assert text_of(await collect(stream)) == TEXT
        assert text_of(await collect(subscription)) == "".join(left)
        assert subscription.statistics().dropped == len(WORDS) - 3
        assert subscription.statistics().received == 3


async def test_overflow_fail_breaks_only_the_subscription_that_is_full(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, stream = await opened(nursery, LONG)
    async with client, stream:
        bad, good = stream.subscribe(2, "fail"), stream.subscribe(100)
        mine = await collect(stream)
        assert await collect(good) == mine
        got = [await bad.receive(), await bad.receive()]
        assert got == mine[:2]
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError, match="buffer of 2 events was full") as caught:
                await bad.receive()
            assert caught.value.__cause__ is None


async def test_coalescing_delivers_the_first_delta_at_once_and_loses_no_text(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, stream = await opened(nursery, LONG)
    async with client, stream:
        subscription = stream.subscribe(4, "coalesce")
        first = await anext(stream)
        assert await subscription.receive() is first
        async for _ in stream:
            pass
        merged, last = await collect(subscription)
        assert merged.choices[0].delta.content == TEXT.removeprefix(WORDS[0])
        assert last.choices[0].finish_reason == "stop"
        assert subscription.statistics().merged == len(WORDS) - 2


async def test_coalescing_waits_if_the_buffer_is_full_of_events_that_cannot_be_merged(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    events = [chunk(word, index=number % 2) for number, word in enumerate(WORDS)]
    client, stream = await opened(nursery, Reply.sse(*events))
    async with client, stream:
        subscription = stream.subscribe(4, "coalesce")
        with trio.move_on_after(1):
            await stream.until_done()
        assert subscription.statistics().buffered == 4
        async with trio.open_nursery() as readers:
            readers.start_soon(stream.until_done)
            assert text_of(await collect(subscription)) == TEXT


async def test_a_subscription_of_a_truncated_stream_ends_with_its_error(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, stream = await opened(nursery, Reply.sse(*map(chunk, WORDS), Cut()))
    async with client, stream:
        subscription = stream.subscribe(100)
        with pytest.raises(StreamTruncatedError) as caught:
            await stream.until_done()
        for _ in WORDS:
            await subscription.receive()
        with pytest.raises(trio.BrokenResourceError) as broken:
            await subscription.receive()
        assert broken.value.__cause__ is caught.value
        late = stream.subscribe()
        with pytest.raises(trio.BrokenResourceError):
            await late.receive()


async def test_closing_the_stream_early_breaks_its_subscriptions(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, stream = await opened(nursery, Reply.sse(chunk("a"), Stall()))
    async with client:
        subscription = stream.subscribe(5)
        async for _ in stream:
            break
        await stream.aclose()
        assert text_of([await subscription.receive()]) == "a"
        with pytest.raises(trio.BrokenResourceError, match="closed before its end"):
            await subscription.receive()
        await subscription.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await subscription.receive()


async def test_closing_the_stream_wakes_a_reader_that_waits_for_a_subscriber(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, stream = await opened(nursery, LONG)
    async with client:
        stream.subscribe()

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await stream.until_done()

        async with trio.open_nursery() as readers:
            readers.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
        assert client.statistics().open_streams == 0


async def test_a_late_subscriber_can_replay_every_event(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, stream = await opened(nursery, LONG)
    async with client, stream:
        mine = [await anext(stream) for _ in range(7)]
        late = stream.subscribe(replay=True)
        without = stream.subscribe(100)
        async with trio.open_nursery() as readers:

            async def read() -> None:
                mine.extend(await collect(stream))

            readers.start_soon(read)
            replayed = await collect(late)
        assert replayed == mine
        assert await collect(without) == mine[7:]
        assert await collect(stream.subscribe(replay=True)) == mine


async def test_a_replay_is_refused_after_64_kib_unless_one_was_requested_before(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    big = [chunk("x" * 10_000) for _ in range(20)]
    client, stream = await opened(nursery, Reply.sse(*big))
    async with client, stream:
        await anext(stream)
        early = stream.subscribe(100, replay=True)
        await stream.until_done()
        assert len(await collect(early)) == 20
        assert len(await collect(stream.subscribe(replay=True))) == 20, (
            "the replay buffer is kept because a replay was requested in time"
        )
        other = await client.chat.completions.create(**CHAT, stream=True)
        await other.until_done()
        with pytest.raises(RuntimeError, match="64 KiB"):
            other.subscribe(replay=True)
        await other.aclose()


async def test_invalid_subscription_arguments_are_refused(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, stream = await opened(nursery, LONG)
    async with client, stream:
        for bad in ({"overflow": "drop"}, {"buffer": -1}, {"buffer": 1.5}, {"buffer": None}):
            with pytest.raises(ValueError, match=next(iter(bad))):
                stream.subscribe(**bad)  # type: ignore[arg-type]
        await stream.until_done()


# -------------------------------------------------------------------------------------------- merging deltas

KINDS = st.sampled_from(["content", "refusal", "reasoning_content", "arguments", "call", "finish", "usage"])


def event_of(kind: str, index: int, text: str) -> dict[str, Any]:
    if kind == "usage":
        return {"id": "c", "choices": [], "usage": {"total_tokens": len(text) + 1}}
    if kind == "finish":
        return chunk(index=index, finish_reason="stop")
    if kind in ("arguments", "call"):
        named = {"id": f"call_{text}", "type": "function"} if kind == "call" else {}
        function = {"arguments": text, **({"name": "f"} if kind == "call" else {})}
        delta = {"tool_calls": [{"index": index % 2, **named, "function": function}]}
    else:
        delta = {kind: text}
    return {"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": None}]}


@pytest.mark.promise(n=5)
@given(
    st.lists(st.tuples(KINDS, st.integers(0, 2), st.text(max_size=3), st.booleans()), max_size=40),
    st.integers(0, 3),
)
def test_coalesced_events_give_the_same_snapshot(script: list[tuple[str, int, str, bool]], buffer: int) -> None:
    """Merged events give the same snapshot for every buffer size and every moment at which the subscriber receives."""
    protocol = ChatProtocol()
    plain, merged = ChatSnapshot(), ChatSnapshot()

    async def deliver() -> None:
        hub: Hub[ChatCompletionChunk] = Hub(protocol)
        subscription = hub.subscribe(buffer, "coalesce", [])
        taken: list[ChatCompletionChunk] = []

        async def take() -> None:
            taken.append(await subscription.receive())

        for kind, index, text, take_one in script:
            event = protocol.event(event_of(kind, index, text), "")
            plain.add([event])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hub.deliver, event)
                await trio.testing.wait_all_tasks_blocked()
                while hub.is_delivering or (take_one and subscription.statistics().buffered):
                    await take()
                    await trio.testing.wait_all_tasks_blocked()
        hub.end(True, None)
        taken += [event async for event in subscription]
        merged.add(taken)

    trio.run(deliver)
    assert merged.snapshot() == plain.snapshot()


def test_a_delta_with_unknown_fields_is_not_merged() -> None:
    """Merging keeps only the fields of the last event, so the unknown fields of earlier events would be lost."""
    protocol = ResponseProtocol()
    plain = {"type": "response.output_text.delta", "delta": "a", "obfuscation": "x", "sequence_number": 1}
    assert protocol.delta_of(protocol.event(plain, "")) is not None
    assert protocol.delta_of(protocol.event({**plain, "citations": ["u"]}, "")) is None


def test_response_deltas_are_merged_only_within_one_content_part() -> None:
    protocol = ResponseProtocol()

    def delta(text: str, number: int, **more: Any) -> Any:
        place = {"item_id": "i", "output_index": 0, "content_index": 0, "sequence_number": number, **more}
        return protocol.event({"type": "response.output_text.delta", "delta": text, "logprobs": [], **place}, "")

    first, second, other = delta("a", 1), delta("b", 2), delta("c", 3, content_index=1)
    assert protocol.delta_of(first) is not None
    assert protocol.delta_of(first)[0] == protocol.delta_of(second)[0] != protocol.delta_of(other)[0]  # type: ignore[index]
    merged = protocol.with_delta(second, "ab")
    assert (merged.delta, merged.sequence_number) == ("ab", 2)
    assert protocol.delta_of(protocol.event({"type": "response.created", "response": {"id": "r"}}, "")) is None
    assert protocol.delta_of(delta("a", 1, logprobs=[{"token": "a"}])) is None


async def test_the_same_error_reaches_the_reader_and_every_subscriber(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, stream = await opened(nursery, Reply.sse(chunk("a"), {"error": {"message": "no"}}))
    causes: list[BaseException | None] = []

    async def read(subscription: Subscription[ChatCompletionChunk]) -> None:
        try:
            await collect(subscription)
        except trio.BrokenResourceError as error:
            causes.append(error.__cause__)

    async with client, stream, trio.open_nursery() as readers:
        for _ in range(3):
            readers.start_soon(read, stream.subscribe())
        with pytest.raises(APIError, match="no") as caught:
            await stream.until_done()
    assert causes == [caught.value] * 3
