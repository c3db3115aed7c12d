"""Results with status 200: errors in disguise, missing required fields, and sparse results that are accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
from net_helpers import client_over, no_environment, outcome, serve
from sync_helpers import served

from trio_openai import APIError, APIResponseValidationError
from trio_openai.testing import Reply

pytestmark = pytest.mark.promise(n=3)

MESSAGES = [{"role": "user", "content": "Say hello."}]
FILE = ("hello.wav", b"RIFF")
CHAT: dict[str, Any] = {"model": "m", "messages": MESSAGES}
RECORDING: dict[str, Any] = {"model": "m", "file": FILE}

# For each method: a call, and the field that its result must have.
ASK: dict[str, tuple[Callable[[Any], Any], str]] = {
    "chat": (lambda c: c.chat.completions.create(**CHAT), "choices"),
    "responses": (lambda c: c.responses.create(model="m", input="Hi"), "output"),
    "retrieve": (lambda c: c.responses.retrieve("r"), "output"),
    "cancel": (lambda c: c.responses.cancel("r"), "output"),
    "completions": (lambda c: c.completions.create(model="m", prompt="Hi"), "choices"),
    "embeddings": (lambda c: c.embeddings.create(model="m", input="Hi"), "data"),
    "embeddings as text": (lambda c: c.embeddings.create(model="m", input="Hi", encoding_format="base64"), "data"),
    "models": (lambda c: c.models.list(), "data"),
    "model": (lambda c: c.models.retrieve("m"), "id"),
    "images": (lambda c: c.images.generate(model="m", prompt="A cat"), "data"),
    "edits": (lambda c: c.images.edit(model="m", prompt="A hat", image=b"x"), "data"),
    "transcriptions": (lambda c: c.audio.transcriptions.create(**RECORDING), "text"),
    "verbose": (lambda c: c.audio.transcriptions.create(**RECORDING, response_format="verbose_json"), "text"),
    "input_items": (lambda c: c.responses.input_items.list("r"), "data"),
    "compact": (lambda c: c.responses.compact(model="m", input="Hi"), "output"),
    "moderations": (lambda c: c.moderations.create(input="Hi"), "results"),
    "file": (lambda c: c.files.retrieve("f"), "id"),
    "files": (lambda c: c.files.list(), "data"),
    "deleted file": (lambda c: c.files.delete("f"), "id"),
    "batch": (lambda c: c.batches.cancel("b"), "id"),
    "batches": (lambda c: c.batches.list(), "data"),
    "conversation": (lambda c: c.conversations.create(), "id"),
    "added items": (lambda c: c.conversations.items.create("c", items=MESSAGES), "data"),
    "stored chats": (lambda c: c.chat.completions.list(), "data"),
    "translations": (lambda c: c.audio.translations.create(**RECORDING), "text"),
}
# Methods whose result is not an object, so no field is required.
WITHOUT_FIELDS: dict[str, Callable[[Any], Any]] = {
    "delete": lambda c: c.responses.delete("r"),
    "speech": lambda c: c.audio.speech.create(model="m", input="Hi", voice="alloy"),
    "text": lambda c: c.audio.transcriptions.create(**RECORDING, response_format="text"),
}

ERRORS: list[tuple[Any, str]] = [
    ({"detail": "Model not loaded"}, "Model not loaded"),
    ({"detail": [{"loc": ["body", "model"], "msg": "field required"}]}, "body.model: field required"),
    ({"detail": {"message": "quota used up"}}, "quota used up"),
    ({"success": False, "message": "no such route"}, "no such route"),
    ({"success": False, "errors": [{"code": 7003, "message": "no route"}], "result": None}, "no route"),
    ({"error": "out of memory"}, "out of memory"),
    ({"error": {"message": "slow down", "code": "busy"}}, "slow down"),
    ({"error": True, "message": "it broke", "choices": None, "data": None, "output": None}, "it broke"),
    ([{"error": {"message": "in a list", "status": "INVALID"}}], "in a list"),
]
MESSAGES_ALONE: list[tuple[Any, str]] = [
    ({"message": "unknown key", "code": 1002}, "unknown key"),
    ({"code": 500, "msg": "busy", "data": None}, "busy"),
    ({"error_code": 17, "error_msg": "daily limit"}, "daily limit"),
    ({"object": "error", "message": "prompt too long", "code": 400}, "prompt too long"),
    ({"type": "about:blank", "title": "Forbidden", "status": 403}, "Forbidden"),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def answered(ask: Callable[[Any], Any], body: Any) -> Any:
    """Return the result that a method makes of a body, or its error."""
    async with trio.open_nursery() as nursery:
        server = await serve(nursery, Reply.json(body))
        client, transport = client_over(server)
        async with client:
            found = await outcome(ask, client)
            assert transport.statistics().active == 0
        assert len(server.requests) == 1
        nursery.cancel_scope.cancel()
    return found


def check_error(error: Any, said: str, body: Any) -> None:
    assert type(error) is APIError
    assert said in str(error)
    assert error.body == body
    assert error.request_id


@pytest.mark.parametrize("name", ASK)
async def test_error_with_status_200_is_raised_with_its_message(name: str, autojump_clock: object) -> None:
    for body, said in [*ERRORS, *MESSAGES_ALONE]:
        check_error(await answered(ASK[name][0], body), said, body)


@pytest.mark.parametrize("name", WITHOUT_FIELDS)
async def test_error_instead_of_bytes_or_text_is_raised(name: str, autojump_clock: object) -> None:
    for body, said in ERRORS:
        check_error(await answered(WITHOUT_FIELDS[name], body), said, body)


def test_blocking_client_raises_the_same_errors() -> None:
    for ask, field in ASK.values():
        body, said = ERRORS[0]
        with served([Reply.json(body), Reply.json({})]) as server, server.client() as client:
            with pytest.raises(APIError, match=said):
                ask(client)
            with pytest.raises(APIResponseValidationError, match=f"'{field}'"):
                ask(client)


@pytest.mark.parametrize("name", ASK)
async def test_missing_required_field_is_named_and_the_body_is_quoted(name: str, autojump_clock: object) -> None:
    ask, field = ASK[name]
    for wrong in ({}, {"created": 7}, {field: 7}, {field: None}, {field: True}, {field: {"a": 1}}):
        error = await answered(ask, wrong)
        assert type(error) is APIResponseValidationError, wrong
        assert repr(field) in str(error)
        assert json.dumps(wrong).replace(" ", "") in str(error).replace(" ", "")
        assert error.body == wrong
        assert error.request_id


ITEMS = {"chat": "choices", "completions": "choices", "responses": "output", "embeddings": "data", "models": "data"}
ITEMS |= {"images": "data", "input_items": "data"}


@pytest.mark.parametrize("name", ITEMS)
async def test_item_that_is_not_an_object_is_named_by_its_index(name: str, autojump_clock: object) -> None:
    for item in (7, "text", None, [], True):
        error = await answered(ASK[name][0], {"id": "x", ITEMS[name]: [item]})
        assert type(error) is APIResponseValidationError
        assert f"'{ITEMS[name]}[0]'" in str(error)


@pytest.mark.parametrize(
    ("name", "body", "place"),
    [
        ("chat", {"choices": [{"message": {"content": "a"}}, {"index": 1}]}, "choices[1].message"),
        ("chat", {"choices": [{"message": "Hello", "finish_reason": "stop"}]}, "choices[0].message"),
        ("completions", {"choices": [{"text": 7, "finish_reason": "stop"}]}, "choices[0].text"),
        ("embeddings", {"data": [{"embedding": 0.5}]}, "data[0].embedding"),
        ("embeddings", {"data": [{"index": 0}]}, "data[0].embedding"),
    ],
)
async def test_item_without_its_essential_field_is_named_by_its_index(
    name: str, body: Any, place: str, autojump_clock: object
) -> None:
    error = await answered(ASK[name][0], body)
    assert type(error) is APIResponseValidationError
    assert repr(place) in str(error)


SPARSE: list[tuple[str, Any, Callable[[Any], bool]]] = [
    ("chat", {"choices": [{"message": {"content": "Hi"}}]}, lambda a: a.choices[0].message.content == "Hi"),
    ("chat", {"choices": [{"message": {}}], "message": "of the day"}, lambda a: a.choices[0].message.content is None),
    ("chat", {"choices": [{"finish_reason": "content_filter"}]}, lambda a: a.choices[0].message.content is None),
    ("chat", {"choices": [], "usage": {"total_tokens": 3}}, lambda a: a.usage.total_tokens == 3),
    ("chat", {"choices": [{"message": {"content": "Hi"}}], "error": None}, lambda a: len(a.choices) == 1),
    ("chat", {"choices": [{"message": {"content": "Hi"}}], "detail": "x"}, lambda a: len(a.choices) == 1),
    ("completions", {"choices": [{"text": "Hi"}]}, lambda a: a.choices[0].text == "Hi"),
    ("responses", {"id": "r", "status": "queued"}, lambda a: a.status == "queued"),
    ("responses", {"id": "r", "status": "queued", "output": None}, lambda a: a.output == []),
    ("responses", {"output": [], "error": {"message": "x"}, "status": "failed"}, lambda a: a.status == "failed"),
    ("embeddings", {"data": [{"embedding": [0.5]}]}, lambda a: a.data[0].embedding == [0.5]),
    ("embeddings", {"data": []}, lambda a: a.data == []),
    ("models", {"object": "list", "data": None}, lambda a: a.data == []),
    ("models", {"data": [{"id": "a"}], "success": True}, lambda a: a.data[0].id == "a"),
    ("model", {"id": "a", "detail": "slow"}, lambda a: a.id == "a"),
    ("images", {"data": [{"url": "http://x/y"}]}, lambda a: a.data[0].url == "http://x/y"),
    ("transcriptions", {"text": ""}, lambda a: a.text == ""),
    ("verbose", {"segments": [{"text": "Hi"}]}, lambda a: a.segments[0].text == "Hi"),
    ("input_items", {"data": []}, lambda a: a.data == []),
]


@pytest.mark.parametrize(("name", "body", "holds"), SPARSE)
async def test_sparse_result_of_a_compatible_server_is_accepted(
    name: str, body: Any, holds: Callable[[Any], bool], autojump_clock: object
) -> None:
    assert holds(await answered(ASK[name][0], body))


async def test_deletion_may_be_confirmed_with_a_message(autojump_clock: object) -> None:
    for body in ({"message": "Deleted."}, {"id": "r", "deleted": True}, {"success": True, "msg": "ok"}, {}):
        assert await answered(WITHOUT_FIELDS["delete"], body) is None


async def test_transcript_that_looks_like_json_stays_text(autojump_clock: object) -> None:
    assert json.loads(await answered(WITHOUT_FIELDS["text"], {"text": "Hello."})) == {"text": "Hello."}


async def test_failed_choice_raises_an_error_with_the_result(autojump_clock: object) -> None:
    failed = {"message": {"content": "So far"}, "finish_reason": "error", "error": {"message": "it died", "code": 502}}
    error = await answered(ASK["chat"][0], {"choices": [failed]})
    assert type(error) is APIError
    assert "it died" in str(error)
    assert error.code == 502
    assert error.partial.choices[0].message.content == "So far"


async def test_raw_response_is_checked_when_it_is_parsed(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.json({"detail": "Model not loaded"}))
    client, _ = client_over(server)
    async with client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    with pytest.raises(APIError, match="Model not loaded"):
        raw.parse()
