"""`stream_request`: plain or typed events of any endpoint, and the end of its stream."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from net_helpers import client_over, no_environment, outcome, serve

from trio_openai import APIError, NamedEvent, StreamTruncatedError, TrioOpenAI, UnknownEvent
from trio_openai.testing import Cut, Reply, sse_event
from trio_openai.types import ChatCompletionChunk, SpeechStreamEvent, WireObject
from trio_openai.types._base import wire


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


RUN = Reply(
    headers={"content-type": "text/event-stream", "x-request-id": "req_1"},
    body=(
        sse_event({"id": "run_1"}, event="thread.run.created"),
        sse_event({"id": "msg_1", "delta": "Hi"}, event="thread.message.delta"),
        sse_event({"n": 1}),
        sse_event("[DONE]", event="done"),
    ),
)


async def test_events_are_dictionaries_with_a_name(nursery: trio.Nursery) -> None:
    server = await serve(nursery, RUN)
    client, transport = client_over(server)
    async with client:
        body = {"assistant_id": "a", "stream": True}
        async with client.stream_request(
            "post", "/threads/t_1/runs", json=body, extra_headers={"x-a": "1"}, extra_query={"q": 2}
        ) as stream:
            assert stream.snapshot is None
            events = [event async for event in stream]
        assert events == [{"id": "run_1"}, {"id": "msg_1", "delta": "Hi"}, {"n": 1}]
        assert [event.name for event in events] == ["thread.run.created", "thread.message.delta", ""]
        assert type(events[0]) is NamedEvent
        assert repr(events[2]) == "NamedEvent({'n': 1}, name='')"
        assert stream.snapshot == {"n": 1}
        assert (str(stream.verdict), stream.request_id) == ("done by [DONE]", "req_1")
        assert transport.statistics().active == 0
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/v1/threads/t_1/runs?q=2")
    assert request.json() == body
    assert request.header("x-a") == "1"


async def test_nothing_is_added_to_the_body(nursery: trio.Nursery) -> None:
    server = await serve(nursery, RUN)
    client, _ = client_over(server)
    async with client:
        async with client.stream_request("GET", "/threads/t_1/runs") as stream:
            await stream.until_done()
        async with client.stream_request("POST", "/x", json={"a": 1}, extra_body={"b": 2}) as stream:
            await stream.until_done()
    assert server.requests[0].body == b""
    assert server.requests[1].json() == {"a": 1, "b": 2}


@wire
class Token(WireObject):
    """An event class that a program defines."""

    content: str = ""
    stop: bool = False


LLAMA = Reply.sse({"content": "Hi", "stop": False}, {"content": "", "stop": True, "tokens": 2}, done=False)


async def test_typed_events_of_a_stream_without_an_end_marker(nursery: trio.Nursery) -> None:
    """Use the format of llama.cpp's own endpoint, `/completion`."""
    client, _ = client_over(await serve(nursery, LLAMA))
    async with client, client.stream_request("POST", "/completion", json={}, event_type=Token, end=None) as stream:
        events = [event async for event in stream]
    assert [event.content for event in events] == ["Hi", ""]
    assert type(events[1]) is Token
    assert events[1].raw["tokens"] == 2
    assert str(stream.verdict) == "done by end_of_body"
    assert stream.snapshot is events[1]


async def test_stream_without_its_end_is_truncated(nursery: trio.Nursery) -> None:
    for reply, end in (
        (LLAMA, ()),
        (LLAMA.cut_after(60), None),
        (attrs.evolve(RUN, body=(*RUN.body[:2], Cut())), None),
    ):
        client, _ = client_over(await serve(nursery, reply), max_retries=0)
        async with client, client.stream_request("POST", "/completion", json={}, end=end) as stream:
            with pytest.raises(StreamTruncatedError) as caught:
                await stream.until_done()
            assert caught.value.partial == stream.snapshot


