"""Endpoints that streaming programs use alongside: files, batches, conversations, moderations, stored completions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from net_helpers import client_over, no_environment, outcome, serve
from sync_helpers import served
from upload_helpers import parts_of

from trio_openai import APIResponseValidationError, AzureOpenAI, Page, RawResponse, StreamTruncatedError, TrioOpenAI
from trio_openai.sync import SyncPage, SyncRawResponse
from trio_openai.testing import Cut, RecordedRequest, Reply
from trio_openai.types import (
    Batch,
    ChatCompletion,
    ChatCompletionDeleted,
    ChatCompletionStoreMessage,
    CompactedResponse,
    Conversation,
    ConversationDeletedResource,
    ConversationItemList,
    FileDeleted,
    FileObject,
    InputTokenCountResponse,
    Message,
    ModelDeleted,
    ModerationCreateResponse,
    ResponseOutputMessage,
    Translation,
    TranslationVerbose,
)

MESSAGE = {"type": "message", "id": "msg_1", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
STORED = {"id": "chatcmpl-1", "choices": [{"message": {"role": "assistant", "content": "Hi"}}], "metadata": {"a": "b"}}
BATCH = {
    "id": "batch_1",
    "status": "completed",
    "request_counts": {"total": 2, "completed": 1, "failed": 1},
    "errors": {"data": [{"line": 3, "message": "bad"}]},
    "usage": {"total_tokens": 9},
}


@attrs.frozen
class Operation:
    """An operation: a call, the request it makes, a reply, and the class of the result."""

    name: str
    call: Callable[[Any], Any]
    request: tuple[str, str, Any]
    reply: Any
    result: type[Any]
    item: type[Any] | None = None  # of a list


def listed(item: Any) -> Any:
    return {"object": "list", "data": [item], "has_more": False}


OPERATIONS = [
    Operation(
        "responses.compact",
        lambda c: c.responses.compact(model="m", input=[MESSAGE], service_tier="flex"),
        ("POST", "/v1/responses/compact", {"model": "m", "input": [MESSAGE], "service_tier": "flex"}),
        {"id": "r", "output": [MESSAGE], "usage": {"total_tokens": 3}},
        CompactedResponse,
    ),
    Operation(
        "responses.input_tokens.count",
        lambda c: c.responses.input_tokens.count(model="m", input="Hi"),
        ("POST", "/v1/responses/input_tokens", {"model": "m", "input": "Hi"}),
        {"object": "response.input_tokens", "input_tokens": 11},
        InputTokenCountResponse,
    ),
    Operation(
        "conversations.create",
        lambda c: c.conversations.create(),
        ("POST", "/v1/conversations", {}),
        {"id": "conv_1", "created_at": 7},
        Conversation,
    ),
    Operation(
        "conversations.retrieve",
        lambda c: c.conversations.retrieve("conv_1"),
        ("GET", "/v1/conversations/conv_1", None),
        {"id": "conv_1", "metadata": {"a": "b"}},
        Conversation,
    ),
    Operation(
        "conversations.update",
        lambda c: c.conversations.update("conv_1", metadata={"a": "b"}),
        ("POST", "/v1/conversations/conv_1", {"metadata": {"a": "b"}}),
        {"id": "conv_1"},
        Conversation,
    ),
    Operation(
        "conversations.delete",
        lambda c: c.conversations.delete("conv_1"),
        ("DELETE", "/v1/conversations/conv_1", None),
        {"id": "conv_1", "deleted": True},
        ConversationDeletedResource,
    ),
    Operation(
        "conversations.items.create",
        lambda c: c.conversations.items.create("conv_1", items=iter([MESSAGE]), include=["a"], extra_query={"q": "1"}),
        ("POST", "/v1/conversations/conv_1/items?include%5B%5D=a&q=1", {"items": [MESSAGE]}),
        listed(MESSAGE),
        ConversationItemList,
    ),
    Operation(
        "conversations.items.list",
        lambda c: c.conversations.items.list("conv_1", limit=2, order="asc", include=["a"]),
        ("GET", "/v1/conversations/conv_1/items?limit=2&order=asc&include%5B%5D=a", None),
        listed(MESSAGE),
        Page,
        Message,
    ),
    Operation(
        "conversations.items.retrieve",
        lambda c: c.conversations.items.retrieve("msg_1", conversation_id="conv_1", include=["a"]),
        ("GET", "/v1/conversations/conv_1/items/msg_1?include%5B%5D=a", None),
        MESSAGE,
        Message,
    ),
    Operation(
        "conversations.items.delete",
        lambda c: c.conversations.items.delete("msg_1", conversation_id="conv_1"),
        ("DELETE", "/v1/conversations/conv_1/items/msg_1", None),
        {"id": "conv_1"},
        Conversation,
    ),
    Operation(
        "files.retrieve",
        lambda c: c.files.retrieve("file_1"),
        ("GET", "/v1/files/file_1", None),
        {"id": "file_1", "bytes": 3, "filename": "a"},
        FileObject,
    ),
    Operation(
        "files.list",
        lambda c: c.files.list(purpose="batch"),
        ("GET", "/v1/files?purpose=batch", None),
        listed({"id": "file_1"}),
        Page,
        FileObject,
    ),
    Operation(
        "files.delete",
        lambda c: c.files.delete("file_1"),
        ("DELETE", "/v1/files/file_1", None),
        {"id": "file_1", "deleted": True},
        FileDeleted,
    ),
    Operation(
        "batches.create",
        lambda c: c.batches.create(input_file_id="file_1", endpoint="/v1/responses", completion_window="24h"),
        (
            "POST",
            "/v1/batches",
            {"input_file_id": "file_1", "endpoint": "/v1/responses", "completion_window": "24h"},
        ),
        BATCH,
        Batch,
    ),
    Operation("batches.retrieve", lambda c: c.batches.retrieve("b"), ("GET", "/v1/batches/b", None), BATCH, Batch),
    Operation(
        "batches.list",
        lambda c: c.batches.list(after="a", limit=1),
        ("GET", "/v1/batches?after=a&limit=1", None),
        listed(BATCH),
        Page,
        Batch,
    ),
    Operation("batches.cancel", lambda c: c.batches.cancel("b"), ("POST", "/v1/batches/b/cancel", None), BATCH, Batch),
    Operation(
        "moderations.create",
        lambda c: c.moderations.create(input=["a", "b"], model="m"),
        ("POST", "/v1/moderations", {"input": ["a", "b"], "model": "m"}),
        {"results": [{"flagged": True}]},
        ModerationCreateResponse,
    ),
    Operation(
        "chat.completions.retrieve",
        lambda c: c.chat.completions.retrieve("chatcmpl-1"),
        ("GET", "/v1/chat/completions/chatcmpl-1", None),
        STORED,
        ChatCompletion,
    ),
    Operation(
        "chat.completions.list",
        lambda c: c.chat.completions.list(metadata={"a": "b"}, model="m"),
        ("GET", "/v1/chat/completions?metadata%5Ba%5D=b&model=m", None),
        listed(STORED),
        Page,
        ChatCompletion,
    ),
    Operation(
        "chat.completions.update",
        lambda c: c.chat.completions.update("chatcmpl-1", metadata={"a": "b"}),
        ("POST", "/v1/chat/completions/chatcmpl-1", {"metadata": {"a": "b"}}),
        STORED,
        ChatCompletion,
    ),
    Operation(
        "chat.completions.delete",
        lambda c: c.chat.completions.delete("chatcmpl-1"),
        ("DELETE", "/v1/chat/completions/chatcmpl-1", None),
        {"id": "chatcmpl-1", "deleted": True},
        ChatCompletionDeleted,
    ),
    Operation(
        "chat.completions.messages.list",
        lambda c: c.chat.completions.messages.list("chatcmpl-1", limit=1),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages?limit=1", None),
        listed({"id": "m-0", "role": "user", "content": "Hi"}),
        Page,
        ChatCompletionStoreMessage,
    ),
    Operation(
        "models.delete",
        lambda c: c.models.delete("ft:a/b"),
        ("DELETE", "/v1/models/ft%3Aa%2Fb", None),
        {"id": "ft:a/b", "deleted": True},
        ModelDeleted,
    ),
]
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def check_request(operation: Operation, request: RecordedRequest) -> None:
    sent = request.json() if request.body else None
    assert (request.method, request.target, sent) == operation.request


def check_result(operation: Operation, result: Any) -> None:
    if operation.item is None:
        assert type(result) is operation.result
        assert result.raw == operation.reply
    else:
        assert type(result).__name__.removeprefix("Sync") == "Page"
        assert [type(item) for item in result.data] == [operation.item]
        assert [item.raw for item in result.data] == operation.reply["data"]


@each_operation
async def test_operation_sends_its_request_and_returns_its_object(nursery: trio.Nursery, operation: Operation) -> None:
    server = await serve(nursery, [Reply.json(operation.reply), Reply.json(operation.reply), Reply.json({"x": 1})])
    client, _ = client_over(server)
    async with client:
        check_result(operation, await operation.call(client))
        raw = await operation.call(client.with_raw_response)
        assert isinstance(raw, RawResponse)
        check_result(operation, raw.parse())
        assert raw.request_id == "req_scripted"
        assert isinstance(await outcome(operation.call, client), APIResponseValidationError)
    for request in server.requests:
        check_request(operation, request)


def test_operations_of_the_blocking_client_are_the_same() -> None:
    replies = [Reply.json(operation.reply) for operation in OPERATIONS for _ in "ab"]
    with served(replies) as server, server.client() as client:
        for operation in OPERATIONS:
            check_result(operation, operation.call(client))
            raw = operation.call(client.with_raw_response)
            assert isinstance(raw, SyncRawResponse)
            check_result(operation, raw.parse())
            check_request(operation, server.server.requests[-1])


async def test_fields_of_results_are_typed(nursery: trio.Nursery) -> None:
    flagged = {
        "categories": {"self-harm/intent": True, "violence": False},
        "category_scores": {"self-harm/intent": 0.9},
        "category_applied_input_types": {"self-harm/intent": ["text"]},
    }
    replies = [BATCH, {"results": [flagged]}, {"output": [MESSAGE]}]
    client, _ = client_over(await serve(nursery, [Reply.json(reply) for reply in replies]))
    async with client:
        batch = await client.batches.retrieve("b")
        assert batch.request_counts is not None
        assert batch.errors is not None
        assert batch.errors.data is not None
        assert (batch.request_counts.failed, batch.errors.data[0].line) == (1, 3)
        [judged] = (await client.moderations.create(input="x")).results
        assert judged.categories.self_harm_intent is True
        assert judged.category_scores.self_harm_intent == 0.9
        assert judged.category_applied_input_types is not None
        assert judged.category_applied_input_types.self_harm_intent == ["text"]
        judged.categories.self_harm_intent = False
        assert judged.to_dict()["categories"] == {"self-harm/intent": False, "violence": False}
        compacted = await client.responses.compact(model="m", input="x")
        assert isinstance(compacted.output[0], ResponseOutputMessage)


async def test_lists_continue_after_the_last_item(nursery: trio.Nursery) -> None:
    pages = [
        {"data": [{"id": "a"}, {"id": "b"}], "has_more": True},
        {"data": [{"id": "c"}], "has_more": False},
    ]
    server = await serve(nursery, [Reply.json(page) for page in pages])
    client, _ = client_over(server)
    async with client:
        assert [file.id async for file in client.files.list(limit=2)] == ["a", "b", "c"]
    assert server.requests[1].target == "/v1/files?limit=2&after=b"


async def test_file_on_disk_is_uploaded_as_a_form_and_again_at_a_retry(nursery: trio.Nursery, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_bytes(b"{}\n" * 50_000)
    server = await serve(nursery, [Reply.error(503, "busy", headers={"retry-after-ms": "1"}), Reply.json({"id": "f"})])
    client, _ = client_over(server)
    async with client:
        await client.files.create(file=file, purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})
    for request in server.requests:
        parts = {part.name: part for part in parts_of(request)}
        assert parts["file"].body == file.read_bytes()
        assert 'filename="requests.jsonl"' in parts["file"].head
        fields = {name: part.body for name, part in parts.items() if name != "file"}
        assert fields == {
            "purpose": b"batch",
            "expires_after[anchor]": b"created_at",
            "expires_after[seconds]": b"3600",
        }
    assert len(server.requests) == 2


async def test_content_of_a_file_is_bytes_or_a_stream_even_if_it_looks_like_an_error(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    line = b'{"id": "batch_req_1", "error": {"message": "expired"}}'
    reply = Reply(body=line)
    server = await serve(nursery, [reply, reply, reply, Reply(body=(b"half", Cut()))])
    client, transport = client_over(server, max_retries=0)
    async with client:
        content = await client.files.content("file_1")
        assert content == content.content == content.read() == line
        assert content.text == line.decode()
        raw = await client.files.with_raw_response.content("file_1")
        assert raw.parse() == raw.content == line
        async with client.files.content.stream_bytes("file_1") as stream:
            await stream.write_to_file(tmp_path / "out.jsonl")
        assert (tmp_path / "out.jsonl").read_bytes() == line
        with pytest.raises(StreamTruncatedError):
            async with client.files.content.stream_bytes("file_1") as stream:
                await stream.read()
        assert transport.statistics().active == 0
    assert {request.target for request in server.requests} == {"/v1/files/file_1/content"}


def test_blocking_client_uploads_and_downloads_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc")
    with served([Reply.json({"id": "f"}), Reply(body=b"abc"), Reply(body=b"abc")]) as server, server.client() as client:
        assert client.files.create(file=tmp_path / "a.txt", purpose="user_data").id == "f"
        assert client.files.content("f").text == "abc"
        with client.files.content.stream_bytes("f") as stream:
            assert stream.read() == b"abc"
        assert b"abc" in server.server.requests[0].body


@pytest.mark.parametrize(
    ("wanted", "reply", "result"),
    [
        (None, Reply.json({"text": "Hello."}), Translation),
        ("verbose_json", Reply.json({"text": "Hello.", "segments": [{"id": 0}]}), TranslationVerbose),
        ("srt", Reply(body=b"1"), str),
    ],
)
async def test_response_format_decides_the_class_of_a_translation(
    nursery: trio.Nursery, wanted: Any, reply: Reply, result: type
) -> None:
    server = await serve(nursery, reply)
    client, _ = client_over(server)
    async with client:
        made = await client.audio.translations.create(file=("a.wav", b"RIFF"), model="m", response_format=wanted)
        assert type(made) is result
        raw = await client.with_raw_response.audio.translations.create(
            file=("a.wav", b"RIFF"), model="m", response_format=wanted
        )
        assert type(raw.parse()) is result
    assert server.requests[0].path == "/v1/audio/translations"
    assert {part.name for part in parts_of(server.requests[0])} >= {"model", "file"}


async def test_list_of_stored_completions_names_no_deployment_of_azure(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.json(listed(STORED)))
    http = client_over(server)[0]._session.http
    async with AzureOpenAI(azure_endpoint="http://localhost", api_version="v", api_key="k", http_client=http) as client:
        await client.chat.completions.list()
    assert server.requests[0].path == "/openai/chat/completions"


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda c: c.files.create(purpose="batch"), "file is missing"),
        (lambda c: c.files.create(file="a.jsonl", purpose="batch"), "file"),
        (lambda c: c.files.retrieve(""), "file_id"),
        (lambda c: c.files.content(".."), "file_id"),
        (lambda c: c.conversations.items.retrieve("msg_1"), "conversation_id"),
        (lambda c: c.conversations.items.create("conv_1", items=["Hi"]), "items takes"),
        (lambda c: c.batches.create("file_1"), "by name"),
        (lambda c: c.moderations.create(input=5), "input takes"),
        (lambda c: c.chat.completions.update("x"), "metadata is missing"),
    ],
)
async def test_mistake_raises_before_anything_is_sent(nursery: trio.Nursery, ask: Any, words: str) -> None:
    server = await serve(nursery, Reply.json({}))
    client, _ = client_over(server)
    async with client:
        error = await outcome(ask, client)
    assert isinstance(error, TypeError | ValueError)
    assert words in str(error)
    assert not server.requests


async def test_is_closed_tells_whether_the_client_was_closed() -> None:
    client = TrioOpenAI(api_key="k")
    copy = client.with_options(max_retries=0)
    assert not client.is_closed()
    await client.aclose()
    assert client.is_closed()
    assert copy.is_closed()


def test_is_closed_of_the_blocking_client() -> None:
    with served(Reply.json(listed({"id": "f"}))) as server:
        with server.client() as client:
            assert isinstance(client.files.list(), SyncPage)
            assert not client.is_closed()
        assert client.is_closed()
