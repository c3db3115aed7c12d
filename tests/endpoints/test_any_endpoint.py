"""Requests to any endpoint of the server: `client.get`, `post`, `put`, `patch`, `delete` and `request`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import attrs
import httpx
import pytest
import trio
from net_helpers import client_over, no_environment, serve
from plain_helpers import ITEMS, items

from trio_openai import (
    APIError,
    APIResponseValidationError,
    APITimeoutError,
    AzureOpenAI,
    NotFoundError,
    Page,
    RateLimiter,
    RawResponse,
    TrioOpenAI,
)
from trio_openai.testing import RecordedRequest, Reply
from trio_openai.types import ChatCompletion, Model


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@attrs.define
class Job:
    """A class of a program."""

    id: str
    steps: list[int] = attrs.field(factory=list[int])
    model: Model | None = None
    error: dict[str, Any] | None = None


@dataclass
class Plain:
    id: str


class Keys(TypedDict):
    id: str


@attrs.define
class Node:
    name: str
    tags: frozenset[str] = frozenset()
    color: Color | None = None
    value: str | int | None = None
    rest: object = None
    children: list[Node] = attrs.field(factory=list["Node"])


class Color(enum.Enum):
    red = "red"


class Validating:
    """A class that looks like a pydantic model."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    @classmethod
    def model_validate(cls, raw: Any) -> Validating:
        if "id" not in raw:
            raise ValueError("there is no id")
        return cls(raw)


JOB = {"id": "job_1", "steps": [1, 2], "model": {"id": "m", "x": 1}, "unknown": True}


async def ask(nursery: trio.Nursery, reply: Any, **arguments: Any) -> Any:
    client, _ = client_over(await serve(nursery, reply))
    async with client:
        return await client.get("/jobs/1", **arguments)


# What is sent.


async def test_each_method_sends_its_path_query_and_body(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.json({"ok": 1}))
    client, _ = client_over(server)
    async with client:
        assert await client.get("/files?limit=2", query={"order": "asc", "ids": ["a", "b"]}) == {"ok": 1}
        await client.post("files", body={"a": None}, extra_body={"b": 2}, extra_query={"q": "1"})
        await client.put("/files/1", body=[1, {"a": 2}])
        await client.patch("/files/1", body=Job("job_1"))
        await client.delete("/files/1", body=Model(id="m"))
        await client.request("post", "/files/1", body=b"\x00data", extra_headers={"x-a": "1"})
    sent = server.requests
    assert [(one.method, one.target) for one in sent] == [
        ("GET", "/v1/files?limit=2&order=asc&ids%5B%5D=a&ids%5B%5D=b"),
        ("POST", "/v1/files?q=1"),
        ("PUT", "/v1/files/1"),
        ("PATCH", "/v1/files/1"),
        ("DELETE", "/v1/files/1"),
        ("POST", "/v1/files/1"),
    ]
    assert sent[0].body == b""
    assert [one.json() for one in sent[1:5]] == [
        {"a": None, "b": 2},
        [1, {"a": 2}],
        {"id": "job_1", "steps": [], "model": None, "error": None},
        {"id": "m"},
    ]
    assert (sent[5].body, sent[5].header("content-type")) == (b"\x00data", "application/octet-stream")
    assert sent[5].header("x-a") == "1"


async def test_files_of_a_form_are_streamed_from_disk(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"{}\n" * 100_000)
    server = await serve(nursery, Reply.json({"id": "file_1"}))
    client, _ = client_over(server)
    async with client:
        await client.post("/files", body={"purpose": "batch", "expires_after": {"seconds": 60}}, files={"file": path})
        await client.post("/images", files={"image": [b"a", b"b"]})
        await client.put("/images", files=[("mask", ("m.png", b"c", "image/png"))])
    first, second, third = server.requests
    assert b'name="purpose"\r\n\r\nbatch\r\n' in first.body
    assert b'name="expires_after[seconds]"\r\n\r\n60\r\n' in first.body
    assert b'name="file"; filename="data.jsonl"' in first.body
    assert path.read_bytes() in first.body
    assert second.body.count(b'name="image[]"') == 2
    assert b'name="mask"; filename="m.png"\r\nContent-Type: image/png\r\n\r\nc' in third.body


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"options": {}}, "there is no argument 'options' here: give extra_headers="),
        ({"stream": True}, "stream_request"),
        ({"colour": 1}, "colour"),
        ({"query": [1]}, "query takes a dictionary"),
        ({"body": "text"}, "body takes a dictionary, a list"),
        ({"body": [1], "extra_body": {"a": 1}}, "extra_body is added to a body that is a dictionary"),
        ({"body": [1], "files": {"file": b""}}, "with files, body takes a dictionary"),
        ({"files": "data.jsonl"}, "files takes a dictionary"),
        ({"files": {"file": "data.jsonl"}}, "pathlib.Path"),
        ({"cast_to": Job("1")}, "not an object of Job"),
        ({"cast_to": Path}, "cast_to takes a class of trio_openai.types.*not the class Path"),
        ({"cast_to": Page[Model]}, "only GET returns pages"),
        ({"body": {"a": {1}}}, "cannot be sent as JSON"),
    ],
    ids=str,
)
async def test_invalid_argument_is_refused_before_anything_is_sent(
    nursery: trio.Nursery, arguments: dict[str, Any], words: str
) -> None:
    server = await serve(nursery, Reply.json({}))
    client, _ = client_over(server)
    async with client:
        with pytest.raises((TypeError, ValueError), match=words):
            await client.request("POST", "/jobs", **arguments)
    assert server.requests == []


