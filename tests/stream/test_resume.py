"""Resuming a background response: each event is delivered once, even if the server repeats or omits events."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from net_helpers import client_over, serve
from resume_helpers import ALL, ASK, WORDS, server_that_breaks

from trio_openai import (
    APIConnectionError,
    APIResponseValidationError,
    APITimeoutError,
    Deadlines,
    NotFoundError,
    StreamTruncatedError,
    TrioOpenAI,
)
from trio_openai.testing import Cut, RecordedRequest, Reply, Reset, Stall

pytestmark = pytest.mark.promise(n=5)


async def read(client: TrioOpenAI, **options: Any) -> tuple[list[int], Any]:
    async with client.responses.stream(**{**ASK, "resume": True, **options}) as stream:
        numbers = [event.raw["sequence_number"] async for event in stream]
        return numbers, stream


@pytest.mark.parametrize("fault", [Cut(), Reset()], ids=["cut", "reset"])
@pytest.mark.parametrize("back", [0, 1, 100], ids=["exactly", "one too early", "from the beginning"])
@pytest.mark.parametrize("cut", range(1, len(ALL)))
async def test_a_resumed_stream_delivers_each_sequence_number_once(
    nursery: trio.Nursery, autojump_clock: object, cut: int, back: int, fault: Any
) -> None:
    server = await serve(nursery, server_that_breaks(cut, fault=fault, back=back))
    client, transport = client_over(server)
    async with client:
        numbers, stream = await read(client)
        assert numbers == list(range(len(ALL)))
        assert stream.snapshot.output[0].content[0].text == "".join(WORDS)
        assert stream.verdict.state == "done"
        assert stream.timings.resumes == 1
        assert [request.method for request in server.requests] == ["POST", "GET"]
        assert transport.statistics().active == 0


async def test_progress_resets_the_retry_limit_of_a_resumed_stream(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, server_that_breaks(*[1] * 9))
    client, _ = client_over(server, max_retries=1)
    async with client:
        numbers, stream = await read(client)
        assert numbers == list(range(len(ALL)))
        assert stream.timings.resumes == 9
        assert stream.timings.retries == 9


async def test_resuming_without_progress_stops_after_max_retries(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, server_that_breaks(3, *[0] * 100))
    client, transport = client_over(server, max_retries=2)
    async with client:
        with pytest.raises(StreamTruncatedError) as caught:
            await read(client)
        assert caught.value.partial.output[0].content[0].text == WORDS[0]
        assert len(server.requests) == 1 + 2
        assert transport.statistics().active == 0


async def test_a_refused_resume_raises_with_the_partial_response(nursery: trio.Nursery, autojump_clock: object) -> None:
    def script(request: RecordedRequest) -> Reply:
        return Reply.error(404, "gone") if request.method == "GET" else Reply.sse(*ALL[:4], Cut())

    client, _ = client_over(await serve(nursery, script))
    async with client:
        with pytest.raises(NotFoundError) as caught:
            await read(client)
        assert caught.value.partial.output[0].content[0].text == "".join(WORDS[:2])


async def test_a_missing_sequence_number_is_an_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, lambda request: Reply.sse(*ALL[:3], *ALL[4:], done=False))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(APIResponseValidationError, match="skipped the events after number 2"):
            await read(client)


async def test_a_stream_is_resumed_after_the_idle_deadline(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, server_that_breaks(4, fault=Stall()))
    client, _ = client_over(server)
    async with client:
        numbers, stream = await read(client, timeout=Deadlines(idle=5))
        assert numbers == list(range(len(ALL)))
        assert stream.timings.resumes == 1
        assert stream.timings.longest_gap == pytest.approx(5.5, abs=0.2)


async def test_the_total_deadline_includes_resumes(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, server_that_breaks(*[2] * 3, fault=Stall()))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(APITimeoutError) as caught:
            await read(client, timeout=Deadlines(idle=5, total=8))
        assert caught.value.phase == "total"


async def test_a_broken_connection_is_an_error_without_resume(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, server_that_breaks(4))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(APIConnectionError):
            await read(client, resume=False)
        assert len(server.requests) == 1


async def test_resume_needs_a_background_response(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, server_that_breaks()))
    async with client:
        with pytest.raises(ValueError, match="background=True"):
            client.responses.stream(model="m", input="Hi", resume=True)


async def test_cancelling_the_pause_before_a_resume_returns_at_once(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, transport = client_over(await serve(nursery, server_that_breaks(4, *[0] * 9)))
    async with client:
        began = trio.current_time()
        with trio.move_on_after(0.1) as scope:
            await read(client)
        assert scope.cancelled_caught
        assert trio.current_time() - began == pytest.approx(0.1)
        assert transport.statistics().active == 0


async def test_cancelled_reads_before_a_resume_cause_only_one_attempt(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Check that waiting for the next attempt continues over cancelled reads, as `run_tools` makes them."""
    server = await serve(nursery, server_that_breaks(3))
    client, _ = client_over(server)
    numbers: list[int] = []
    async with client, client.responses.stream(**ASK, resume=True) as stream:
        for _ in range(100):
            with trio.move_on_after(0.1):
                async for event in stream:
                    numbers.append(event.raw["sequence_number"])
                break
        assert numbers == list(range(len(ALL)))
        assert stream.verdict.state == "done"
        assert stream.timings.resumes == stream.timings.retries == 1
        assert len(server.requests) == 2


