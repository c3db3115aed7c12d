"""Raw answers: all that HTTP says of a plain answer, the messages and the bytes of a stream, and the same promises."""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
from datetime import timedelta
from typing import Any

import httpx
import pytest
import trio
from endpoint_helpers import CASES, NAMES, Case
from net_helpers import CHAT, cancel_everywhere, client_over, no_environment, outcome, serve
from plain_helpers import ITEMS, MODELS, embedded, items, vector
from raw_helpers import OVERLOADED, body, chunk
from resume_helpers import ALL, ASK, server_that_breaks

from trio_openai import (
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    Deadlines,
    Page,
    RateLimitError,
    RawResponse,
    ServerSentEvent,
    StreamTruncatedError,
    TrioOpenAI,
)
from trio_openai._stream.stream import source_of
from trio_openai.testing import Cut, Pause, Reply, Reset, Stall, sse_event
from trio_openai.types import ChatCompletion

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
SECRET = "sk-proj-9f8e7d6c5b4a"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def raw_of(client: Any, case: Case) -> Any:
    """The plain method of an endpoint, below its `with_raw_response`."""
    endpoint = case.of(client).with_raw_response
    return getattr(endpoint, "create", endpoint)


# ------------------------------------------------------------------------------------------------------ plain answers


@pytest.mark.parametrize("case", CASES, ids=NAMES)
async def test_every_endpoint_gives_its_answer_raw(nursery: trio.Nursery, autojump_clock: object, case: Case) -> None:
    server = await serve(nursery, case.plain)
    client, _ = client_over(server)
    async with client:
        for make in (raw_of(client, case), case.create(client.with_raw_response)):
            raw = await make(*case.where, **case.params)
            assert isinstance(raw, RawResponse)
            assert case.whole(raw.parse()) == case.said
            assert raw.parse() is raw.parse()
            assert raw.content == b"".join(step for step in case.plain.body if isinstance(step, bytes))
            assert raw.status_code == 200
            assert raw.headers["content-type"] == case.plain.headers[0][1]
            assert raw.url.path == case.path
    assert {request.path for request in server.requests} == {case.path}