async def test_get_has_no_body(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.json({})))
    async with client:
        with pytest.raises(ValueError, match="a GET request has no body: use query="):
            await client.request("get", "/jobs", body={})
        with pytest.raises(ValueError, match="has no body"):
            await client.get("/jobs", extra_body={"a": 1})


# Where it goes.


@pytest.mark.parametrize(
    "path",
    [
        "https://example.com/v1/files",
        "http://127.0.0.1.example.com/v1/files",
        "//example.com/files",
        "http://user:secret@example.com/",
        "ftp://127.0.0.1/files",
        "https://[bad/files",
        "\\\\example.com\\files",
    ],
)
async def test_url_of_another_server_is_refused(nursery: trio.Nursery, path: str) -> None:
    server = await serve(nursery, Reply.json({}))
    client, _ = client_over(server)
    async with client:
        with pytest.raises(ValueError, match="the API key must not go anywhere else") as caught:
            await client.get(path)
    assert "secret" not in str(caught.value)
    assert server.requests == []


async def test_path_is_always_appended_after_a_slash() -> None:
    """Keep a path such as `.example.com` from becoming a part of the host."""
    seen: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url)
        return httpx.Response(200, json={})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with TrioOpenAI(api_key="sk-test", base_url="https://api.mine", http_client=http) as client:
        for path in ("@example.com/x", ".example.com/x", ":80@example.com"):
            await client.get(path)
    assert {url.host for url in seen} == {"api.mine"}
    assert [url.path for url in seen] == ["/@example.com/x", "/.example.com/x", "/:80@example.com"]


async def test_url_at_the_same_origin_is_accepted(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.json({}))
    client, _ = client_over(server, default_query={"d": "1"})
    origin = server.base_url.removesuffix("/v1")
    async with client:
        await client.get(f"{origin}/v1/files/1?a=%20b", query={"c": 2})
        await client.get(f"{origin}/other/files?a=1")
    assert [one.target for one in server.requests] == ["/v1/files/1?d=1&a=+b&c=2", "/other/files?d=1&a=1"]


@pytest.mark.parametrize("path", ["/files/../models", "/files/%2e%2E/x", "/a/..%2Fb", "/a\\..\\b", "/", "", "/a#b"])
async def test_path_that_leads_elsewhere_is_refused(nursery: trio.Nursery, path: str) -> None:
    client, _ = client_over(await serve(nursery, Reply.json({})))
    async with client:
        with pytest.raises(ValueError, match="the path"):
            await client.get(path)


async def test_azure_adds_its_version_and_deployment() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json={})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    where = "https://mine.openai.azure.com"
    async with AzureOpenAI(azure_endpoint=where, api_version="1", api_key="k" * 9, http_client=http) as client:
        await client.post("/chat/completions", body={"model": "m"})
        await client.get("/files?limit=1")
        await client.get(f"{where}/other")
    assert seen == [
        f"{where}/openai/deployments/m/chat/completions?api-version=1",
        f"{where}/openai/files?api-version=1&limit=1",
        f"{where}/other?api-version=1",
    ]


# What becomes of the answer.


