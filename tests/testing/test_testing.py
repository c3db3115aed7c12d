"""The scripted server, tested with raw streams, and with stock httpx where that is easier."""

from __future__ import annotations

import ast
import json
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

import trio_openai.testing
from trio_openai.testing import (
    Cut,
    Pause,
    RecordedRequest,
    Reply,
    Reset,
    ScriptedServer,
    ServerStatistics,
    Stall,
    auto_reply,
    sse_event,
)
from trio_openai.testing._http import MAX_BODY, MAX_HEADER, Incoming, RequestParser, wire_steps
from trio_openai.testing._server import Ledger

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}"

both_kinds = pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])


def steps_on_wire(reply: Reply, method: str = "POST", *, http11: bool = True, keep_alive: bool = True) -> list[Any]:
    return list(wire_steps(reply, Incoming(RecordedRequest(method, "/", []), http11, keep_alive)))


def body_of(reply: Reply) -> bytes:
    return b"".join(step for step in reply.body if isinstance(step, bytes))


def events_of(reply: Reply) -> list[Any]:
    """Return the decoded data of a reply's events. `[DONE]` stays text."""
    blocks = body_of(reply).decode().split("\n\n")[:-1]
    data = [block.split("data: ", 1)[1] for block in blocks]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    with trio.fail_after(5):
        return b"".join([bytes(part) async for part in stream])


async def read_until(stream: trio.abc.ReceiveStream, end: bytes) -> bytes:
    data = b""
    with trio.fail_after(5):
        while end not in data:
            part = await stream.receive_some()
            assert part, f"ended without {end!r}: {data!r}"
            data += part
    return data


Ask = Callable[..., Awaitable[trio.abc.HalfCloseableStream]]


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """Connect to a server and send a request or other bytes. The connection is closed at the end of the test."""
    streams: list[trio.abc.HalfCloseableStream] = []

    async def ask(server: ScriptedServer, request: bytes = REQUEST) -> trio.abc.HalfCloseableStream:
        stream = await server.open_stream("test", 80)
        streams.append(stream)
        await stream.send_all(request)
        return stream

    yield ask
    for stream in streams:
        await trio.aclose_forcefully(stream)


def peer_leaves(stream: trio.abc.Stream) -> None:
    """Close a client's end without an await, as a killed process would."""
    (stream.socket if isinstance(stream, trio.SocketStream) else stream).close()  # type: ignore[attr-defined]


# Replies as data


def test_reply_takes_mapping_pairs_and_single_bytes():
    assert Reply(headers={"a": "b"}) == Reply(headers=[("a", "b")])
    assert Reply(body=b"x").body == (b"x",)
    assert Reply().body == ()


def test_records_are_frozen():
    for record in (Reply(), Pause(1), Stall(), Cut(), Reset(), RecordedRequest("GET", "/", [])):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            record.status = 1  # type: ignore[union-attr, misc, assignment]


@pytest.mark.parametrize("seconds", [-1, math.nan])
def test_negative_times_are_refused(seconds: float):
    with pytest.raises(ValueError, match="must be >= 0"):
        Pause(seconds)
    with pytest.raises(ValueError, match="must be >= 0"):
        Reply(delay=seconds)


def test_unknown_framing_is_refused():
    with pytest.raises(ValueError, match="framing"):
        Reply(framing="bogus")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "event", "encoded"),
    [
        ({"a": "é"}, None, 'data: {"a":"é"}\n\n'.encode()),
        ("two\nlines", None, b"data: two\ndata: lines\n\n"),
        (b"\xff", "odd", b"event: odd\ndata: \xff\n\n"),
        ("", None, b"data: \n\n"),
    ],
)
def test_sse_event(data: Any, event: str | None, encoded: bytes):
    assert sse_event(data, event=event) == encoded


def test_sse_has_one_step_per_event():
    reply = Reply.sse({"a": 1}, "text", Pause(3), b"bytes", Stall(), headers={"X": "y"})
    expected = (
        b'data: {"a":1}\n\n',
        b"data: text\n\n",
        Pause(3),
        b"data: bytes\n\n",
        Stall(),
        b"data: [DONE]\n\n",
    )
    assert reply.body == expected
    assert dict(reply.headers) == {
        "content-type": "text/event-stream; charset=utf-8",
        "x-request-id": "req_scripted",
        "X": "y",
    }


def test_sse_named_paced_and_without_done():
    reply = Reply.sse({"type": "a"}, "b", done=False, named=True, pace=0.5, status=201)
    assert reply.body == (b'event: a\ndata: {"type":"a"}\n\n', Pause(0.5), b"data: b\n\n")
    assert reply.status == 201