async def test_what_a_raw_answer_tells(nursery: trio.Nursery, autojump_clock: object) -> None:
    headers = [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-ratelimit-remaining-tokens", "7")]
    server = await serve(nursery, Reply.chat("Hello there.", stream=False, headers=headers))
    client, _ = client_over(server, default_query={"api-version": "1"})
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.request_id == "req_scripted"
    assert raw.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert raw.headers["x-ratelimit-remaining-tokens"] == "7"
    assert raw.headers["content-length"] == str(len(raw.content))
    assert (raw.method, raw.url.query, raw.http_version) == ("POST", b"api-version=1", "HTTP/1.1")
    assert raw.json() == raw.http_response.json() == raw.parse().raw
    assert raw.text == raw.content.decode()
    assert raw.http_response.status_code == raw.status_code == 200
    assert raw.http_request is raw.http_response.request
    assert repr(raw) == f"<RawResponse 200, {len(raw.content)} bytes>"


async def test_retries_and_the_time_of_all_attempts(nursery: trio.Nursery, autojump_clock: object) -> None:
    busy = Reply.error(503, "busy", headers={"retry-after-ms": "1500"})
    late = Reply.json({"choices": []})
    server = await serve(nursery, [busy, busy, Reply(200, late.headers, (Pause(2.0), *late.body), "chunked"), PLAIN])
    client, _ = client_over(server)
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
        assert raw.retries_taken == 2
        assert raw.elapsed == timedelta(seconds=5)
        again = await client.chat.completions.with_raw_response.create(**CHAT)
        assert (again.retries_taken, again.elapsed) == (0, timedelta())


async def test_a_compressed_answer_is_decompressed_and_keeps_its_headers(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    packed = gzip.compress(PLAIN.body[0] if isinstance(PLAIN.body[0], bytes) else b"")
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    server = await serve(nursery, Reply(200, headers, packed, "length"))
    client, _ = client_over(server)
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.headers["content-encoding"] == "gzip"
    assert raw.headers["content-length"] == str(len(packed))
    assert raw.content == PLAIN.body[0]
    assert raw.parse().choices[0].message.content == "Hello there."


async def test_an_answer_that_is_not_the_protocol_can_be_looked_at(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply(200, {"x-request-id": "req_9"}, b"<html>", "length"))
    client, _ = client_over(server)
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    assert (raw.text, raw.request_id) == ("<html>", "req_9")
    with pytest.raises(APIResponseValidationError) as caught:
        raw.parse()
    assert caught.value.request_id == "req_9"
    with pytest.raises(ValueError, match=r"JSON|value"):
        raw.json()


async def test_an_error_status_is_an_error_also_here(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.error(429, "too fast", headers={"retry-after": "500"}))
    client, _ = client_over(server, max_retries=0)
    async with client:
        for stream in (True, False):
            with pytest.raises(RateLimitError) as caught:
                await client.chat.completions.with_raw_response.create(**CHAT, stream=stream)
            assert caught.value.response.headers["retry-after"] == "500"


async def test_plain_endpoints(nursery: trio.Nursery, autojump_clock: object) -> None:
    replies = [Reply.json({"id": "a"}), embedded(vector(0.5)), Reply.json({"id": "r"}), Reply(204)]
    server = await serve(nursery, replies)
    client, _ = client_over(server)
    async with client:
        assert (await client.models.with_raw_response.retrieve("a")).parse().id == "a"
        vectors = await client.embeddings.with_raw_response.create(model="m", input="x")
        assert vectors.parse().data[0].embedding == [0.5]
        assert (await client.responses.with_raw_response.cancel("r")).parse().id == "r"
        gone = await client.responses.with_raw_response.delete("r")
    assert (gone.status_code, gone.content, gone.text, gone.parse()) == (204, b"", "", None)


async def test_a_page_of_a_list(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, items)
    client, _ = client_over(server)
    async with client:
        raw = await client.responses.with_raw_response.input_items.list("resp_1", limit=2)
        page = raw.parse()
        assert isinstance(page, Page)
        assert [item.id for item in page.data] == ["msg_1", "msg_2"]
        assert isinstance(await page.get_next_page(), Page), "which is a plain one"
        assert [item.id async for item in page] == [item["id"] for item in ITEMS]
        listing: Any = client.responses.with_raw_response.input_items.list("resp_1", limit=2)
        assert [item.id async for item in listing] == [item["id"] for item in ITEMS]
    models = await serve(nursery, Reply.json(MODELS))
    client, _ = client_over(models)
    async with client:
        assert len((await client.models.with_raw_response.list()).parse().data) == len(MODELS["data"])


async def test_a_raw_endpoint_checks_its_parameters(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    async with client:
        with pytest.raises(TypeError, match="extra_body"):
            await client.chat.completions.with_raw_response.create(**CHAT, top_k=4)
    assert not server.requests


async def test_a_raw_answer_holds_no_key(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server, api_key=SECRET, default_headers={"x-other-key": SECRET})
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    shown = [repr(raw), repr(raw.http_request.headers.raw), repr(vars(raw.http_response)), repr(raw.headers.raw)]
    assert SECRET not in "".join(shown)
    assert server.requests[0].header("x-other-key") == SECRET


@pytest.mark.skipif(importlib.util.find_spec("httpx2") is None, reason="no httpx2")
async def test_a_raw_answer_of_a_client_of_ones_own() -> None:
    import httpx2

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"x-request-id": "req_2"}, json={"id": "c", "choices": []})

    mine: Any = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    async with TrioOpenAI(api_key="k", base_url="http://host.test/v1", http_client=mine) as client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    assert isinstance(raw.http_response, httpx.Response)
    assert (raw.request_id, raw.parse().id, str(raw.url)) == ("req_2", "c", "http://host.test/v1/chat/completions")


# ------------------------------------------------------------------------------------------------- the head of a stream


async def test_a_stream_in_a_raw_answer(nursery: trio.Nursery, autojump_clock: object) -> None:
    busy = Reply.error(503, "busy", headers={"retry-after-ms": "1500"})
    slow = Reply.chat("Hello there.", pace=3.0)
    server = await serve(nursery, [busy, slow])
    client, _ = client_over(server)
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
        assert raw.headers["content-type"].startswith("text/event-stream")
        assert (raw.request_id, raw.retries_taken) == ("req_scripted", 1)
        assert raw.elapsed == timedelta(seconds=1.5)
        assert repr(raw) == "<RawResponse 200, a stream>"
        for read in (lambda: raw.content, lambda: raw.text, raw.json):
            with pytest.raises(RuntimeError, match="parse"):
                read()
        stream = raw.parse()
        assert raw.parse() is stream
        assert (await stream.get_final_completion()).choices[0].message.content == "Hello there."


async def test_a_stream_in_a_raw_answer_can_be_closed(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, [Reply.sse(chunk("Hi"), Stall()), PLAIN])
    client, _ = client_over(server)
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
        await raw.aclose()
        await server.wait_disconnect()
        assert client.statistics().open_streams == 0
        await (await client.chat.completions.with_raw_response.create(**CHAT)).aclose()


# --------------------------------------------------------------------------------------------------------- its messages


async def messages_of(client: TrioOpenAI, **params: Any) -> list[ServerSentEvent]:
    async with client.chat.completions.stream(**CHAT, **params) as stream:
        return [message async for message in stream.messages]


async def test_messages_are_those_of_the_html_standard(nursery: trio.Nursery, autojump_clock: object) -> None:
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
async def test_the_messages_of_every_endpoint_are_its_events(
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
async def test_messages_and_bytes_however_they_are_cut(
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


async def test_a_cut_stream_of_messages_is_never_a_whole_one(nursery: trio.Nursery, autojump_clock: object) -> None:
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


async def test_the_message_that_reports_an_error_comes_before_the_error(
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


async def test_what_was_not_handed_over_is_retried_and_not_seen(nursery: trio.Nursery, autojump_clock: object) -> None:
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


async def test_after_the_first_piece_nothing_is_replayed(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, [body(b": wait\n\n", Pause(1), Reset()), HELLO])
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        pieces = stream.raw_bytes
        assert await anext(pieces) == b": wait\n\n"
        with pytest.raises(StreamTruncatedError):
            await anext(pieces)
    assert len(server.requests) == 1


async def test_the_last_attempts_bytes_come_before_its_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.sse(OVERLOADED, done=False))
    client, _ = client_over(server, max_retries=1)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        pieces = stream.raw_bytes
        assert await anext(pieces) == sse_event(OVERLOADED)
        for _ in range(2):
            with pytest.raises(APIError, match="busy"):
                await anext(pieces)
    assert len(server.requests) == 2


async def test_the_bytes_of_what_is_no_event_stream_can_be_looked_at(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, Reply(200, {"content-type": "text/html"}, b"<html>We are closed.</html>"))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        pieces = stream.raw_bytes
        assert await anext(pieces) == b"<html>We are closed.</html>"
        with pytest.raises(APIResponseValidationError, match="text/html"):
            await anext(pieces)


async def test_bytes_come_as_they_come(nursery: trio.Nursery, autojump_clock: object) -> None:
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
async def test_comments_do_not_hold_a_dead_stream_open(
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
async def test_leaving_the_block_closes_the_connection(
    nursery: trio.Nursery, autojump_clock: object, kind: str
) -> None:
    server = await serve(nursery, [Reply.sse(chunk("Hi"), Stall()), HELLO])
    client, transport = client_over(server)
    async with client:
        async with client.chat.completions.stream(**CHAT) as stream:
            async for _ in getattr(stream, kind):
                break
        assert transport.statistics().active == 0
        await server.wait_disconnect()
        with pytest.raises(trio.ClosedResourceError):
            await anext(getattr(stream, kind))
        async with client.chat.completions.stream(**CHAT) as stream:
            assert len([one async for one in getattr(stream, kind)]) > 1
            with pytest.raises(StopAsyncIteration):
                await anext(getattr(stream, kind))
        assert transport.statistics().active == 0


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_a_closed_stream_that_was_not_read(nursery: trio.Nursery, autojump_clock: object, kind: str) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    async with client:
        async with client.chat.completions.stream(**CHAT) as stream:
            pass
        with pytest.raises(trio.ClosedResourceError):
            await anext(getattr(stream, kind))


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_one_task_at_a_time(nursery: trio.Nursery, autojump_clock: object, kind: str) -> None:
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
async def test_it_is_too_late_after_something_else(nursery: trio.Nursery, autojump_clock: object, kind: str) -> None:
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


async def test_to_look_at_a_stream_changes_nothing(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        assert stream.messages is not stream.raw_bytes  # as a debugger looks at all properties
        assert {type(event).__name__ async for event in stream} == {"ChatCompletionChunk"}


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
async def test_subscribers_get_the_typed_events(nursery: trio.Nursery, autojump_clock: object, kind: str) -> None:
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
async def test_a_step_that_is_cancelled_loses_nothing(nursery: trio.Nursery, autojump_clock: object, kind: str) -> None:
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
async def test_cancelled_anywhere_nothing_is_left(
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


async def test_messages_do_not_pile_up_while_events_are_read(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.chat("word " * 200))
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        assert (await anext(stream.messages)).data
        async for _ in stream:
            decoder: Any = source_of(stream).lifecycle.decoder
            assert len(decoder.messages) <= 1
        assert str(stream.verdict) == "done by [DONE] (stop)"


async def test_the_messages_of_a_resumed_response_come_once(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, server_that_breaks(4, 5, back=3))
    client, _ = client_over(server)
    async with client, client.responses.stream(**ASK, resume=True) as stream:
        seen = [message.json() async for message in stream.messages]
        assert stream.timings.resumes == 2
    assert seen == ALL


async def test_the_bytes_of_a_stream_are_of_one_connection(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, server_that_breaks(4))
    client, _ = client_over(server)
    async with client, client.responses.stream(**ASK, resume=True) as stream:
        with pytest.raises(StreamTruncatedError):
            [piece async for piece in stream.raw_bytes]
    assert len(server.requests) == 1


async def test_any_other_endpoint_too(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, body(b'id: 4\nevent: token\ndata: {"a": 1}\n\n'))
    client, _ = client_over(server)
    async with client, client.stream_request("POST", "/completion", json={}, end=None) as stream:
        (message,) = [message async for message in stream.messages]
    assert (message.id, message.event, message.json()) == ("4", "token", {"a": 1})


async def test_the_result_is_typed(nursery: trio.Nursery, autojump_clock: object) -> None:
    """For the type checker: these lines do not pass if `parse` gives anything else."""
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    async with client:
        raw: RawResponse[ChatCompletion] = await client.chat.completions.with_raw_response.create(**CHAT)
        content: str | None = raw.parse().choices[0].message.content
    assert content == "Hello there."