@pytest.mark.parametrize("end", ["over", ("never", "over"), {"over"}], ids=str)
async def test_event_named_as_the_end_ends_the_stream(nursery: trio.Nursery, end: Any) -> None:
    by_name = sse_event({"n": 2}, event="over")
    by_type = sse_event({"type": "over"})
    for last in (by_name, by_type):
        steps = (sse_event({"n": 1}), last, sse_event({"n": 3}))
        reply = Reply(headers={"content-type": "text/event-stream"}, body=steps)
        client, _ = client_over(await serve(nursery, reply))
        async with client, client.stream_request("POST", "/x", json={}, end=end) as stream:
            assert len([event async for event in stream]) == 2
            assert str(stream.verdict) == "done by terminal_event (over)"


async def test_class_of_a_union_is_chosen_by_type_or_name(nursery: trio.Nursery) -> None:
    steps = [
        sse_event({"audio": "QQ=="}, event="speech.audio.delta"),
        sse_event({"type": "speech.audio.news"}),
        sse_event("[DONE]"),
    ]
    reply = Reply(headers={"content-type": "text/event-stream"}, body=steps)
    client, _ = client_over(await serve(nursery, reply))
    union: Any = SpeechStreamEvent
    async with client, client.stream_request("POST", "/audio/speech", json={}, event_type=union) as stream:
        first, second = [event async for event in stream]
    assert type(first).__name__ == "SpeechAudioDeltaEvent"
    assert isinstance(second, UnknownEvent)


ERRORS = [
    sse_event({"message": "We are closed."}, event="error"),
    sse_event({"type": "error", "message": "We are closed."}),
    sse_event({"error": {"message": "We are closed."}}),
    sse_event({"error": "We are closed."}),
]


@pytest.mark.parametrize("error", ERRORS, ids=str)
async def test_error_event_is_raised(nursery: trio.Nursery, error: bytes) -> None:
    reply = Reply(headers={"content-type": "text/event-stream"}, body=(sse_event({"n": 1}), error))
    client, _ = client_over(await serve(nursery, reply), max_retries=0)
    async with client, client.stream_request("POST", "/x", json={}, event_type=ChatCompletionChunk) as stream:
        await anext(stream)
        with pytest.raises(APIError, match="We are closed"):
            await anext(stream)


async def test_typed_event_with_an_error_field_is_delivered(nursery: trio.Nursery) -> None:
    """Send the report of a failed job. Only an event without a type of its own says that the stream failed."""
    failed = {"type": "job.failed", "error": {"message": "no"}}
    client, _ = client_over(await serve(nursery, Reply.sse(failed, {"result": 1, "error": None})))
    async with client, client.stream_request("POST", "/x", json={}) as stream:
        assert [event async for event in stream] == [failed, {"result": 1, "error": None}]


BAD: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((5, "/x"), {}, "the method and the path first"),
    (("POST", None), {}, "the method and the path first"),
    (("POST", "x"), {}, "needs a leading slash"),
    (("POST", "/x"), {"json": [1]}, "json takes a dictionary"),
    (("GET", "/x"), {"json": {}}, "GET request has no body"),
    (("POST", "/x"), {"model": "m"}, "extra_body"),
    (("POST", "/x"), {"json": {"x": object}}, "JSON"),
    (("POST", "/x"), {"end": 5}, "end takes"),
    (("POST", "/x"), {"end": [5]}, "end takes"),
    (("POST", "/x"), {"event_type": dict}, "event_type takes"),
    (("POST", "/x"), {"event_type": "Token"}, "event_type takes"),
]


@pytest.mark.parametrize(("where", "given", "words"), BAD, ids=str)
async def test_invalid_arguments_are_refused_at_once(where: Any, given: Any, words: str) -> None:
    async with TrioOpenAI(api_key="k") as client:

        async def ask() -> None:
            client.stream_request(*where, **given)
            await trio.lowlevel.checkpoint()

        error = await outcome(ask)
        assert isinstance(error, TypeError | ValueError)
        assert words in str(error)
