"""`stream.deltas` and `stream.tool_calls`: the same for both APIs, at every door, and mixed with other ways to read."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from delta_helpers import check_parts, dones, in_short, short
from net_helpers import CHAT, CancelAtStep, client_over, serve
from sync_helpers import in_thread, served, wait_until_waiting

from trio_openai import APIError, StreamTruncatedError, TrioOpenAI
from trio_openai.testing import Cut, Reply, Stall
from trio_openai.types import ContentDelta, PartDelta, ToolCallDone

RESPONSE: dict[str, Any] = {"model": "m", "input": "Hi"}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    name = {"name": more.pop("name")} if more else {}
    return chunk(tool_calls=[{"index": index, **more, "function": {**name, "arguments": arguments}}])


def event(kind: str, index: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": index, **more}


def function(number: int, arguments: str) -> dict[str, Any]:
    call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"c{number}", "name": "f"}
    return {**call, "arguments": arguments}


CHUNKS = [
    chunk(role="assistant", content=""),
    chunk(reasoning_content="hm"),
    chunk(content="Let me "),
    chunk(content="see."),
    call(0, "", id="c0", name="f"),
    call(1, '{"b"', id="c1", name="f"),
    call(0, '{"a": 1}'),
    call(1, ": 2}"),
    chunk("tool_calls"),
]
EVENTS = [
    {"type": "response.created", "response": {"id": "r"}},
    event("reasoning_text.delta", delta="hm"),
    event("reasoning_text.done", text="hm"),
    event("output_text.delta", 1, delta="Let me "),
    event("output_text.delta", 1, delta="see."),
    event("output_text.done", 1, text="Let me see."),
    event("output_item.added", 2, item=function(0, "")),
    event("output_item.added", 3, item=function(1, "")),
    event("function_call_arguments.delta", 3, delta='{"b"'),
    event("function_call_arguments.delta", 2, delta='{"a": 1}'),
    event("function_call_arguments.done", 2, arguments='{"a": 1}'),
    event("function_call_arguments.delta", 3, delta=": 2}"),
    event("function_call_arguments.done", 3, arguments='{"b": 2}'),
    {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": []}},
]
DELTAS = [
    "reasoning hm",
    "reasoning! hm",
    "content Let me ",
    "content see.",
    "content! Let me see.",
    'call c1 f {"b"',
    'call c0 f {"a": 1}',
    'function! c0 f {"a": 1}',
    "call c1 f : 2}",
    'function! c1 f {"b": 2}',
]
TOOL_CALLS = [text for text in DELTAS if text.startswith("function!")]
DELTAS_PER_CHUNK = [0, 1, 2, 1, 1, 1, 2, 2, 0]  # how many deltas each of CHUNKS makes
ANSWERS = {"chat": Reply.sse(*CHUNKS), "responses": Reply.sse(*EVENTS, done=False, named=True)}
TEXT = [chunk(content=f"{number} ") for number in range(2000)]
DOORS = ["stream", "start_stream", "create", "race"]

apis = pytest.mark.parametrize("api", ANSWERS)
doors = pytest.mark.parametrize("door", DOORS)


@asynccontextmanager
async def opened(client: TrioOpenAI, api: str, door: str) -> AsyncIterator[Any]:
    """Open a stream through the door with this name."""
    endpoint: Any = client.chat.completions if api == "chat" else client.responses
    params = CHAT if api == "chat" else RESPONSE
    if door == "start_stream":
        async with trio.open_nursery() as streams:
            yield await endpoint.start_stream(streams, **params)
            streams.cancel_scope.cancel()
    elif door == "create":
        async with await endpoint.create(**params, stream=True) as stream:
            yield stream
    elif door == "stream":
        async with endpoint.stream(**params) as stream:
            yield stream
    else:
        async with client.race([endpoint.call(**params)]) as stream:
            yield stream


@asynccontextmanager
async def streaming(api: str, reply: Reply | None = None, door: str = "stream") -> AsyncIterator[Any]:
    """Open a stream of `reply`, or of the standard answer of this API."""
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, reply or ANSWERS[api])
        client, _ = client_over(server, max_retries=0)
        async with client, opened(client, api, door) as stream:
            yield stream
        nursery.cancel_scope.cancel()


async def collect(deltas: AsyncIterator[Any]) -> list[Any]:
    return [delta async for delta in deltas]


def snapshots(deltas: list[Any]) -> list[str]:
    return [delta.snapshot for delta in deltas if isinstance(delta, PartDelta)]


# ------------------------------------------------------------------------------------------- both APIs, every door


@apis
@doors
async def test_both_apis_give_the_same_deltas_at_every_door(api: str, door: str, autojump_clock: object) -> None:
    async with streaming(api, door=door) as stream:
        deltas = await collect(stream.deltas)
        assert short(deltas) == DELTAS
        check_parts(deltas)
        assert stream.verdict.state == "done"
        assert await collect(stream.deltas) == []


@apis
@doors
async def test_tool_calls_yields_only_complete_tool_calls(api: str, door: str, autojump_clock: object) -> None:
    async with streaming(api, door=door) as stream:
        calls = await collect(stream.tool_calls)
        assert short(calls) == TOOL_CALLS
        assert all(isinstance(call, ToolCallDone) for call in calls)


@apis
@doors
async def test_a_complete_tool_call_is_yielded_while_the_stream_continues(
    api: str, door: str, autojump_clock: object
) -> None:
    until = {"chat": CHUNKS[:7], "responses": EVENTS[:11]}[api]
    async with streaming(api, Reply.sse(*until, Stall(), done=False, named=api != "chat"), door) as stream:
        with trio.fail_after(5):
            assert in_short(await anext(stream.tool_calls)) == TOOL_CALLS[0]


async def test_tool_calls_whose_arguments_are_interleaved_are_assembled(autojump_clock: object) -> None:
    def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        call = {"index": index, "function": {"arguments": arguments, **({"name": "f"} if more else {})}, **more}
        return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}

    begun = [piece(0, '{"a"', id="c0"), piece(1, '{"b"', id="c1")]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    reply = Reply.sse(*begun, piece(1, ":2}"), piece(0, ":1}"), end)
    async with streaming("chat", reply) as stream:
        calls = await collect(stream.tool_calls)
    assert [(call.id, call.arguments) for call in calls] == [("c1", '{"b":2}'), ("c0", '{"a":1}')]


async def test_each_choice_has_its_own_content(autojump_clock: object) -> None:
    chunks = [
        {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]}
        for index, text, reason in [(1, "b", None), (0, "a", None), (0, "A", "stop"), (1, "B", "stop")]
    ]
    async with streaming("chat", Reply.sse(*chunks)) as stream:
        assert [(d.choice, d.text) for d in await collect(stream.deltas) if d.type == "content.done"] == [
            (0, "aA"),
            (1, "bB"),
        ]


async def test_parts_without_a_finish_reason_are_done_when_the_stream_is_complete(autojump_clock: object) -> None:
    async with streaming("chat", Reply.sse(chunk(content="a"), call(0, "{", id="c0", name="f"))) as stream:
        assert dones(await collect(stream.deltas)) == ["content! a", "function! c0 f {"]


# ------------------------------------------------------------------------------------------------------- checkpoints


@apis
@doors
async def test_every_step_is_a_checkpoint_and_a_cancelled_step_loses_no_delta(
    api: str, door: str, autojump_clock: object
) -> None:
    async with streaming(api, door=door) as stream:
        deltas = stream.deltas
        for expected in DELTAS:
            with trio.CancelScope() as scope:
                scope.cancel()
                await anext(deltas)
            assert scope.cancelled_caught
            assert in_short(await anext(deltas)) == expected
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(deltas)
        assert scope.cancelled_caught
        with pytest.raises(StopAsyncIteration):
            await anext(deltas)


@apis
@pytest.mark.parametrize("door", ["stream", "start_stream"])
@pytest.mark.parametrize("before", [True, False])
async def test_cancelling_at_any_checkpoint_loses_no_delta(
    api: str, door: str, before: bool, autojump_clock: object
) -> None:
    for step in range(1000):
        async with streaming(api, door=door) as stream:
            heard: list[Any] = []
            with trio.CancelScope() as scope:
                canceller = CancelAtStep(scope, step, before=before)
                trio.lowlevel.add_instrument(canceller)
                try:
                    async for delta in stream.deltas:
                        heard.append(delta)
                finally:
                    trio.lowlevel.remove_instrument(canceller)
            heard += await collect(stream.deltas)
            assert short(heard) == DELTAS
        if not canceller.fired:
            assert step > 3
            return
    raise AssertionError("the stream has more than 1000 steps")


# ----------------------------------------------------------------------------------------------------------- failures


@doors
async def test_truncated_parts_are_never_reported_as_done(door: str, autojump_clock: object) -> None:
    heard = []
    async with streaming("chat", Reply.sse(*CHUNKS[:6], Cut()), door) as stream:
        with pytest.raises(StreamTruncatedError) as caught:
            async for delta in stream.deltas:
                heard.append(delta)
        assert short(heard) == DELTAS[:6]
        assert caught.value.partial.choices[0].message.content == "Let me see."
        with pytest.raises(StreamTruncatedError):
            await anext(stream.deltas)


async def test_a_chunk_with_an_error_and_a_finish_reason_completes_no_part(autojump_clock: object) -> None:
    error = {**chunk("error", content="B"), "error": {"message": "overloaded"}}
    heard = []
    async with streaming("chat", Reply.sse(chunk(content="A"), error)) as stream:
        with pytest.raises(APIError, match="overloaded"):
            async for delta in stream.deltas:
                heard.append(delta)
    assert short(heard) == ["content A", "content B"]


@pytest.mark.parametrize("what", ["deltas", "tool_calls"])
async def test_a_failed_response_raises_after_its_complete_parts(what: str, autojump_clock: object) -> None:
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"message": "broken", "code": "x"}}}
    headers = {"content-type": "text/event-stream", "x-request-id": "req_7"}
    reply = attrs.evolve(Reply.sse(*EVENTS[:10], failed, done=False, named=True), headers=headers)
    heard = []
    async with streaming("responses", reply) as stream:
        with pytest.raises(APIError, match="broken") as caught:
            async for delta in getattr(stream, what):
                heard.append(delta)
        assert caught.value.request_id == "req_7"
        assert caught.value.partial.output[1].content[0].text == "Let me see."
    assert dones(heard) == (["reasoning! hm", "content! Let me see."] if what == "deltas" else [])


@doors
async def test_deltas_of_a_closed_stream_raise_closed_resource_error(door: str, autojump_clock: object) -> None:
    whole = Reply.sse(chunk(content="a"), chunk(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}]))
    async with streaming("chat", attrs.evolve(whole, body=[*whole.body[:-1], Stall()]), door) as stream:
        assert [in_short(await anext(stream.deltas)) for _ in range(2)] == ["content a", "content! a"]
        await stream.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await anext(stream.deltas)


async def test_two_tasks_cannot_read_the_deltas_of_one_stream(autojump_clock: object) -> None:
    async with streaming("chat", Reply.sse(chunk(content="a"), Stall())) as stream, trio.open_nursery() as nursery:
        await anext(stream.deltas)
        nursery.start_soon(anext, stream.deltas)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await anext(stream.deltas)
        nursery.cancel_scope.cancel()


# ------------------------------------------------------------------------------------- several ways to read one stream


@doors
@pytest.mark.parametrize("first", range(len(CHUNKS) + 1))
async def test_deltas_that_begin_later_include_earlier_text_in_their_snapshots(
    door: str, first: int, autojump_clock: object
) -> None:
    """Check that the remaining deltas, their snapshots and the complete parts are unaffected."""
    async with streaming("chat") as whole:
        expected = (await collect(whole.deltas))[sum(DELTAS_PER_CHUNK[:first]) :]
    async with streaming("chat", door=door) as stream:
        for _ in range(first):
            await anext(stream)
        late = await collect(stream.deltas)
    assert short(late) == short(expected)
    assert snapshots(late) == snapshots(expected)


@doors
async def test_events_read_between_deltas_are_included_in_the_parts(door: str, autojump_clock: object) -> None:
    async with streaming("chat", door=door) as stream:
        deltas = stream.deltas
        assert [in_short(await anext(deltas)) for _ in range(3)] == DELTAS[:3]
        assert (await anext(stream)).choices[0].delta.content == "see."
        assert (await anext(stream)).choices[0].delta.tool_calls[0].id == "c0"
        assert [in_short(await anext(deltas)) for _ in range(2)] == DELTAS[5:7]
        assert stream.snapshot.choices[0].message.content == "Let me see."
        assert short(await collect(stream.tool_calls)) == TOOL_CALLS


async def test_reading_an_event_drops_no_later_delta(autojump_clock: object) -> None:
    async with streaming("chat") as stream:
        deltas = stream.deltas
        assert [in_short(await anext(deltas)) for _ in range(2)] == ["reasoning hm", "reasoning! hm"]
        await anext(stream)
        assert in_short(await anext(stream.deltas)) == "content Let me "


@doors
async def test_text_deltas_and_deltas_read_from_the_same_stream(door: str, autojump_clock: object) -> None:
    async with streaming("chat", door=door) as stream:
        assert await anext(stream.text_deltas) == "Let me "
        delta = await anext(stream.deltas)
        assert isinstance(delta, ContentDelta)
        assert (delta.delta, delta.snapshot) == ("see.", "Let me see.")


@doors
@pytest.mark.parametrize("how", ["until_done", "settle"])
async def test_parts_that_until_done_or_settle_consumed_are_not_repeated_as_deltas(
    door: str, how: str, autojump_clock: object
) -> None:
    """Check the deltas after the stream was read to its end in another way."""
    async with streaming("chat", Reply.sse(*(chunk(content=text) for text in "ABC")), door) as stream:
        assert in_short(await anext(stream.deltas)) == "content A"
        await (stream.until_done() if how == "until_done" else stream.settle(5))
        assert stream.verdict.state == "done"
        try:
            heard = short(await collect(stream.deltas))
        except trio.ClosedResourceError:
            heard = []
        assert heard == (["content! ABC"] if how == "until_done" and door != "start_stream" else [])


async def test_deltas_that_begin_late_in_a_long_stream_know_its_beginning(autojump_clock: object) -> None:
    async with streaming("chat", Reply.sse(*TEXT, chunk("stop"))) as stream:
        for _ in range(1990):
            await anext(stream)
        delta = await anext(stream.deltas)
        assert delta.snapshot == "".join(f"{number} " for number in range(1991))
        assert len((await collect(stream.deltas))[-1].text) > 8000


async def test_deltas_that_begin_late_in_a_long_background_stream_are_refused(autojump_clock: object) -> None:
    async with streaming("chat", Reply.sse(*TEXT), "start_stream") as stream:
        for _ in range(1000):
            await anext(stream)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="before any other event"):
            await anext(stream.deltas)
        assert (await anext(stream)).choices[0].delta.content == "1000 "
    async with streaming("chat", Reply.sse(*TEXT), "start_stream") as stream:
        await trio.testing.wait_all_tasks_blocked()
        assert len(await collect(stream.deltas)) == 2001


async def test_deltas_can_begin_while_an_event_waits_for_a_subscriber(autojump_clock: object) -> None:
    async with streaming("chat") as stream:
        assert (await anext(stream)).choices[0].delta.role == "assistant"
        assert (await anext(stream)).choices[0].delta.reasoning_content == "hm"
        subscription = stream.subscribe()
        with trio.move_on_after(1):
            await anext(stream)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect, subscription)
            assert short(await collect(stream.deltas)) == DELTAS[1:]


# ------------------------------------------------------------------------------------------------- sync client


@apis
def test_the_sync_client_gives_the_same_deltas(api: str) -> None:
    with served(ANSWERS[api]) as server, server.client() as client:
        endpoint: Any = client.chat.completions if api == "chat" else client.responses
        params = CHAT if api == "chat" else RESPONSE
        with endpoint.stream(**params) as stream:
            assert short(list(stream.deltas)) == DELTAS
            assert list(stream.deltas) == []
        with endpoint.stream(**params) as stream:
            assert short(list(stream.tool_calls)) == TOOL_CALLS


def test_the_sync_client_can_mix_events_and_deltas() -> None:
    with served(ANSWERS["chat"]) as server, server.client() as client:
        with client.chat.completions.stream(**CHAT) as stream:
            assert next(stream).choices[0].delta.role == "assistant"
            assert next(stream.text_deltas) == "Let me "
            delta = next(stream.deltas)
            assert isinstance(delta, ContentDelta)
            assert delta.snapshot == "Let me see."
            assert next(stream).choices[0].delta.tool_calls is not None
            assert short(list(stream.tool_calls)) == TOOL_CALLS
        with client.chat.completions.stream(**CHAT) as stream:
            next(stream.deltas)
            stream.settle(5)
            assert list(stream.tool_calls) == []


def test_the_sync_client_never_reports_truncated_parts_as_done() -> None:
    with served(Reply.sse(*CHUNKS[:6], Cut())) as server, server.client(max_retries=0) as client:
        with client.chat.completions.stream(**CHAT) as stream:
            heard: list[Any] = []
            with pytest.raises(StreamTruncatedError):
                heard.extend(stream.deltas)
            assert short(heard) == DELTAS[:6]


def test_the_sync_client_reports_a_second_reader_and_a_closed_stream() -> None:
    with served(Reply.sse(*CHUNKS[:2], Stall())) as server, server.client() as client:
        with client.chat.completions.stream(**CHAT) as stream:
            assert in_short(next(stream.deltas)) == "reasoning hm"
            thread, came = in_thread(lambda: next(stream.deltas))
            assert thread.ident is not None
            wait_until_waiting(thread.ident)
            with pytest.raises(trio.BusyResourceError):
                next(stream.deltas)
            stream.close()
            thread.join()
            assert isinstance(came[0], trio.ClosedResourceError)


# -------------------------------------------------------------------------------------------------------- cost


def test_importing_the_package_does_not_import_the_modules_for_deltas() -> None:
    names = ("deltas", "parts")
    program = f"import sys, trio_openai; print(*[m for m in sys.modules if m.rpartition('.')[2] in {names}])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


async def test_reading_events_is_unchanged_until_deltas_are_requested(autojump_clock: object) -> None:
    async with streaming("chat") as stream:
        step = stream._next
        await anext(stream)
        assert stream._next == step
        await anext(stream.deltas)
        assert stream._next != step
