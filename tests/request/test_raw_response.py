"""`with_raw_response`: the status, headers and body of an answer, together with its object."""

from __future__ import annotations

import gzip
import importlib.util
from datetime import timedelta
from typing import Any

import httpx
import pytest
import trio
from disconnect_helpers import FROM_START
from endpoint_helpers import CASES, NAMES, Case
from net_helpers import CHAT, client_over, no_environment, serve
from plain_helpers import ITEMS, MODELS, embedded, items, vector
from raw_helpers import chunk

from trio_openai import (
    APIResponseValidationError,
    Page,
    RateLimitError,
    RawResponse,
    TrioOpenAI,
)
from trio_openai.testing import Pause, Reply, Stall
from trio_openai.types import ChatCompletion

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
SECRET = "sk-proj-9f8e7d6c5b4a"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def raw_of(client: Any, case: Case) -> Any:
    """Return the method of an endpoint for plain answers, below its `with_raw_response`."""
    endpoint = case.of(client).with_raw_response
    return getattr(endpoint, "create", endpoint)


# Plain answers.


@pytest.mark.parametrize("case", CASES, ids=NAMES)
async def test_every_endpoint_returns_raw_responses(nursery: trio.Nursery, autojump_clock: object, case: Case) -> None:
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


async def test_raw_response_has_status_headers_and_body(nursery: trio.Nursery, autojump_clock: object) -> None:
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


async def test_raw_response_counts_retries_and_elapsed_time(nursery: trio.Nursery, autojump_clock: object) -> None:
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


async def test_compressed_raw_response_is_decompressed_and_keeps_its_headers(
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


async def test_raw_response_of_an_invalid_answer_can_be_read(nursery: trio.Nursery, autojump_clock: object) -> None:
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


async def test_error_status_raises_with_raw_response(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.error(429, "too fast", headers={"retry-after": "500"}))
    client, _ = client_over(server, max_retries=0)
    async with client:
        for stream in (True, False):
            with pytest.raises(RateLimitError) as caught:
                await client.chat.completions.with_raw_response.create(**CHAT, stream=stream)
            assert caught.value.response.headers["retry-after"] == "500"


async def test_plain_endpoints_return_raw_responses(nursery: trio.Nursery, autojump_clock: object) -> None:
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


async def test_raw_response_of_a_list_holds_a_page(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, items)
    client, _ = client_over(server)
    async with client:
        raw = await client.responses.with_raw_response.input_items.list("resp_1", limit=2)
        page = raw.parse()
        assert isinstance(page, Page)
        assert [item.id for item in page.data] == ["msg_1", "msg_2"]
        assert isinstance(await page.get_next_page(), Page), "only the first page is a `RawResponse`"
        assert [item.id async for item in page] == [item["id"] for item in ITEMS]
        listing: Any = client.responses.with_raw_response.input_items.list("resp_1", limit=2)
        assert [item.id async for item in listing] == [item["id"] for item in ITEMS]
    models = await serve(nursery, Reply.json(MODELS))
    client, _ = client_over(models)
    async with client:
        assert len((await client.models.with_raw_response.list()).parse().data) == len(MODELS["data"])


async def test_raw_endpoint_checks_its_parameters(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    async with client:
        with pytest.raises(TypeError, match="extra_body"):
            await client.chat.completions.with_raw_response.create(**CHAT, top_k=4)
    assert not server.requests


async def test_raw_response_does_not_hold_the_key(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server, api_key=SECRET, default_headers={"x-other-key": SECRET})
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    shown = [repr(raw), repr(raw.http_request.headers.raw), repr(vars(raw.http_response)), repr(raw.headers.raw)]
    assert SECRET not in "".join(shown)
    assert server.requests[0].header("x-other-key") == SECRET


@pytest.mark.skipif(importlib.util.find_spec("httpx2") is None, reason="no httpx2")
async def test_raw_response_of_a_foreign_client() -> None:
    import httpx2

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"x-request-id": "req_2"}, json={"id": "c", "choices": []})

    mine: Any = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    async with TrioOpenAI(api_key="k", base_url="http://host.test/v1", http_client=mine) as client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    assert isinstance(raw.http_response, httpx.Response)
    assert (raw.request_id, raw.parse().id, str(raw.url)) == ("req_2", "c", "http://host.test/v1/chat/completions")


# Streams.


async def test_raw_response_of_a_stream(nursery: trio.Nursery, autojump_clock: object) -> None:
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


async def test_stream_of_a_raw_response_can_be_closed(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, [Reply.sse(chunk("Hi"), Stall()), PLAIN])
    client, _ = client_over(server)
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
        await raw.aclose()
        await server.wait_disconnect(since=FROM_START)
        assert client.statistics().open_streams == 0
        await (await client.chat.completions.with_raw_response.create(**CHAT)).aclose()


async def test_raw_response_is_typed(nursery: trio.Nursery, autojump_clock: object) -> None:
    """Type checkers reject these lines if `parse` returns another type."""
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    async with client:
        raw: RawResponse[ChatCompletion] = await client.chat.completions.with_raw_response.create(**CHAT)
        content: str | None = raw.parse().choices[0].message.content
    assert content == "Hello there."
