"""Floods of bytes without events, and very large events.

Other tasks keep running, deadlines fire, cancellation works and memory stays bounded, although no event arrives.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from net_helpers import CHAT, client_over, no_environment, serve
from sync_helpers import served

from trio_openai import (
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    AzureOpenAI,
    Deadlines,
    StreamTruncatedError,
    TrioOpenAI,
    TrioTransport,
)
from trio_openai._stream import source as _source
from trio_openai._wire.decoder import Signal
from trio_openai._wire.replay import Replay
from trio_openai._wire.sse import WORK_AT_ONCE
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Reply

pytestmark = pytest.mark.promise(n=6)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


EVENTS = {"content-type": "text/event-stream"}
DONE = b"data: [DONE]\n\n"
FLOODS = {
    "blank lines": b"\n" * 200_000,
    "empty comments": b":\n\n" * 70_000,
    "comments of one block": b": k\n" * 70_000 + b"\n",
    "unknown fields": b"x: 1\n\n" * 50_000,
    "unknown fields of one block": b"x\n" * 100_000 + b"\n",
    "keep-alives in the data": b"data: : k\n\n" * 30_000,
}


def stream_of(*pieces: bytes) -> Reply:
    return Reply(headers=EVENTS, body=pieces)


class Flood(httpx.AsyncByteStream):
    """A response body that is available at once, without any wait, and optionally never ends."""

    def __init__(self, *pieces: bytes, endless: bytes = b"") -> None:
        self._pieces = pieces
        self._endless = endless

    async def __aiter__(self) -> AsyncIterator[bytes]:  # noqa: ASYNC910 - the tests need a body without checkpoints
        for piece in self._pieces:
            yield piece
        while self._endless:
            await trio.lowlevel.checkpoint()
            yield self._endless


def client_of(body: Flood, **options: Any) -> TrioOpenAI:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=EVENTS, stream=body))
    return TrioOpenAI(api_key="k" * 20, http_client=httpx.AsyncClient(transport=transport), **options)


async def count_turns(turns: list[int]) -> None:
    while True:
        turns[0] += 1
        await trio.lowlevel.checkpoint()


@pytest.mark.promise(n=7)
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
@pytest.mark.parametrize("way", ["events", "messages", "bytes"])
async def test_other_tasks_run_during_a_flood_without_events(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, way: str, flood: bytes
) -> None:
    """Check that reading one huge piece lets other tasks run after each bounded amount of work.

    The time limit of a burst is set to zero, so the result does not depend on the speed of the machine.
    """
    monkeypatch.setattr(_source, "_BURST_SECONDS", 0.0)
    turns = [0]
    nursery.start_soon(count_turns, turns)
    texts: list[str] = []
    async with (
        client_of(Flood(chunk("a") + flood + chunk("b", "stop") + DONE)) as client,
        client.chat.completions.stream(**CHAT) as stream,
    ):
        if way == "events":
            texts = [event.choices[0].delta.content or "" async for event in stream]
        elif way == "messages":
            messages = [message async for message in stream.messages]
            assert len(messages) == 3 + flood.count(b"data")
        else:
            assert b"".join([piece async for piece in stream.raw_bytes]).endswith(DONE)
        assert stream.snapshot.choices[0].message.content == "ab"
        assert stream.verdict.state == "done"
    assert texts in ([], ["a", "b"])
    assert turns[0] >= flood.count(b"\n") / (20 * WORK_AT_ONCE)


@pytest.mark.promise(n=7)
async def test_other_tasks_run_while_raw_bytes_counts_many_tiny_events(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_source, "_BURST_SECONDS", 0.0)
    turns = [0]
    nursery.start_soon(count_turns, turns)
    events = b"data: {}\n\n" * 20_000
    async with client_of(Flood(chunk("a") + events + DONE)) as client, client.chat.completions.stream(**CHAT) as stream:
        await anext(stream.raw_bytes)
    assert turns[0] >= 20_000


@pytest.mark.parametrize("endless", [b"\n" * 1000, b": k\n\n" * 100, b"x\n" * 100, b"data: null\n\n" * 50], ids=repr)
@pytest.mark.parametrize("phase", ["first_event", "idle", "total"])
async def test_deadlines_fire_during_a_flood_without_events(endless: bytes, phase: str) -> None:
    deadlines = Deadlines(**{phase: 0.05})
    with trio.fail_after(20):
        async with client_of(Flood(endless=endless), max_retries=0) as client:
            with pytest.raises(APITimeoutError) as info:
                async with client.chat.completions.stream(**CHAT, timeout=deadlines) as stream:
                    await anext(stream)
    assert info.value.phase == phase


@pytest.mark.promise(n=7)
@pytest.mark.parametrize("endless", [b"\n" * 1000, b": k\n\n" * 100, b"x\n" * 100, b"data: null\n\n" * 50], ids=repr)
@pytest.mark.parametrize("way", ["events", "messages", "bytes"])
async def test_reading_an_endless_flood_can_be_cancelled(endless: bytes, way: str) -> None:
    async with client_of(Flood(chunk("a"), endless=endless)) as client:
        with trio.move_on_after(0.05) as scope:
            async with client.chat.completions.stream(**CHAT) as stream:
                async for _ in {"events": stream, "messages": stream.messages, "bytes": stream.raw_bytes}[way]:
                    pass
    assert scope.cancelled_caught


# ------------------------------------------------------------------------------------------------------ max_event_bytes


LARGE = stream_of(chunk("x" * 5000), chunk("y", "stop"), DONE)


async def test_an_event_over_the_limit_is_an_error_that_names_the_option(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [LARGE] * 3)
    client, _ = client_over(server, max_event_bytes=4000)
    async with client:
        with pytest.raises(APIResponseValidationError, match=r"4000 bytes.*max_event_bytes"):
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
        larger = client.with_options(max_event_bytes=6000)
        for client in (larger, larger.with_options(max_retries=1)):
            async with client.chat.completions.stream(**CHAT) as stream:
                completion = await stream.get_final_completion()
            assert len(completion.choices[0].message.content or "") == 5001


async def test_the_azure_client_accepts_max_event_bytes(nursery: trio.Nursery) -> None:
    server = await serve(nursery, LARGE)
    http = httpx.AsyncClient(transport=TrioTransport(open_stream=server.open_stream), trust_env=False)
    options: Any = {"azure_endpoint": "http://azure.test", "api_version": "v", "api_key": "k" * 20, "http_client": http}
    async with AzureOpenAI(**options, max_event_bytes=4000) as client:
        with pytest.raises(APIResponseValidationError, match="max_event_bytes"):
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()


def test_the_sync_client_accepts_max_event_bytes() -> None:
    with served([LARGE] * 2) as server, server.client(max_event_bytes=4000) as client:
        with (
            pytest.raises(APIResponseValidationError, match="max_event_bytes"),
            client.chat.completions.stream(**CHAT) as stream,
        ):
            stream.until_done()
        with client.with_options(max_event_bytes=6000).chat.completions.stream(**CHAT) as stream:
            stream.until_done()


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
@pytest.mark.parametrize("way", ["events", "messages", "bytes"])
def test_the_sync_client_reads_through_a_flood_without_events(way: str, flood: bytes) -> None:
    with (
        served(stream_of(chunk("a") + flood + chunk("b", "stop") + DONE)) as server,
        server.client() as client,
        client.chat.completions.stream(**CHAT) as stream,
    ):
        count = sum(1 for _ in {"events": stream, "messages": stream.messages, "bytes": stream.raw_bytes}[way])
        assert way == "bytes" or count == {"events": 2, "messages": 3 + flood.count(b"data")}[way]
        assert stream.snapshot.choices[0].message.content == "ab"


@pytest.mark.parametrize("cls", [TrioOpenAI, SyncOpenAI])
@pytest.mark.parametrize(
    ("bad", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)]
)
def test_an_invalid_max_event_bytes_is_refused(cls: Any, bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_event_bytes"):
        cls(api_key="k" * 20, max_event_bytes=bad)


# ------------------------------------------------------------------------------------------------ at every endpoint


ERROR_BODIES: dict[str, tuple[bytes, str]] = {
    "lines of JSON": (b'{\n "error": {\n  "message": "no memory",\n  "code": "oom"\n }\n}\n\n' + DONE, "no memory"),
    "a list": (b'data: [{"error": {"message": "no memory", "code": "oom"}}]\n\n' + DONE, "no memory"),
    "plain text": (b"event: error\ndata: no memory\n\n" + DONE, "no memory"),
    "the field of llama.cpp": (b'error: {"message": "no memory"}\n\n' + DONE, "no memory"),
}
STREAMS: dict[str, Any] = {
    "chat": lambda client: client.chat.completions.stream(**CHAT),
    "completions": lambda client: client.completions.stream(model="m", prompt="p"),
    "responses": lambda client: client.responses.stream(model="m", input="i"),
    "images": lambda client: client.images.generate.stream(model="m", prompt="p"),
    "speech": lambda client: client.audio.speech.stream(model="m", input="i", voice="v"),
    "any": lambda client: client.stream_request("POST", "/x", json={}),
}
FIRST = {
    "chat": chunk("a"),
    "completions": b'data: {"choices":[{"index":0,"text":"a"}]}\n\n',
    "responses": b'data: {"type":"response.created","response":{"id":"r"}}\n\n',
    "images": b'data: {"type":"image_generation.partial_image","b64_json":"QQ=="}\n\n',
    "speech": b'data: {"type":"speech.audio.delta","audio":"QQ=="}\n\n',
    "any": b'data: {"type":"a"}\n\n',
}


@pytest.mark.parametrize(("body", "message"), ERROR_BODIES.values(), ids=ERROR_BODIES.keys())
@pytest.mark.parametrize("endpoint", STREAMS)
@pytest.mark.parametrize("first", [False, True], ids=["at the start", "after an event"])
async def test_an_error_reported_inside_a_stream_is_raised_at_every_endpoint(
    nursery: trio.Nursery, endpoint: str, body: bytes, message: str, first: bool
) -> None:
    server = await serve(nursery, stream_of((FIRST[endpoint] if first else b"") + body))
    client, _ = client_over(server, max_retries=0)
    async with client:
        with pytest.raises(APIError) as info:
            async with STREAMS[endpoint](client) as stream:
                await stream.until_done()
    assert type(info.value) is APIError
    assert info.value.message == message


@pytest.mark.parametrize("endpoint", STREAMS)
async def test_text_after_the_last_event_is_quoted_in_the_error_at_every_endpoint(
    nursery: trio.Nursery, endpoint: str
) -> None:
    page = b"<html>\n<head><title>504 Gateway Time-out</title></head>\n</html>\n"
    server = await serve(nursery, stream_of(FIRST[endpoint], page))
    client, _ = client_over(server, max_retries=0)
    async with client:
        with pytest.raises(StreamTruncatedError, match="504 Gateway Time-out"):
            async with STREAMS[endpoint](client) as stream:
                await stream.until_done()


async def test_an_error_inside_a_list_is_retried_like_a_plain_error(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    busy = stream_of(b'data: [{"error": {"message": "busy", "code": 503}}]\n\n')
    server = await serve(nursery, [busy, busy, stream_of(chunk("a", "stop"), DONE)])
    client, _ = client_over(server)
    async with client, client.chat.completions.stream(**CHAT) as stream:
        assert (await stream.get_final_completion()).choices[0].message.content == "a"
        assert stream.timings.retries == 2


# ------------------------------------------------------------------------------------------------------- replay


async def test_a_replay_decodes_each_event_only_when_it_is_received(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    next_event = Replay.next_event

    def counted(replay: Replay[Any]) -> Any:
        event = next_event(replay)
        made.append(event) if not isinstance(event, Signal) else None
        return event

    monkeypatch.setattr(Replay, "next_event", counted)
    events = [chunk(f"{number} ") for number in range(3000)]
    flood = FLOODS["keep-alives in the data"]
    body = Flood(*events[:1000], *events[1000:2000], flood, *events[2000:], chunk("end", "stop"), DONE)
    async with client_of(body) as client, client.chat.completions.stream(**CHAT) as stream:
        first = stream.subscribe(overflow="drop_oldest", replay=True)
        async for event in stream:
            if event.choices[0].finish_reason:
                break
        late, other = stream.subscribe(replay=True), stream.subscribe(replay=True)
        assert made == []
        assert (await late.receive()).choices[0].delta.content == "0 "
        assert len(made) == 1
        await stream.until_done()
        texts = [event.choices[0].delta.content async for event in late]
        assert texts == [f"{number} " for number in range(1, 3000)] + ["end"]
        await other.receive()
        await other.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await other.receive()
        await first.aclose()


@pytest.mark.promise(n=7)
async def test_a_replay_lets_other_tasks_run_during_a_flood_without_events(nursery: trio.Nursery) -> None:
    flood = FLOODS["keep-alives in the data"]
    body = Flood(chunk("a"), flood, chunk("b", "stop"), DONE)
    async with client_of(body) as client, client.chat.completions.stream(**CHAT) as stream:
        stream.subscribe(overflow="drop_oldest", buffer=1, replay=True)
        await stream.until_done()
        late = stream.subscribe(replay=True)
        await late.receive()
        turns = [0]
        nursery.start_soon(count_turns, turns)
        await late.receive()
        assert turns[0] >= flood.count(b"\n") / (20 * WORK_AT_ONCE)
        with pytest.raises(trio.EndOfChannel):
            await late.receive()


# ------------------------------------------------------------------------------------------------------ secrets


KEY = "sk-secret-0123456789"


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "bad key %s \\ud83e", "code": "\\udfff%s"}}',
        b'data: {"error": {"message": "bad key %s \\ud83e"}}\n\n',
        b"event: error\ndata: bad key %s \xed\xa0\xbe\n\n",
        b'{\n "error": {\n  "message": "bad key %s \\ud83e"\n }\n}\n\n' + DONE,
        chunk("a") + b"bad key %s \xed\xa0\xbe\n\n",
        chunk("a") + b"\xed\xa0\xbe bad key %s",
    ],
    ids=repr,
)
@pytest.mark.parametrize("status", [200, 401, 500])
async def test_errors_hide_the_api_key_and_replace_lone_surrogates(
    nursery: trio.Nursery, body: bytes, status: int
) -> None:
    body = body.replace(b"%s", KEY.encode())
    server = await serve(nursery, Reply(status, headers=EVENTS, body=(body,)))
    client, _ = client_over(server, api_key=KEY, max_retries=0)
    async with client:
        with pytest.raises(APIError) as info:
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
    assert "***" in str(info.value)
    assert KEY not in repr([info.value, vars(info.value)])
    assert str(info.value).encode()