async def test_answer_has_the_class_that_was_asked_for(nursery: trio.Nursery) -> None:
    job = await ask(nursery, Reply.json(JOB), cast_to=Job)
    assert (job.id, job.steps, type(job.model), job.model.raw) == ("job_1", [1, 2], Model, {"id": "m", "x": 1})
    model = await ask(nursery, Reply.json(JOB), cast_to=Model)
    assert (type(model), model.id, model.raw["unknown"]) == (Model, "job_1", True)
    assert await ask(nursery, Reply.json(JOB)) == JOB
    assert await ask(nursery, Reply.json(JOB), cast_to=dict[str, Any]) == JOB
    assert await ask(nursery, Reply.json(JOB), cast_to=Plain) == Plain("job_1")
    assert await ask(nursery, Reply.json({"id": "1"}), cast_to=Keys) == {"id": "1"}
    assert (await ask(nursery, Reply.json(JOB), cast_to=Validating)).raw == JOB
    assert await ask(nursery, Reply.json([JOB, JOB]), cast_to=list[Job]) == [job, job]
    assert await ask(nursery, Reply.json({"a": JOB}), cast_to=dict[str, Job]) == {"a": job}
    assert await ask(nursery, Reply.json([1, "a"]), cast_to=object) == [1, "a"]
    assert await ask(nursery, Reply.json({"deleted": True}), cast_to=type(None)) is None


async def test_class_may_refer_to_itself_and_to_other_classes(nursery: trio.Nursery) -> None:
    leaf = {"name": "leaf", "tags": ["a"], "color": "red", "value": 1, "rest": [1]}
    tree = await ask(nursery, Reply.json({"name": "root", "children": [leaf]}), cast_to=Node)
    assert tree == Node("root", children=[Node("leaf", frozenset("a"), Color.red, 1, [1])])
    for wrong, words in (
        ({"name": 1}, r"\$.children\[0\].name: expected a string"),
        ({"tags": "abc"}, "expected a list"),
    ):
        with pytest.raises(APIResponseValidationError, match=words):
            await ask(nursery, Reply.json({"name": "root", "children": [{**leaf, **wrong}]}), cast_to=Node)


async def test_class_that_cannot_be_made_of_json_is_refused_before_anything_is_sent(nursery: trio.Nursery) -> None:
    @attrs.define
    class Inner:
        id: str

    @attrs.define
    class Outer:
        inner: Inner

    @attrs.define
    class WithPath:
        path: trio.CapacityLimiter

    server = await serve(nursery, Reply.json({}))
    client, _ = client_over(server)
    async with client:
        for cls in (Outer, WithPath):
            with pytest.raises(TypeError, match=f"cast_to cannot be {cls.__name__}: .* (defined|Unsupported)"):
                await client.get("/jobs", cast_to=cls)
    assert server.requests == []


async def test_bytes_and_text_are_returned_exactly_as_sent(nursery: trio.Nursery) -> None:
    body = b'{"error": {"message": "a line of a file"}}'
    reply = Reply(headers={"content-type": "application/octet-stream"}, body=body, framing="length")
    server = await serve(nursery, reply)
    client, _ = client_over(server)
    async with client:
        assert await client.get("/files/1/content", cast_to=bytes) == body
        assert await client.get("/files/1/content", cast_to=str) == body.decode()
    assert server.requests[0].header("accept") == "*/*"


@pytest.mark.parametrize(
    ("answer", "cast_to", "words"),
    [
        ({"steps": []}, Job, r"does not fit Job: \$.id: it is missing"),
        ({"id": None}, Job, "expected a string, got null"),
        ({"id": "1", "steps": "12"}, Job, "expected a list, got a string"),
        ({"id": "1", "steps": [1, True]}, Job, r"\$.steps\[1\]: expected a whole number, got true or false"),
        ({"id": "1", "model": "m"}, Job, "expected an object, got a string"),
        ([1], Job, "expected an object, got a list"),
        ({"a": 1}, list[Job], "expected a list, got an object"),
        ([1], dict[str, Job], "expected an object, got a list"),
        ({"a": 1}, Plain, "it is missing"),
        ({"a": 1}, Keys, "it is missing"),
        ({"a": 1}, Validating, "there is no id"),
        ([1], None, "cast_to=object accepts any JSON"),
        ({"a": 1}, ChatCompletion, "has no field 'choices'"),
        ({"a": 1}, Page[Job], "has no list 'data'"),
        ({"data": [{"id": 1}]}, Page[Job], "expected a string, got a whole number"),
    ],
    ids=str,
)
async def test_answer_that_does_not_fit_is_an_error_with_the_body(
    nursery: trio.Nursery, answer: Any, cast_to: Any, words: str
) -> None:
    reply = Reply.json(answer, headers={"x-request-id": "req_1"})
    with pytest.raises(APIResponseValidationError, match=words) as caught:
        await ask(nursery, reply, cast_to=cast_to)
    assert caught.value.request_id == "req_1"
    assert caught.value.body in (answer, *answer.get("data", ())) if isinstance(answer, dict) else answer


