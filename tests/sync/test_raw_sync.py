"""Raw responses of the blocking client, which behave like those of `TrioOpenAI`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from endpoint_helpers import CASES, NAMES, Case
from net_helpers import CHAT, no_environment
from plain_helpers import ITEMS, items
from raw_helpers import OVERLOADED, body, chunk
from sync_helpers import in_thread, loop_threads, served, wait_until_waiting

from trio_openai import APIError, RawResponse, StreamTruncatedError
from trio_openai.sync import SyncChatCompletionStream, SyncPage
from trio_openai.testing import Cut, Reply, Stall, sse_event

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
WHOLE = b"".join(step for step in HELLO.body if isinstance(step, bytes))


@pytest.fixture(autouse=True)
def no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    no_environment(monkeypatch)
    yield
    assert loop_threads() == []


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_endpoint_returns_a_raw_response(case: Case) -> None:
    with served(case.plain) as server, server.client() as client:
        endpoint = case.of(client).with_raw_response
        for make in (getattr(endpoint, "create", endpoint), case.create(client.with_raw_response)):
            raw = make(*case.where, **case.params)
            assert isinstance(raw, RawResponse)
            assert case.whole(raw.parse()) == case.said
            assert raw.status_code == 200
            assert raw.content == b"".join(step for step in case.plain.body if isinstance(step, bytes))
        assert client.with_options(timeout=3).with_raw_response.chat is not None


def test_parse_returns_a_blocking_stream_or_page() -> None:
    with served(HELLO) as server, server.client() as client:
        raw = client.chat.completions.with_raw_response.create(**CHAT, stream=True)
        assert raw.request_id == "req_scripted"
        with raw.parse() as stream:
            assert type(stream) is SyncChatCompletionStream
            assert raw.parse() is stream
            assert "".join(stream.text_deltas) == "Hello there."
    with served(items) as server, server.client() as client:
        page = client.responses.with_raw_response.input_items.list("resp_1", limit=2).parse()
        assert isinstance(page, SyncPage)
        assert [item.id for item in page] == [item["id"] for item in ITEMS]


def test_messages_and_raw_bytes_are_the_whole_stream() -> None:
    with served([HELLO, HELLO, HELLO.sliced(7)]) as server, server.client() as client:
        with client.chat.completions.stream(**CHAT) as stream:
            messages = list(stream.messages)
            assert b"".join(sse_event(one.data or b"") for one in messages) == WHOLE
            assert list(stream.messages) == []
            assert str(stream.verdict) == "done by [DONE] (stop)"
        for _ in range(2):
            with client.chat.completions.stream(**CHAT) as stream:
                assert b"".join(stream.raw_bytes) == WHOLE
                assert list(stream.raw_bytes) == []
                assert stream.snapshot.choices[0].message.content == "Hello there."
                assert str(stream.verdict) == "done by [DONE] (stop)"
        assert client.statistics().open_streams == 0


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
def test_messages_and_raw_bytes_are_retried_and_raise_errors(kind: str) -> None:
    overloaded = Reply.sse(OVERLOADED, done=False)
    cut = Reply.sse(chunk("Hello"), Cut())
    with served([overloaded, HELLO, overloaded, cut]) as server, server.client() as client:
        with client.chat.completions.stream(**CHAT) as stream:
            seen = b"".join(one if kind == "raw_bytes" else sse_event(one.data) for one in getattr(stream, kind))
            assert seen == WHOLE
            assert stream.timings.retries == 1
        with client.with_options(max_retries=0).chat.completions.stream(**CHAT) as stream:
            view = getattr(stream, kind)
            assert b"busy" in (next(view) if kind == "raw_bytes" else next(view).data)
            with pytest.raises(APIError, match="busy"):
                next(view)
        with client.chat.completions.stream(**CHAT) as stream, pytest.raises(StreamTruncatedError) as caught:
            list(getattr(stream, kind))
        assert caught.value.partial.choices[0].message.content == "Hello"


@pytest.mark.parametrize("kind", ["messages", "raw_bytes"])
def test_messages_and_raw_bytes_refuse_misuse(kind: str) -> None:
    with served([body(sse_event(chunk("Hi")), Stall()), HELLO]) as server, server.client() as client:
        stream: Any = client.chat.completions.create(**CHAT, stream=True)
        next(getattr(stream, kind))
        thread, came = in_thread(lambda: next(getattr(stream, kind)))
        assert thread.ident is not None
        wait_until_waiting(thread.ident)
        with pytest.raises(trio.BusyResourceError):
            next(getattr(stream, kind))
        stream.close()
        thread.join()
        assert isinstance(came[0], trio.ClosedResourceError)
        with pytest.raises(trio.ClosedResourceError):
            next(getattr(stream, kind))
        server.wait_disconnect()
        with client.chat.completions.stream(**CHAT) as other:
            next(other)
            with pytest.raises(RuntimeError, match="before anything else"):
                next(getattr(other, kind))