def test_given_header_replaces_the_default_one():
    reply = Reply.json({}, headers={"X-Request-Id": "mine"})
    assert reply.headers == (("content-type", "application/json"), ("X-Request-Id", "mine"))


def test_chat_chunks_look_like_openais():
    reply = Reply.chat("Hello  big world", model="m", prompt_tokens=5)
    *chunks, done = events_of(reply)
    assert done == "[DONE]"
    for chunk in chunks:
        fields = "id object created model service_tier system_fingerprint choices usage"
        assert list(chunk) == fields.split()
        assert (chunk["id"], chunk["object"], chunk["model"]) == ("chatcmpl-scripted", "chat.completion.chunk", "m")
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert all(list(choice) == ["index", "delta", "logprobs", "finish_reason"] for choice in choices)
    assert choices[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert [choice["delta"].get("content") for choice in choices[1:]] == ["Hello  ", "big ", "world", None]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, None, "stop"]
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 5
    assert chunks[-1]["choices"] == []
    usage = chunks[-1]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (5, 3, 8)


def test_chat_without_usage_has_no_usage_field():
    *chunks, _ = events_of(Reply.chat("a b", usage=False, finish_reason="length"))
    assert not any("usage" in chunk for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_paced_chat_waits_only_between_chunks():
    body = Reply.chat("a b", pace=0.25).body
    assert not isinstance(body[0], Pause)
    assert not isinstance(body[-1], Pause)
    assert body[1::2] == (Pause(0.25),) * 5


def test_chat_that_is_not_streamed_is_json():
    reply = Reply.chat("a b", stream=False, model="m", completion_id="c")
    whole = json.loads(body_of(reply))
    assert (whole["id"], whole["object"], whole["model"]) == ("c", "chat.completion", "m")
    assert whole["choices"][0]["message"]["content"] == "a b"
    assert whole["usage"]["completion_tokens"] == 2
    assert reply.framing == "length"


def test_response_events_look_like_openais():
    reply = Reply.response("one two", model="m", prompt_tokens=4, response_id="resp_1")
    events = events_of(reply)
    names = [line.removeprefix("event: ") for line in body_of(reply).decode().split("\n") if line.startswith("event: ")]
    assert names == [event["type"] for event in events]
    assert [name.removeprefix("response.") for name in names] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    assert events[0]["response"]["status"] == "in_progress"
    assert events[0]["response"]["output"] == []
    assert [event["delta"] for event in events[4:6]] == ["one ", "two"]
    assert events[6]["text"] == events[7]["part"]["text"] == "one two"
    assert {event["item_id"] for event in events[3:8]} == {events[8]["item"]["id"]} == {"msg_1"}
    response = events[-1]["response"]
    assert (response["id"], response["status"], response["model"]) == ("resp_1", "completed", "m")
    assert response["output"] == [events[8]["item"]]
    assert response["output"][0]["content"][0]["text"] == "one two"
    assert (response["usage"]["input_tokens"], response["usage"]["output_tokens"]) == (4, 2)
    assert json.loads(
        body_of(Reply.response("one two", model="m", prompt_tokens=4, response_id="resp_1", stream=False))
    ) == (response)


@given(st.text())
def test_joined_words_are_the_text(text: str):
    *chunks, _ = events_of(Reply.chat(text, usage=False))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == text


def test_error_has_openais_shape():
    reply = Reply.error(429, "Slow down", code="rate_limit_exceeded", type="requests", headers={"retry-after": "1"})
    assert json.loads(body_of(reply)) == {
        "error": {"message": "Slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    }
    assert reply.status == 429
    assert ("retry-after", "1") in reply.headers
    assert json.loads(body_of(Reply.error(400, "")))["error"]["type"] == "invalid_request_error"
    assert json.loads(body_of(Reply.error(500, "")))["error"]["type"] == "server_error"


def test_cut_stall_and_reset_after_a_number_of_bytes():
    reply = Reply(body=[b"abc", Pause(1), b"def"])
    assert reply.cut_after(4).body == (b"abc", Pause(1), b"d", Cut())
    assert reply.cut_after(3).body == (b"abc", Cut())
    assert reply.stall_after(0).body == (Stall(),)
    assert reply.reset_after(99).body == (b"abc", Pause(1), b"def", Reset())
    with pytest.raises(ValueError, match="-1"):
        reply.cut_after(-1)


def test_broken_off_reply_announces_the_full_length():
    reply = Reply.json({"a": 1}).cut_after(2)
    assert b"content-length: 7\r\n" in steps_on_wire(reply)[0]
    assert b"content-length: 7\r\n" in steps_on_wire(reply.cut_after(1))[0]


def test_sliced_cuts_across_steps_and_keeps_waits():
    reply = Reply(body=[b"abcd", b"e", Pause(1), b"fgh"])
    assert reply.sliced(3).body == (b"abc", b"de", Pause(1), b"fgh")
    assert reply.sliced(100).body == (b"abcde", Pause(1), b"fgh")
    with pytest.raises(ValueError, match="at least 1 byte"):
        reply.sliced(0)


@given(st.lists(st.binary(max_size=5) | st.just(Pause(1))), st.integers(1, 7), st.integers(0, 30))
def test_slicing_and_breaking_off_keep_the_bytes(body: list[bytes | Pause], k: int, n: int):
    reply = Reply(body=body)
    assert body_of(reply.sliced(k)) == body_of(reply)
    assert body_of(reply.cut_after(n)) == body_of(reply)[:n]
    assert reply.cut_after(n).body[-1] == Cut()


# Replies as bytes to write


def test_chunked_has_one_write_per_step_and_the_last_includes_the_end():
    head, first, wait, last = steps_on_wire(Reply(body=[b"abc", b"", Pause(1), b"x" * 16]))
    assert head == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert (first, wait, last) == (b"3\r\nabc\r\n", Pause(1), b"10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n")


def test_end_of_chunks_comes_after_a_final_wait():
    assert steps_on_wire(Reply(body=[b"abc", Pause(1)]))[1:] == [b"3\r\nabc\r\n", Pause(1), b"0\r\n\r\n"]
    assert steps_on_wire(Reply())[1:] == [b"0\r\n\r\n"]


def test_status_line_and_headers():
    length = Reply(404, {"A": "b"}, b"xyz", "length")
    assert steps_on_wire(length) == [b"HTTP/1.1 404 Not Found\r\nA: b\r\ncontent-length: 3\r\n\r\n", b"xyz"]
    close = Reply(599, body=b"xyz", framing="close")
    assert steps_on_wire(close) == [b"HTTP/1.1 599 Unknown\r\nconnection: close\r\n\r\n", b"xyz"]
    assert steps_on_wire(Reply.raw(b"garb", b"age")) == [b"garb", b"age"]
    assert steps_on_wire(Reply(delay=2, framing="raw")) == [Pause(2)]


def test_head_requests_and_bodiless_statuses_get_no_body():
    assert steps_on_wire(Reply.json({}), "HEAD")[1:] == []
    assert steps_on_wire(Reply(204, body=b"x")) == [b"HTTP/1.1 204 No Content\r\n\r\n"]


def test_http_1_0_gets_no_chunks():
    reply = Reply(body=[b"abc"])
    assert steps_on_wire(reply, http11=False, keep_alive=False) == [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        b"abc",
    ]


# Requests


def parsed(data: bytes, size: int = 1 << 20) -> RequestParser:
    parser = RequestParser()
    for at in range(0, len(data), size):
        parser.feed(data[at : at + size])
    return parser


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_requests_are_parsed_wherever_the_bytes_are_split(size: int):
    chunked = b"PUT /a?b=c HTTP/1.1\r\nX-Y: z\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    parser = parsed(REQUEST + chunked, size)
    first, second = (incoming.request for incoming in parser.complete)
    assert (first.method, first.target, first.json()) == ("POST", "/v1/chat/completions", {})
    assert (second.method, second.target, second.path, second.body) == ("PUT", "/a?b=c", "/a", b"abc")
    assert second.headers == [("x-y", "z"), ("transfer-encoding", "chunked")]
    assert (second.header("X-Y"), second.header("none")) == ("z", None)
    assert parser.refusal is None


def test_keep_alive_depends_on_the_request():
    for request, expected in [
        (REQUEST, (True, True)),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", (True, False)),
        (b"GET / HTTP/1.0\r\n\r\n", (False, False)),
        (b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", (True, False)),
    ]:
        (incoming,) = parsed(request).complete
        assert (incoming.http11, incoming.keep_alive) == expected


def test_a_request_before_garbage_is_still_answered():
    parser = parsed(REQUEST + b"\x00\x01garbage\r\n\r\n")
    assert len(parser.complete) == 1
    assert parser.refusal is not None
    assert parser.refusal.status == 400
    parser.feed(REQUEST)
    assert len(parser.complete) == 1


@pytest.mark.parametrize(
    "header",
    [b"A: " + b"x" * MAX_HEADER * 2, b"A: b\r\n" * MAX_HEADER, b"A: " + b"x" * (MAX_HEADER + 1) + b"\r\n\r\n"],
    ids=["endless", "many", "long"],
)
@pytest.mark.parametrize("size", [60_000, 10_000_000])
def test_header_is_bounded(header: bytes, size: int):
    parser = parsed(b"GET / HTTP/1.1\r\n" + header, size)
    assert parser.refusal is not None
    assert parser.refusal.status == 431
    assert not parser.complete


def test_body_is_bounded():
    parser = parsed(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1))
    assert parser.refusal is None
    megabyte = bytes(1 << 20)
    for _ in range(64):
        parser.feed(megabyte)
    assert parser.refusal is None
    parser.feed(b"x")
    assert parser.refusal is not None
    assert parser.refusal.status == 413
    assert not parser.complete


# The server


@both_kinds
async def test_reply_is_sent_as_scripted(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer(Reply(201, {"A": "b"}, [b"one", b"two"], "close"))
    await server.start(nursery, memory=memory)
    stream = await ask(server)
    assert await read_all(stream) == b"HTTP/1.1 201 Created\r\nA: b\r\nconnection: close\r\n\r\nonetwo"
    (request,) = server.requests
    expected = [("host", "test"), ("content-length", "2")]
    assert request == RecordedRequest("POST", "/v1/chat/completions", expected, b"{}")
    assert server.statistics() == ServerStatistics(connections=0, accepted=1, requests=1, disconnects=0)


async def test_stock_httpx_reads_a_chat_over_a_socket(nursery: trio.Nursery):
    server = ScriptedServer(
        [Reply.chat("Hello there"), Reply.json({"a": 1}, 418), Reply.chat("x", stream=True).sliced(1)]
    )
    await server.start(nursery)
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False) as client:
        response = await client.post("/chat/completions", json={"model": "m", "stream": True})
        assert response.content == body_of(Reply.chat("Hello there"))
        assert response.headers["content-type"].startswith("text/event-stream")
        response = await client.get("/x")
        assert (response.status_code, response.json()) == (418, {"a": 1})
        response = await client.post("/chat/completions", content=iterate(b"a", b"b"))
        assert response.content == body_of(Reply.chat("x"))
    assert [request.method for request in server.requests] == ["POST", "GET", "POST"]
    assert server.requests[0].json() == {"model": "m", "stream": True}
    assert server.requests[2].body == b"ab"
    assert server.statistics().accepted == 1


async def iterate(*parts: bytes) -> Any:
    for part in parts:
        yield part


async def test_script_may_be_a_function(nursery: trio.Nursery, ask: Ask):
    server = ScriptedServer(lambda request: Reply.raw(request.target.encode()))
    await server.start(nursery, memory=True)
    for path in (b"/a", b"/b"):
        assert await read_all(await ask(server, b"GET %b HTTP/1.1\r\n\r\n" % path)) == path


async def test_exception_in_the_script_is_raised_by_the_nursery(ask: Ask):
    def script(request: RecordedRequest) -> Reply:
        raise KeyError(request.target)

    with pytest.RaisesGroup(pytest.RaisesExc(KeyError, match="/x"), flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            server = ScriptedServer(script)
            await server.start(nursery, memory=True)
            stream = await ask(server, b"GET /x HTTP/1.1\r\n\r\n")
            assert await read_all(stream) == b""
    with pytest.raises(ConnectionRefusedError):
        await server.open_stream()
    assert server.statistics().connections == 0


@both_kinds
async def test_an_event_is_sent_before_the_next_step(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer(Reply.sse("a", Stall()))
    await server.start(nursery, memory=memory)
    stream = await ask(server)
    assert (await read_until(stream, b"data: a\n\n\r\n")).endswith(b"\r\n\r\n9\r\ndata: a\n\n\r\n")


async def test_waits_use_trios_clock(nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, ask: Ask):
    server = ScriptedServer([Reply.chat("a b c", pace=10, stream=True), attrs.evolve(Reply.json({}), delay=7)])
    await server.start(nursery, memory=True)
    start = trio.current_time()
    stream = await ask(server)
    with trio.fail_after(1000):
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += await stream.receive_some()
    assert trio.current_time() - start == pytest.approx(60)
    await stream.send_all(REQUEST)
    with trio.fail_after(1000):
        await stream.receive_some()
    assert trio.current_time() - start == pytest.approx(67)


@both_kinds
@pytest.mark.parametrize(
    "reply",
    [
        Reply.sse("a", Stall()),
        Reply.sse("a", Pause(10_000)),
        Reply.chat("a b c").stall_after(50),
        attrs.evolve(Reply.json({}), delay=math.inf),
    ],
    ids=["stall", "pause", "stall_after", "delay"],
)
async def test_disconnect_is_noticed_at_once(nursery: trio.Nursery, memory: bool, reply: Reply, ask: Ask):
    server = ScriptedServer(reply)
    await server.start(nursery, memory=memory)
    stream = await ask(server)
    with trio.fail_after(5):
        await server.wait_requests()
    if not reply.delay:
        await read_until(stream, b"\r\n\r\n")
    assert server.statistics() == ServerStatistics(connections=1, accepted=1, requests=1, disconnects=0)
    peer_leaves(stream)
    with trio.fail_after(5):
        await server.wait_disconnect()
        await server.wait_idle()
    assert server.statistics() == ServerStatistics(connections=0, accepted=1, requests=1, disconnects=1)


async def test_disconnect_is_noticed_while_a_write_is_blocked(nursery: trio.Nursery, ask: Ask):
    server = ScriptedServer(Reply(body=[bytes(50_000_000)]))
    await server.start(nursery)
    stream = await ask(server)
    await stream.receive_some(1)
    peer_leaves(stream)
    with trio.fail_after(5):
        await server.wait_disconnect()


@both_kinds
async def test_leaving_after_the_last_event_does_not_count_as_disconnect(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer(Reply.chat("a b c", stream=True))
    await server.start(nursery, memory=memory)
    for _ in range(20):
        stream = await ask(server)
        await read_until(stream, b"[DONE]\n\n\r\n0\r\n\r\n")
        peer_leaves(stream)
    with trio.fail_after(5):
        await server.wait_idle()
    assert server.statistics().disconnects == 0


async def test_wait_disconnect_counts(nursery: trio.Nursery, ask: Ask):
    server = ScriptedServer(Reply(body=[Stall()]))
    await server.start(nursery, memory=True)
    streams = [await ask(server) for _ in range(3)]
    finished = trio.Event()

    async def wait_for_all() -> None:
        await server.wait_disconnect(3)
        finished.set()

    nursery.start_soon(wait_for_all)
    for stream in streams:
        await trio.testing.wait_all_tasks_blocked()
        assert not finished.is_set()
        peer_leaves(stream)
    with trio.fail_after(5):
        await finished.wait()


@both_kinds
async def test_keep_alive_serves_several_requests(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer([Reply.json({"n": n}) for n in range(3)])
    await server.start(nursery, memory=memory)
    stream = await ask(server, b"")
    for n in range(3):
        await stream.send_all(REQUEST)
        await read_until(stream, b'{"n":%d}' % n)
    assert server.statistics() == ServerStatistics(connections=1, accepted=1, requests=3, disconnects=0)
    peer_leaves(stream)
    with trio.fail_after(5):
        await server.wait_closed()
    assert server.statistics() == ServerStatistics(connections=0, accepted=1, requests=3, disconnects=0)


@both_kinds
async def test_pipelined_requests_are_not_lost(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer([Reply.json({"n": n}) for n in range(4)])
    await server.start(nursery, memory=memory)
    stream = await ask(server, REQUEST + REQUEST + REQUEST[:30])
    await read_until(stream, b'{"n":1}')
    await stream.send_all(REQUEST[30:] + b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert (await read_all(stream)).endswith(b'{"n":3}')
    assert [request.method for request in server.requests] == ["POST"] * 3 + ["GET"]


async def test_request_that_arrives_during_a_reply_is_kept(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, ask: Ask
):
    server = ScriptedServer([Reply(body=[b"a", Pause(10), b"b"]), Reply.raw(b"second")])
    await server.start(nursery, memory=True)
    stream = await ask(server)
    await stream.send_all(REQUEST[:20])
    await trio.testing.wait_all_tasks_blocked()
    await stream.send_all(REQUEST[20:])
    data = await stream.receive_some()
    while part := await stream.receive_some():
        data += part
    assert data.endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\nsecond")
    assert len(server.requests) == 2
    assert server.requests[0] == server.requests[1]


async def test_early_requests_are_buffered_only_up_to_a_limit(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, ask: Ask
):
    server = ScriptedServer([Reply(body=[Pause(10), b"b"]), Reply.raw(b"second")])
    await server.start(nursery, memory=True)
    body = bytes(3_000_000)
    stream = await ask(server, REQUEST + b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    data = b""
    while part := await stream.receive_some():
        data += part
    assert data.endswith(b"b\r\n0\r\n\r\nsecond")
    assert server.requests[1].body == body


@both_kinds
async def test_cut_ends_the_connection_without_the_end_of_the_body(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer(Reply.sse("a", "b").cut_after(9))
    await server.start(nursery, memory=memory)
    stream = await ask(server)
    assert (await read_all(stream)).endswith(b"\r\n\r\n9\r\ndata: a\n\n\r\n")
    await server.wait_idle()
    assert server.statistics() == ServerStatistics(connections=0, accepted=1, requests=1, disconnects=0)


@both_kinds
async def test_reset_breaks_the_connection(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer(Reply(body=[b"abc", Reset()]))
    await server.start(nursery, memory=memory)
    for _ in range(20):
        stream = await ask(server)
        assert await read_until(stream, b"abc\r\n")
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    assert server.statistics().disconnects == 0


async def test_reset_with_a_reader_waiting_in_memory(nursery: trio.Nursery, ask: Ask):
    server = ScriptedServer(Reply.raw(b"abc", Reset()))
    await server.start(nursery, memory=True)
    stream = await ask(server)
    await trio.testing.wait_all_tasks_blocked()
    assert await stream.receive_some() == b"abc"
    with pytest.raises(trio.BrokenResourceError):
        await stream.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await stream.send_all(b"x")


@both_kinds
async def test_close_after_is_not_announced_in_a_header(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer(attrs.evolve(Reply.json({}), close_after=True))
    await server.start(nursery, memory=memory)
    data = await read_all(await ask(server))
    assert data.endswith(b"content-length: 2\r\n\r\n{}")
    assert b"connection" not in data


@pytest.mark.parametrize("headers", [{"Connection": "Close"}, {}])
async def test_connection_header_of_the_reply_is_kept(nursery: trio.Nursery, headers: dict[str, str], ask: Ask):
    server = ScriptedServer(Reply(200, headers, b"x", "length"))
    await server.start(nursery, memory=True)
    stream = await ask(server)
    await read_until(stream, b"x")
    await trio.testing.wait_all_tasks_blocked()
    assert server.statistics().connections == (0 if headers else 1)


async def test_raw_reply_can_keep_the_connection(nursery: trio.Nursery, ask: Ask):
    server = ScriptedServer([Reply.raw(b"one.", close=False), Reply.raw(b"two.")])
    await server.start(nursery, memory=True)
    stream = await ask(server, REQUEST * 2)
    assert await read_all(stream) == b"one.two."


@both_kinds
@pytest.mark.parametrize(
    ("request_", "status"),
    [(b"garbage\r\n\r\n" + bytes(300_000), 400), (b"GET / HTTP/1.1\r\nA: " + b"x" * 300_000, 431)],
    ids=["garbage", "header"],
)
async def test_an_invalid_request_gets_an_error_that_says_why(
    nursery: trio.Nursery, memory: bool, request_: bytes, status: int, ask: Ask
):
    server = ScriptedServer(Reply())
    await server.start(nursery, memory=memory)
    stream = await ask(server, request_)
    data = await read_all(stream)
    assert data.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close\r\n" in data
    assert server.requests == []


async def test_connection_of_an_invalid_request_is_closed_after_a_second(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, ask: Ask
):
    server = ScriptedServer(Reply())
    await server.start(nursery, memory=True)
    stream = await ask(server, b"garbage\r\n\r\n")
    await read_all(stream)
    assert server.statistics().connections == 1
    await trio.sleep(2)
    assert server.statistics().connections == 0


@both_kinds
async def test_an_incomplete_request_is_not_recorded(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer(Reply())
    await server.start(nursery, memory=memory)
    stream = await ask(server, REQUEST[:-1])
    await stream.send_eof()
    assert await read_all(stream) == b""
    await server.wait_idle()
    assert server.statistics() == ServerStatistics(connections=0, accepted=1, requests=0, disconnects=0)


# Starting and stopping


@both_kinds
async def test_aclose_closes_every_connection(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer(Reply(body=[b"x", Stall()]))
    await server.start(nursery, memory=memory)
    streams = [await ask(server) for _ in range(3)]
    for stream in streams:
        await read_until(stream, b"x\r\n")
    streams.append(await ask(server, b""))
    with trio.fail_after(5):
        await server.aclose()
        await server.aclose()
        await server.wait_idle()
    for stream in streams:
        assert await read_all(stream) == b""
        assert server.statistics() == ServerStatistics(
            connections=0, accepted=server.statistics().accepted, requests=3, disconnects=0
        )
    with pytest.raises(ConnectionRefusedError):
        await server.open_stream("host", 1)


@both_kinds
async def test_cancelling_the_nursery_ends_the_server(memory: bool, ask: Ask):
    server = ScriptedServer(Reply(body=[b"x", Stall()]))
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await server.start(nursery, memory=memory)
            stream = await ask(server)
            await read_until(stream, b"x\r\n")
            nursery.cancel_scope.cancel()
    assert server.statistics() == ServerStatistics(connections=0, accepted=1, requests=1, disconnects=0)
    assert await read_all(stream) == b""
    if not memory:
        host, port = httpx.URL(server.base_url).host, httpx.URL(server.base_url).port
        assert port
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream(host, port)


@both_kinds
async def test_server_can_be_restarted_but_not_started_twice(nursery: trio.Nursery, memory: bool, ask: Ask):
    server = ScriptedServer(Reply.raw(b"x"))
    await server.start(nursery, memory=memory)
    with pytest.raises(RuntimeError, match="running already"):
        await server.start(nursery)
    await server.aclose()
    await server.start(nursery, memory=memory)
    assert await read_all(await ask(server)) == b"x"


async def test_starting_on_a_port_in_use_raises_os_error(nursery: trio.Nursery):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        server = ScriptedServer(Reply())
        with pytest.raises(OSError, match=r"[Aa]ddress"):
            await server.start(nursery, port=busy.getsockname()[1])
    with pytest.raises(ConnectionRefusedError):
        await server.open_stream()
    assert server.base_url == ""


async def test_start_can_be_cancelled_at_every_checkpoint():
    for _ in range(10):
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.cancel()
            await ScriptedServer(Reply()).start(nursery)


async def test_closed_memory_stream_raises(nursery: trio.Nursery):
    server = ScriptedServer(Reply())
    await server.start(nursery, memory=True)
    stream = await server.open_stream()
    await stream.wait_send_all_might_not_block()
    await stream.aclose()
    await stream.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await stream.receive_some()
    with pytest.raises(trio.ClosedResourceError):
        await stream.send_all(b"x")


async def test_wait_until_returns_only_when_the_condition_holds():
    ledger = Ledger()
    ledger.began(RecordedRequest("GET", "/", []))
    with trio.move_on_after(0.01) as scope:
        await ledger.wait_until(lambda: ledger.replying == 0)
    assert scope.cancelled_caught


# The client that the server makes


def test_client_before_start_is_refused():
    with pytest.raises(RuntimeError, match="start the server before"):
        ScriptedServer(Reply()).client()


@attrs.define
class FakeTransport:
    """A stand-in for `TrioTransport` that records its arguments."""

    max_connections: int
    open_stream: Callable[..., object]


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])
async def test_client_gets_the_right_options(nursery: trio.Nursery, memory: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trio_openai, "TrioOpenAI", dict, raising=False)
    monkeypatch.setattr(trio_openai, "TrioTransport", FakeTransport, raising=False)
    server = ScriptedServer(Reply())
    await server.start(nursery, memory=memory)
    options: dict[str, Any] = dict(server.client(api_key="mine", max_connections=3))  # type: ignore[call-overload]
    http_client = options.pop("http_client", None)
    assert options == {"api_key": "mine", "base_url": server.base_url, "max_connections": 3}
    if memory:
        assert http_client._transport == FakeTransport(3, server.open_stream)
        assert http_client.trust_env is False
    else:
        assert http_client is None
    own = object()
    assert dict(server.client(http_client=own))["http_client"] is own  # type: ignore[call-overload]


@both_kinds
@pytest.mark.skipif(not hasattr(trio_openai, "TrioOpenAI"), reason="the client is not there yet")
async def test_client(nursery: trio.Nursery, memory: bool):
    server = ScriptedServer(Reply.chat("Hello there"))
    await server.start(nursery, memory=memory)
    with trio.fail_after(5):
        async with server.client(max_retries=0) as client:
            messages: list[Any] = [{"role": "user", "content": "hi"}]
            async with client.chat.completions.stream(model="m", messages=messages) as stream:
                completion = await stream.get_final_completion()
    assert completion.choices[0].message.content == "Hello there"
    assert server.requests[0].json()["messages"] == messages
    assert server.statistics().disconnects == 0


# auto_reply


def request_for(path: str, body: Any, method: str = "POST") -> RecordedRequest:
    return RecordedRequest(method, path, [], body if isinstance(body, bytes) else json.dumps(body).encode())


def chat_text(reply: Reply) -> str:
    return "".join(
        chunk["choices"][0]["delta"].get("content") or "" for chunk in events_of(reply)[:-1] if chunk["choices"]
    )


def test_auto_reply_streams_a_chat():
    messages = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": "What is the tallest mountain on the whole wide earth, please?"},
        {"role": "assistant", "content": "hm"},
    ]
    body = {"model": "any", "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    reply = auto_reply(request_for("/v1/chat/completions?x=y", body))
    chunks = events_of(reply)
    text = chat_text(reply)
    assert text.startswith('You asked: "What is the tallest mountain on the whole ..." ')
    assert 50 <= len(text.split()) <= 70
    assert {chunk["model"] for chunk in chunks[:-1]} == {"any"}
    assert chunks[-2]["usage"]["prompt_tokens"] == 11
    assert Pause(0.02) in reply.body
    assert auto_reply(request_for("/v1/chat/completions?x=y", body)) == reply


def test_auto_reply_reports_usage_only_if_requested():
    reply = auto_reply(request_for("/chat/completions", {"model": "m", "stream": True, "messages": []}), pace=0)
    assert not any("usage" in chunk for chunk in events_of(reply)[:-1])
    assert not any(isinstance(step, Pause) for step in reply.body)


def test_auto_reply_without_streaming():
    parts = [{"type": "text", "text": "Hi"}, {"type": "image_url"}, "odd", {"type": "text", "text": "you"}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
    whole = json.loads(body_of(auto_reply(request_for("/v1/chat/completions", body))))
    assert whole["choices"][0]["message"]["content"].startswith('You asked: "Hi you" This answer')


@pytest.mark.parametrize(
    "asked", ["Hi you", [{"role": "user", "content": "Hi you"}], [{"role": "user", "content": [{"text": "Hi you"}]}]]
)
def test_auto_reply_to_responses(asked: Any):
    body = {"model": "m", "input": asked}
    whole = json.loads(body_of(auto_reply(request_for("/v1/responses", body))))
    assert whole["output"][0]["content"][0]["text"].startswith('You asked: "Hi you" This answer')
    events = events_of(auto_reply(request_for("/v1/responses", {**body, "stream": True})))
    assert events[-1]["response"] == whole


@pytest.mark.parametrize(
    ("path", "body", "method", "status", "message"),
    [
        ("/v1/nothing", {}, "POST", 404, "Invalid URL (POST /v1/nothing)"),
        ("/v1/chat/completions", b"", "GET", 404, "Invalid URL (GET /v1/chat/completions)"),
        ("/v1/chat/completions", b"{", "POST", 400, "could not parse"),
        ("/v1/chat/completions", [], "POST", 400, "could not parse"),
        ("/v1/chat/completions", {}, "POST", 400, "must provide a model"),
        ("/v1/responses", {"model": 7}, "POST", 400, "must provide a model"),
    ],
)
def test_auto_reply_refuses_invalid_requests(path: str, body: Any, method: str, status: int, message: str):
    reply = auto_reply(request_for(path, body, method))
    assert reply.status == status
    assert message in json.loads(body_of(reply))["error"]["message"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["role", "content", "text", "messages", "input", "stream_options"]), inner
            )
        ),
    )
)
def test_auto_reply_answers_any_messages(value: Any):
    for path in ("/chat/completions", "/responses"):
        body = {"model": "m", "messages": value, "input": value, "stream_options": value}
        assert auto_reply(request_for(path, body)).status == 200


# The command

COMMAND = [sys.executable, "-W", "error", "-m", "trio_openai.testing"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_command_serves_until_interrupted():
    with subprocess.Popen(
        [*COMMAND, "--pace", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            assert process.stdout
            first = process.stdout.readline()
            assert first.startswith("listening on http://127.0.0.1:")
            url = first.split()[-1]
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
            answer = httpx.post(url + "/chat/completions", json=body, trust_env=False)
            assert answer.json()["choices"][0]["message"]["content"].startswith('You asked: "Hi"')
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert (out, err, process.returncode) == ("", "", 130)


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False, env=ENVIRONMENT
    )


def test_command_reports_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        result = run_command("--port", str(port))
    assert result.returncode == 1
    assert result.stderr.startswith(f"cannot serve on port {port}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--pace", "nan"], ["--pace", "-1"], ["--port", "x"], ["--port", "65536"]])
def test_command_refuses_bad_arguments(arguments: list[str]):
    result = run_command(*arguments)
    assert result.returncode == 2
    assert "usage:" in result.stderr


def test_testing_does_not_import_the_client():
    """Check imports at module level. A method may import the client."""
    allowed = {"attrs", "httptools", "trio", "trio_openai.testing", *sys.stdlib_module_names}
    for path in Path(trio_openai.testing.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                package = "trio_openai.testing" if name.startswith("trio_openai.testing") else name.partition(".")[0]
                assert package in allowed, f"{path.name} imports {name}"
