"""Raw access to a stream: its server-sent messages and its bytes, with the same promises as for its events."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
from disconnect_helpers import FROM_START
from endpoint_helpers import CASES, NAMES, Case
from net_helpers import CHAT, cancel_everywhere, client_over, no_environment, outcome, serve
from raw_helpers import OVERLOADED, body, chunk
from resume_helpers import ALL, ASK, server_that_breaks

from trio_openai import (
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    Deadlines,
    ServerSentEvent,
    StreamTruncatedError,
    TrioOpenAI,
)
from trio_openai._stream.stream import source_of
from trio_openai.testing import Cut, Pause, Reply, Reset, Stall, sse_event

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
SECRET = "sk-proj-9f8e7d6c5b4a"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def messages_of(client: TrioOpenAI, **params: Any) -> list[ServerSentEvent]:
    async with client.chat.completions.stream(**CHAT, **params) as stream:
        return [message async for message in stream.messages]


async def test_messages_follow_the_html_standard(nursery: trio.Nursery, autojump_clock: object) -> None:
    script = body(
        b": comment\n\nretry: 300\n\nid: 1\nevent: chunk\ndata: " + sse_event(chunk("Hello"))[6:],
        b"data: : keepalive\n\n",
        b": mine\nretry: 5\n" + sse_event(chunk(" there.")),
        b'id\ndata: {"choices": [],\ndata: "caf\xc3\xa9": 1}\n\n',
        b"event: ping\n\n",
        sse_event(chunk(finish="stop")),
        sse_event("[DONE]", event="end"),
        b"data: after\n\n",
    )
    server = await serve(nursery, script)
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        seen = [message async for message in stream.messages]
        assert str(stream.verdict) == "done by [DONE] (stop)"
        assert stream.snapshot.choices[0].message.content == "Hello there."
    assert [(one.event, one.id, one.retry) for one in seen] == [
        ("chunk", "1", 300), ("", "1", None), ("", "1", 5), ("", "", None), ("", "", None), ("end", "", None),
    ]  # fmt: skip
    assert [one.text for one in seen][1::4] == [": keepalive", "[DONE]"]
    assert seen[0].json() == chunk("Hello")
    assert seen[2].fields == [("", b"mine")]
    assert seen[3].data == b'{"choices": [],\n"caf\xc3\xa9": 1}'
    assert seen[3].json() == {"choices": [], "café": 1}
    with pytest.raises(ValueError, match=r"JSON|value"):
        seen[-1].json()


@pytest.mark.parametrize("case", CASES, ids=NAMES)
async def test_messages_of_every_endpoint_contain_its_events(
    nursery: trio.Nursery, autojump_clock: object, case: Case
) -> None:
    server = await serve(nursery, case.streamed)
    client, _ = client_over(server)
    async with client:
        async with case.of(client).stream(*case.where, **case.params) as stream:
            events = [event.raw async for event in stream]
        async with case.of(client).stream(*case.where, **case.params) as stream:
            messages = [message async for message in stream.messages]
            assert case.whole(stream.snapshot) == case.said
            assert str(stream.verdict) == case.verdict
        assert [one.json() for one in messages if one.data != b"[DONE]"] == events
        assert client.statistics().open_streams == 0


@pytest.mark.parametrize("size", [1, 2, 7, 100, 10_000])
async def test_messages_and_bytes_do_not_depend_on_the_read_size(
    nursery: trio.Nursery, autojump_clock: object, size: int
) -> None:
    whole = b"".join(step for step in HELLO.body if isinstance(step, bytes))
    server = await serve(nursery, HELLO.sliced(size))
    client, _ = client_over(server)
    async with client:
        assert b"".join(b"data: %b\n\n" % one.data for one in await messages_of(client) if one.data) == whole
        async with client.chat.completions.stream(**CHAT) as stream:
            assert b"".join([piece async for piece in stream.raw_bytes]) == whole
            assert str(stream.verdict) == "done by [DONE] (stop)"
            assert stream.snapshot.choices[0].message.content == "Hello there."


async def test_truncated_stream_of_messages_raises(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(chunk("Hello"), Cut()))
    client, _ = client_over(server)
    async with client:
        for kind in ("messages", "raw_bytes"):
            seen: list[Any] = []
            async with client.chat.completions.stream(**CHAT) as stream:
                for _ in range(2):  # the error stays
                    with pytest.raises(StreamTruncatedError) as caught:
                        async for one in getattr(stream, kind):
                            seen.append(one if kind == "raw_bytes" else sse_event(one.data))
            assert caught.value.partial.choices[0].message.content == "Hello"
            assert caught.value.request_id == "req_scripted"
            assert stream.verdict.state == "truncated"
            assert seen == [sse_event(chunk("Hello"))]


async def test_message_with_an_error_is_delivered_before_the_error(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    bad = {"error": {"message": "no", "code": "bad"}}
    server = await serve(nursery, Reply.sse(chunk("Hello"), bad))
    client, _ = client_over(server)
    async with client:
        for kind in ("messages", "raw_bytes"):
            seen = b""
            async with client.chat.completions.stream(**CHAT) as stream:
                with pytest.raises(APIError) as caught:
                    async for one in getattr(stream, kind):
                        seen += one.data if kind == "messages" else one
            assert caught.value.code == "bad"
            assert b"Hello" in seen
            assert b'"bad"' in seen


async def test_messages_of_a_retried_attempt_are_not_delivered(nursery: trio.Nursery, autojump_clock: object) -> None:
    overloaded = body(b": wait\n\ndata: : keepalive\n\n" + sse_event(OVERLOADED))
    server = await serve(nursery, [overloaded, HELLO] * 2)
    client, _ = client_over(server)
    async with client:
        for kind in ("messages", "raw_bytes"):
            async with client.chat.completions.stream(**CHAT) as stream:
                seen = [one if kind == "raw_bytes" else one.data async for one in getattr(stream, kind)]
                assert stream.timings.retries == 1
            assert b"overloaded" not in b"".join(seen)
            assert b"keepalive" not in b"".join(seen)
            assert b"Hello" in b"".join(seen)


async def test_nothing_is_retried_after_the_first_bytes(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, [body(b": wait\n\n", Pause(1), Reset()), HELLO])
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        pieces = stream.raw_bytes
        assert await anext(pieces) == b": wait\n\n"
        with pytest.raises(StreamTruncatedError):
            await anext(pieces)
    assert len(server.requests) == 1


async def test_bytes_of_the_last_attempt_come_before_its_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(OVERLOADED, done=False))
    client, _ = client_over(server, max_retries=1)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        pieces = stream.raw_bytes
        assert await anext(pieces) == sse_event(OVERLOADED)
        for _ in range(2):
            with pytest.raises(APIError, match="busy"):
                await anext(pieces)
    assert len(server.requests) == 2


async def test_bytes_of_a_non_stream_body_come_before_the_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply(200, {"content-type": "text/html"}, b"<html>We are closed.</html>"))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        pieces = stream.raw_bytes
        assert await anext(pieces) == b"<html>We are closed.</html>"
        with pytest.raises(APIResponseValidationError, match="text/html"):
            await anext(pieces)


async def test_bytes_are_delivered_as_they_arrive(nursery: trio.Nursery, autojump_clock: object) -> None:
    half = len(sse_event(chunk("Hello"))) // 2
    event = sse_event(chunk("Hello", "stop"))
    steps = (b": wait\n\n", Pause(5), event[:half], Pause(5), event[half:], Pause(5), sse_event("[DONE]"), Stall())
    server = await serve(nursery, body(*steps))
    client, _ = client_over(server)
    began = trio.current_time()
    async with client, client.chat.completions.stream(**CHAT) as stream:
        seen = [(round(trio.current_time() - began), piece) async for piece in stream.raw_bytes]
        assert seen == [(0, steps[0]), (5, steps[2]), (10, steps[4]), (15, steps[6])]
        assert stream.verdict.state == "done"


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_comments_do_not_reset_the_idle_deadline(
    nursery: trio.Nursery, autojump_clock: object, kind: str
) -> None:
    server = await serve(nursery, body(sse_event(chunk("Hi")), *[Pause(1), b": ping\n\n"] * 100, Stall()))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT, timeout=Deadlines(idle=10)) as stream:
        with pytest.raises(APITimeoutError) as caught:
            async for _ in getattr(stream, kind):
                pass
    assert caught.value.phase == "idle"
    assert caught.value.partial.choices[0].message.content == "Hi"


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_leaving_the_block_of_a_raw_stream_closes_the_connection(
    nursery: trio.Nursery, autojump_clock: object, kind: str
) -> None:
    server = await serve(nursery, [Reply.sse(chunk("Hi"), Stall()), HELLO])
    client, transport = client_over(server)
    async with client:
        async with client.chat.completions.stream(**CHAT) as stream:
            async for _ in getattr(stream, kind):
                break
        assert transport.statistics().active == 0
        await server.wait_disconnect(since=FROM_START)
        with pytest.raises(trio.ClosedResourceError):
            await anext(getattr(stream, kind))
        async with client.chat.completions.stream(**CHAT) as stream:
            assert len([one async for one in getattr(stream, kind)]) > 1
            with pytest.raises(StopAsyncIteration):
                await anext(getattr(stream, kind))
        assert transport.statistics().active == 0


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_iterating_a_closed_raw_stream_raises(nursery: trio.Nursery, autojump_clock: object, kind: str) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    async with client:
        async with client.chat.completions.stream(**CHAT) as stream:
            pass
        with pytest.raises(trio.ClosedResourceError):
            await anext(getattr(stream, kind))


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_second_task_on_a_raw_stream_raises_busy(
    nursery: trio.Nursery, autojump_clock: object, kind: str
) -> None:
    server = await serve(nursery, Reply.sse(chunk("Hi"), Stall()))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream, trio.open_nursery() as tasks:
        view = getattr(stream, kind)
        await anext(view)
        tasks.start_soon(outcome, anext, view)
        await trio.testing.wait_all_tasks_blocked()
        for other in (view, getattr(stream, kind), stream):
            with pytest.raises(trio.BusyResourceError):
                await anext(other)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_raw_access_after_events_raises(nursery: trio.Nursery, autojump_clock: object, kind: str) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    async with client, trio.open_nursery() as tasks:
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream)
            with pytest.raises(RuntimeError, match="before anything else"):
                await anext(getattr(stream, kind))
            await stream.until_done()
        started = await client.chat.completions.start_stream(tasks, **CHAT)
        with pytest.raises(RuntimeError, match="before anything else"):
            await anext(getattr(started, kind))
        await started.until_done()


async def test_raw_properties_have_no_effect_until_iterated(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        assert stream.messages is not stream.raw_bytes  # as a debugger looks at all properties
        assert {type(event).__name__ async for event in stream} == {"ChatCompletionChunk"}


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_subscribers_of_a_raw_stream_get_typed_events(
    nursery: trio.Nursery, autojump_clock: object, kind: str
) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    texts: list[str] = []

    async def listen(subscription: Any) -> None:
        async for event in subscription:
            texts.extend(choice.delta.content or "" for choice in event.choices)

    async with client, client.chat.completions.stream(**CHAT) as stream, trio.open_nursery() as tasks:
        tasks.start_soon(listen, stream.subscribe())
        assert [one async for one in getattr(stream, kind)]
    assert "".join(texts) == "Hello there."


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_cancelled_raw_step_loses_nothing(nursery: trio.Nursery, autojump_clock: object, kind: str) -> None:
    server = await serve(nursery, Reply.chat("One, two, three, four.", pace=1.0))
    client, _ = client_over(server)
    seen = b""
    received = 0
    async with client, client.chat.completions.stream(**CHAT) as stream:
        view = getattr(stream, kind)
        subscription = stream.subscribe(1)  # so that deliveries are cancelled too
        for _ in range(200):
            with trio.move_on_after(0.4):
                try:
                    one = await anext(view)
                except StopAsyncIteration:
                    break
                seen += one if kind == "raw_bytes" else b"data: %b\n\n" % one.data
            with trio.move_on_after(0.05), contextlib.suppress(trio.EndOfChannel):
                await subscription.receive()
                received += 1
        received += subscription.statistics().buffered
    assert received == 7, "role, four words, the finish reason, the usage"
    assert seen == b"".join(step for step in Reply.chat("One, two, three, four.").body if isinstance(step, bytes))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_raw_stream_cancelled_at_every_checkpoint_leaks_nothing(
    nursery: trio.Nursery, autojump_clock: object, kind: str, before: bool
) -> None:
    server = await serve(nursery, HELLO)
    client, transport = client_over(server)

    async def scenario() -> None:
        async with client.chat.completions.stream(**CHAT) as stream:
            async for _ in getattr(stream, kind):
                pass

    async def check() -> None:
        await trio.lowlevel.checkpoint()
        assert transport.statistics().active == 0
        assert client.statistics().open_streams == 0

    async with client:
        assert await cancel_everywhere(scenario, check, before=before) > 5


async def test_messages_do_not_accumulate_while_events_are_read(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.chat("word " * 200))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        assert (await anext(stream.messages)).data
        async for _ in stream:
            decoder: Any = source_of(stream).lifecycle.decoder
            assert len(decoder.messages) <= 1
        assert str(stream.verdict) == "done by [DONE] (stop)"


async def test_messages_of_a_resumed_response_come_once(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, server_that_breaks(4, 5, back=3))
    client, _ = client_over(server)
    async with client, client.responses.stream(**ASK, resume=True) as stream:
        seen = [message.json() async for message in stream.messages]
        assert stream.timings.resumes == 2
    assert seen == ALL


async def test_bytes_are_never_resumed_on_another_connection(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, server_that_breaks(4))
    client, _ = client_over(server)
    async with client, client.responses.stream(**ASK, resume=True) as stream:
        with pytest.raises(StreamTruncatedError):
            [piece async for piece in stream.raw_bytes]
    assert len(server.requests) == 1


async def test_stream_request_has_messages(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, body(b'id: 4\nevent: token\ndata: {"a": 1}\n\n'))
    client, _ = client_over(server)
    async with client, client.stream_request("POST", "/completion", json={}, end=None) as stream:
        (message,) = [message async for message in stream.messages]
    assert (message.id, message.event, message.json()) == ("4", "token", {"a": 1})
