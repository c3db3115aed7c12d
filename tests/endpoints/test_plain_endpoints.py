"""Operations that never stream: models, embeddings, stored responses, and lists in pages."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from net_helpers import client_over, no_environment, serve
from plain_helpers import MODELS, embedded, items, vector

from trio_openai import APIResponseValidationError, NotFoundError, Page
from trio_openai.testing import Reply
from trio_openai.types import (
    Model,
    ResponseFunctionToolCall,
    ResponseInputImage,
    ResponseInputMessageItem,
    ResponseInputText,
    ResponseOutputText,
    UnknownItem,
)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def test_models_are_listed_and_retrieved(nursery: trio.Nursery) -> None:
    server = await serve(nursery, [Reply.json(MODELS), Reply.json(MODELS), Reply.json({"id": "a/b", "created": 7})])
    client, _ = client_over(server)
    async with client:
        page = await client.models.list()
        assert isinstance(page, Page)
        assert [model.id for model in page.data] == ["a", "b"]
        assert page.data[0].owned_by == "me"
        assert not page.has_next_page()
        with pytest.raises(RuntimeError, match="last page"):
            await page.get_next_page()
        assert [model.id async for model in client.models.list(extra_query={"q": "1"})] == ["a", "b"]
        model = await client.models.retrieve("a/b")
        assert isinstance(model, Model)
        assert (model.id, model.created) == ("a/b", 7)
    assert [(request.method, request.target, request.body) for request in server.requests] == [
        ("GET", "/v1/models", b""),
        ("GET", "/v1/models?q=1", b""),
        ("GET", "/v1/models/a%2Fb", b""),
    ]


async def test_listing_raises_when_it_is_awaited_or_iterated(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.error(404, "no such thing"))
    client, _ = client_over(server)
    async with client:
        listing = client.models.list()
        with pytest.raises(NotFoundError, match="no such thing"):
            await listing
        with pytest.raises(NotFoundError):
            async for _ in client.models.list():
                pass


async def test_embeddings_are_requested_as_base64_and_decoded(nursery: trio.Nursery) -> None:
    server = await serve(nursery, embedded(vector(0.5, -2.0), vector(math.inf), vector()))
    client, _ = client_over(server)
    async with client:
        answer = await client.embeddings.create(model="m", input=["x", "y", "z"], dimensions=2)
    assert [one.embedding for one in answer.data] == [[0.5, -2.0], [math.inf], []]
    assert answer.data[0].raw["embedding"] == vector(0.5, -2.0)
    assert answer.usage is not None
    assert answer.usage.total_tokens == 3
    assert server.requests[0].json() == {
        "model": "m",
        "input": ["x", "y", "z"],
        "dimensions": 2,
        "encoding_format": "base64",
    }


async def test_base64_is_kept_if_the_program_asks_for_it(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, embedded(vector(0.5))))
    async with client:
        answer = await client.embeddings.create(model="m", input="x", encoding_format="base64")
    text: object = answer.data[0].embedding
    assert text == vector(0.5)


async def test_embeddings_as_lists_are_accepted(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, embedded([0.1, 0.2])))
    async with client:
        answer = await client.embeddings.create(model="m", input="x")
    assert answer.data[0].embedding == [0.1, 0.2]


@pytest.mark.parametrize(("encoding", "given"), [("float", [0.1]), ("base64", vector(0.1))])
async def test_given_encoding_format_is_sent_and_not_decoded(nursery: trio.Nursery, encoding: str, given: Any) -> None:
    server = await serve(nursery, embedded(given))
    client, _ = client_over(server)
    async with client:
        answer = await client.embeddings.create(model="m", input=[1, 2], encoding_format=encoding)
    assert answer.data[0].embedding == given
    assert server.requests[0].json()["encoding_format"] == encoding


@pytest.mark.parametrize("bad", ["abc", "YWI=", "\N{GREEK SMALL LETTER ALPHA}"])
async def test_invalid_embedding_raises_a_library_error(nursery: trio.Nursery, bad: str) -> None:
    client, _ = client_over(await serve(nursery, embedded(vector(1.0), bad)))
    async with client:
        with pytest.raises(APIResponseValidationError) as caught:
            await client.embeddings.create(model="m", input="x")
        assert caught.value.request_id == "req_scripted"


async def test_stored_response_is_cancelled_and_deleted(nursery: trio.Nursery) -> None:
    cancelled = {"id": "resp_1", "status": "cancelled", "output": []}
    server = await serve(nursery, [Reply.json(cancelled), Reply.json({"deleted": True}), Reply(204)])
    client, _ = client_over(server)
    async with client:
        assert (await client.responses.cancel("resp_1")).status == "cancelled"
        assert await client.responses.delete("resp_1") is None  # type: ignore[func-returns-value]
        assert await client.responses.delete("resp_1", extra_headers={"x-a": "b"}) is None  # type: ignore[func-returns-value]
    assert [(request.method, request.target, request.body) for request in server.requests] == [
        ("POST", "/v1/responses/resp_1/cancel", b""),
        ("DELETE", "/v1/responses/resp_1", b""),
        ("DELETE", "/v1/responses/resp_1", b""),
    ]
    assert server.requests[2].header("x-a") == "b"
    assert {request.header("content-type") for request in server.requests} == {None}


async def test_input_items_are_listed_in_pages(nursery: trio.Nursery) -> None:
    server = await serve(nursery, items)
    client, _ = client_over(server)
    async with client:
        first = await client.responses.input_items.list("resp_1", limit=2, order="asc", include=["a", "b"])
        assert len(server.requests) == 1
        assert first.has_next_page()
        second = await first.get_next_page()
        assert [item.id for item in second.data] == ["fc_1", "x_1"]
        assert [item.id async for item in first] == ["msg_1", "msg_2", "fc_1", "x_1"]
        every = [item async for item in client.responses.input_items.list("resp_1", limit=2)]
    message, answer, call, unknown = every
    assert isinstance(message, ResponseInputMessageItem)
    assert isinstance(message.content[0], ResponseInputText)
    assert isinstance(message.content[1], ResponseInputImage)
    assert isinstance(answer, ResponseInputMessageItem)
    assert isinstance(answer.content[0], ResponseOutputText)
    assert isinstance(call, ResponseFunctionToolCall)
    assert isinstance(unknown, UnknownItem)
    assert (
        server.requests[0].target
        == "/v1/responses/resp_1/input_items?limit=2&order=asc&include%5B%5D=a&include%5B%5D=b"
    )
    assert server.requests[1].target == server.requests[0].target + "&after=msg_2"


async def test_next_page_is_requested_when_its_first_item_is_needed(nursery: trio.Nursery) -> None:
    server = await serve(nursery, items)
    client, _ = client_over(server)
    async with client:
        every = aiter(client.responses.input_items.list("resp_1"))
        for asked in (1, 1, 2, 2):
            await anext(every)
            assert len(server.requests) == asked


async def test_cancelled_step_loses_no_item(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, items))
    async with client:
        every, got = aiter(client.responses.input_items.list("resp_1")), []
        while True:
            with trio.CancelScope() as scope:
                scope.cancel()
                await anext(every)
            assert scope.cancelled_caught
            try:
                got.append((await anext(every)).id)
            except StopAsyncIteration:
                break
    assert got == ["msg_1", "msg_2", "fc_1", "x_1"]