@pytest.mark.parametrize(("body", "cast_to"), [(b"<html>", None), (b"\xff\xfe", str), (b"", Job), (b"nul", object)])
async def test_answer_that_cannot_be_decoded_is_an_error(nursery: trio.Nursery, body: bytes, cast_to: Any) -> None:
    reply = Reply(headers={"content-type": "text/html"}, body=body, framing="length")
    with pytest.raises(APIResponseValidationError, match=r"not JSON|not text"):
        await ask(nursery, reply, cast_to=cast_to)


async def test_empty_answer_is_an_empty_dictionary(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply(status=204, framing="length")))
    async with client:
        assert await client.delete("/files/1") == {}


async def test_error_at_a_success_status_is_an_error_unless_the_object_has_more(nursery: trio.Nursery) -> None:
    with pytest.raises(APIError, match="no such job"):
        await ask(nursery, Reply.json({"error": {"message": "no such job"}}))
    with pytest.raises(APIError, match="no such job"):
        await ask(nursery, Reply.json([{"error": {"message": "no such job"}}]), cast_to=list[Job])
    failed = {"id": "job_1", "error": {"message": "bad data"}}
    assert (await ask(nursery, Reply.json(failed), cast_to=Job)).error == {"message": "bad data"}
    assert await ask(nursery, Reply.json({"message": "Deleted."})) == {"message": "Deleted."}


async def test_page_of_a_class_continues_to_the_end(nursery: trio.Nursery) -> None:
    def by_item(request: RecordedRequest) -> Reply:
        page = items(request).body
        return Reply.json({**_json(page), "last_id": None})

    server = await serve(nursery, by_item)
    client, _ = client_over(server)
    async with client:
        page = await client.get("/things", cast_to=Page[Plain], query={"limit": 2})
        assert isinstance(page, Page)
        assert page.data == [Plain(item["id"]) for item in ITEMS[:2]]
        assert [one.id async for one in page] == [item["id"] for item in ITEMS]
        raw = await client.with_raw_response.get("/things", cast_to=Page)
        assert isinstance(raw, RawResponse)
        assert [one async for one in raw.parse()] == ITEMS
    assert [one.target for one in server.requests][:3] == [
        "/v1/things?limit=2",
        "/v1/things?limit=2&after=msg_2",
        "/v1/things?limit=2&after=x_1",
    ]


def _json(body: Any) -> Any:
    import json

    return json.loads(b"".join(body) if isinstance(body, tuple) else body)


# As every other call.


async def test_any_endpoint_has_raw_responses(nursery: trio.Nursery) -> None:
    client, _ = client_over(await serve(nursery, Reply.json(JOB, headers={"x-request-id": "req_1"})))
    async with client:
        raw = await client.with_raw_response.post("/jobs", body={}, cast_to=Plain)
    assert (raw.status_code, raw.request_id, raw.parse(), raw.json()) == (200, "req_1", Plain("job_1"), JOB)


async def test_any_endpoint_retries_and_reports_errors(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    server = await serve(nursery, [Reply.error(503, "busy"), Reply.json(JOB), Reply.error(404, "no such job")])
    client, transport = client_over(server)
    async with client:
        assert (await client.post("/jobs", body={"a": 1}, cast_to=Plain)).id == "job_1"
        with pytest.raises(NotFoundError, match="no such job"):
            await client.get("/jobs/2")
        assert transport.statistics().active == 0
    assert len(server.requests) == 3


@pytest.mark.usefixtures("autojump_clock")
async def test_deadline_of_any_endpoint(nursery: trio.Nursery) -> None:
    client, transport = client_over(await serve(nursery, Reply.json(JOB).stall_after(0)), max_retries=0)
    async with client:
        with pytest.raises(APITimeoutError):
            await client.get("/jobs/1", timeout=2)
        assert transport.statistics().active == 0


async def test_limiter_sees_requests_to_any_endpoint(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client, _ = client_over(await serve(nursery, Reply.json(JOB)), limiter=RateLimiter(requests_per_minute=60))
    async with client:
        started = trio.current_time()
        for _ in range(3):
            await client.get("/jobs/1")
    assert trio.current_time() - started > 0.9


async def test_cancelled_request_frees_its_connection(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    client, transport = client_over(await serve(nursery, Reply.json(JOB).stall_after(3)))
    async with client:
        with trio.move_on_after(1) as scope:
            await client.get("/jobs/1")
        assert scope.cancelled_caught
        assert transport.statistics().active == 0