async def test_subscribers_and_replays_get_each_event_of_a_resumed_stream_once(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    client, _ = client_over(await serve(nursery, server_that_breaks(3, 3, back=1)))
    async with client, client.responses.stream(**ASK, resume=True) as stream:
        subscription = stream.subscribe(100)
        mine = [event async for event in stream]
        assert [event async for event in subscription] == mine
        assert [event async for event in stream.subscribe(replay=True)] == mine


async def test_a_stream_without_sequence_numbers_is_not_resumed(nursery: trio.Nursery, autojump_clock: object) -> None:
    plain = [{name: value for name, value in event.items() if name != "sequence_number"} for event in ALL]
    server = await serve(nursery, lambda _: Reply.sse(*plain[:4], Cut()))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(StreamTruncatedError):
            async with client.responses.stream(**ASK, resume=True) as stream:
                await stream.until_done()
        assert len(server.requests) == 1


KEEPALIVE: dict[str, Any] = {"type": "keepalive"}
ODD_NUMBERS = [None, True, 1.0, "3", [2], {}]  # values that are not valid sequence numbers


@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("back", [0, 2, 100])
async def test_events_without_a_sequence_number_do_not_move_the_resume_position(
    nursery: trio.Nursery, autojump_clock: object, at: int, back: int
) -> None:
    """Check that a keep-alive on each connection is delivered and does not affect the resume position."""
    answer = server_that_breaks(3, 4, back=back)

    def script(request: RecordedRequest) -> Reply:
        reply = answer(request)
        body = list(reply.body)
        body.insert(min(at, len(body) - 1), *Reply.sse(KEEPALIVE, done=False).body)
        return attrs.evolve(reply, body=body)

    server = await serve(nursery, script)
    client, _ = client_over(server)
    async with client, client.responses.stream(**ASK, resume=True) as stream:
        raws = [event.raw async for event in stream]
        assert [raw["sequence_number"] for raw in raws if raw != KEEPALIVE] == list(range(len(ALL)))
        assert raws.count(KEEPALIVE) == len(server.requests)
        assert [event.raw async for event in stream.subscribe(replay=True)] == raws


@pytest.mark.parametrize("odd", ODD_NUMBERS, ids=repr)
async def test_a_sequence_number_of_the_wrong_type_is_ignored(
    nursery: trio.Nursery, autojump_clock: object, odd: object
) -> None:
    event = {"type": "response.in_progress", "sequence_number": odd}

    def script(request: RecordedRequest) -> Reply:
        return Reply.sse(event, *ALL[1:], done=False) if request.method == "GET" else Reply.sse(*ALL[:3], event, Cut())

    client, _ = client_over(await serve(nursery, script))
    async with client, client.responses.stream(**ASK, resume=True) as stream:
        raws = [received.raw async for received in stream]
        assert [raw["sequence_number"] for raw in raws if raw != event] == list(range(len(ALL)))
        assert raws.count(event) == 2


async def test_events_without_a_sequence_number_do_not_count_as_progress(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    """Check that keep-alives do not reset the retry limit of a connection that breaks again and again."""

    def script(request: RecordedRequest) -> Reply:
        return Reply.sse(KEEPALIVE, Cut()) if request.method == "GET" else Reply.sse(*ALL[:3], Cut())

    server = await serve(nursery, script)
    client, _ = client_over(server, max_retries=2)
    async with client:
        with pytest.raises(StreamTruncatedError):
            async with client.responses.stream(**ASK, resume=True) as stream:
                await stream.until_done()
        assert len(server.requests) == 1 + 2


@pytest.mark.parametrize(
    ("response_id", "quoted"),
    [
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("/evil/x", "%2Fevil%2Fx"),
        ("../models", "..%2Fmodels"),
        ("r\u00e9sp", "r%C3%A9sp"),
        ("\ud83d\ude00", "%F0%9F%98%80"),
        ("half\ud83d", "half%EF%BF%BD"),
        ("a b?c#d%e\r\n", "a%20b%3Fc%23d%25e%0D%0A"),
    ],
)
async def test_the_response_id_is_quoted_in_the_path_of_a_resume(
    nursery: trio.Nursery, autojump_clock: object, response_id: str, quoted: str
) -> None:
    first = {**ALL[0], "response": {**ALL[0]["response"], "id": response_id}}

    def script(request: RecordedRequest) -> Reply:
        begin = [json.dumps(first), ALL[1], Cut()]  # a lone surrogate can only be sent as a JSON escape
        return Reply.sse(*ALL[2:], done=False) if request.method == "GET" else Reply.sse(*begin)

    server = await serve(nursery, script)
    client, _ = client_over(server)
    async with client:
        numbers, _ = await read(client)
    assert numbers == list(range(len(ALL)))
    assert server.requests[1].target.partition("?")[0] == f"/v1/responses/{quoted}"


async def test_a_lone_surrogate_in_an_id_is_replaced_in_the_path(nursery: trio.Nursery) -> None:
    server = await serve(nursery, lambda _: Reply.json({"id": "x", "object": "response", "output": [], "data": []}))
    client, _ = client_over(server)
    name = "r/\ud83d\u00e9"
    async with client:
        await client.responses.retrieve(name)
        await client.responses.cancel(name)
        await client.responses.delete(name)
        await client.responses.input_items.list(name)
        await client.models.retrieve(name)
    paths = [request.target.removeprefix("/v1/") for request in server.requests]
    quoted = "r%2F%EF%BF%BD%C3%A9"
    assert paths == [
        f"responses/{quoted}",
        f"responses/{quoted}/cancel",
        f"responses/{quoted}",
        f"responses/{quoted}/input_items",
        f"models/{quoted}",
    ]


async def test_start_stream_resumes_a_broken_stream(nursery: trio.Nursery, autojump_clock: object) -> None:
    client, _ = client_over(await serve(nursery, server_that_breaks(4)))
    async with client, trio.open_nursery() as streams:
        stream = await client.responses.start_stream(streams, **ASK, resume=True)
        assert [event.raw["sequence_number"] async for event in stream] == list(range(len(ALL)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=6), st.integers(0, 5), st.integers(1, 2000))
def test_a_stream_that_breaks_anywhere_is_resumed_without_loss(cuts: list[int], back: int, slice_size: int) -> None:
    """Check random breaks, repeated events and slice sizes; a slice may split an event."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            answer = server_that_breaks(*cuts, back=back)

            def script(request: RecordedRequest) -> Reply:
                return answer(request).sliced(slice_size)

            client, transport = client_over(await serve(nursery, script), max_retries=10)
            async with client:
                if cuts and cuts[0] == 0:
                    cuts[0] = 1
                numbers, stream = await read(client)
                assert numbers == list(range(len(ALL)))
                assert stream.verdict.by == "terminal_event"
                assert transport.statistics().active == 0
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
