"""Azure: its URLs, keys and tokens, its options, and the results of its content filter."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio
from net_helpers import CHAT, MESSAGES, no_environment, outcome, serve
from secret_helpers import assert_hidden
from sync_helpers import served

import trio_openai
from trio_openai import APIError, BadRequestError, OpenAIError, TrioOpenAI, TrioTransport
from trio_openai.azure import AzureOpenAI
from trio_openai.sync import SyncAzureOpenAI, SyncOpenAI
from trio_openai.testing import Cut, RecordedRequest, Reply, ScriptedServer, Stall, sse_event

SECRET = "az-9f8e7d6c5b4a3f2e1d"
HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)
ENDPOINT = "http://mine.openai.azure.test"
VERSION = "2024-10-21"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)


def azure(server: ScriptedServer, **options: Any) -> AzureOpenAI:
    """Return a client of a resource that the scripted server plays."""
    http = httpx.AsyncClient(transport=TrioTransport(open_stream=server.open_stream), trust_env=False)
    given = {"azure_endpoint": ENDPOINT, "api_version": VERSION, "http_client": http, **options}
    if given.keys().isdisjoint(("api_key", "azure_ad_token", "azure_ad_token_provider")):
        given["api_key"] = SECRET
    return AzureOpenAI(**given)


async def asked(nursery: trio.Nursery, call: Callable[[AzureOpenAI], Any], **options: Any) -> RecordedRequest:
    """Return the request that a call sends."""
    server = await serve(nursery, Reply.json({"id": "x", "text": "", "choices": [], "output": [], "data": []}))
    async with azure(server, **options) as client:
        await call(client)
    return server.requests[0]


async def chat(client: TrioOpenAI) -> None:
    await client.chat.completions.create(**CHAT)


# URLs.

BASE = "/openai/deployments/gpt-4o-mini"
PATHS: dict[str, tuple[Callable[[AzureOpenAI], Any], str]] = {
    "chat": (chat, f"{BASE}/chat/completions"),
    "completions": (
        lambda c: c.completions.create(model="a b/c", prompt=""), "/openai/deployments/a%20b%2Fc/completions",
    ),
    "embeddings": (lambda c: c.embeddings.create(model="e", input=""), "/openai/deployments/e/embeddings"),
    "images": (lambda c: c.images.generate(model="i", prompt=""), "/openai/deployments/i/images/generations"),
    "edits": (lambda c: c.images.edit(model="i", prompt="", image=b"x"), "/openai/deployments/i/images/edits"),
    "speech": (
        lambda c: c.audio.speech.create(model="s", input="", voice="v"), "/openai/deployments/s/audio/speech",
    ),
    "transcriptions": (
        lambda c: c.audio.transcriptions.create(model="t", file=b"x"), "/openai/deployments/t/audio/transcriptions",
    ),
    "responses": (lambda c: c.responses.create(model="r", input=""), "/openai/responses"),
    "retrieve": (lambda c: c.responses.retrieve("resp_1"), "/openai/responses/resp_1"),
    "models": (lambda c: c.models.retrieve("m"), "/openai/models/m"),
    "raw": (lambda c: c.chat.completions.with_raw_response.create(**CHAT), f"{BASE}/chat/completions"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "path"), PATHS.values(), ids=PATHS)
async def test_model_is_the_deployment_by_default(
    nursery: trio.Nursery, autojump_clock: object, call: Callable[[AzureOpenAI], Any], path: str
) -> None:
    request = await asked(nursery, call)
    assert request.target == f"{path}?api-version={VERSION}"


@pytest.mark.parametrize(("call", "path"), PATHS.values(), ids=PATHS)
async def test_azure_deployment_overrides_the_model(
    nursery: trio.Nursery, autojump_clock: object, call: Callable[[AzureOpenAI], Any], path: str
) -> None:
    request = await asked(nursery, call, azure_deployment="mine", azure_endpoint=f"{ENDPOINT}/")
    head, _, rest = path.partition("/deployments/")
    assert request.path == (f"{head}/deployments/mine/{rest.partition('/')[2]}" if rest else path)
    assert request.target.endswith(f"?api-version={VERSION}")


async def test_all_doors_and_stream_request_use_the_deployment_path(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    server = await serve(nursery, HELLO)
    async with azure(server, default_query={"a": 1}) as client, trio.open_nursery() as tasks:
        async with client.chat.completions.stream(**CHAT, extra_query={"b": 2}) as stream:
            await stream.until_done()
        await (await client.chat.completions.start_stream(tasks, **CHAT)).until_done()
        await (await client.chat.completions.create(**CHAT, stream=True)).until_done()
        body = {"model": "m", "messages": MESSAGES, "stream": True}
        async with client.stream_request("POST", "/chat/completions", json=body) as other:
            await other.until_done()
        async with client.stream_request("POST", "/mine", json=body) as other:
            await other.until_done()
    assert [request.target for request in server.requests] == [
        f"{BASE}/chat/completions?api-version={VERSION}&a=1&b=2",
        f"{BASE}/chat/completions?api-version={VERSION}&a=1",
        f"{BASE}/chat/completions?api-version={VERSION}&a=1",
        f"/openai/deployments/m/chat/completions?api-version={VERSION}&a=1",
        f"/openai/mine?api-version={VERSION}&a=1",
    ]


@pytest.mark.parametrize("model", [None, "", "..", " "])
async def test_missing_deployment_raises_value_error(
    nursery: trio.Nursery, autojump_clock: object, model: str | None
) -> None:
    server = await serve(nursery, PLAIN)
    async with azure(server) as client:
        given = {} if model is None else {"model": model}
        with pytest.raises(ValueError, match="azure_deployment"):
            await client.images.generate(prompt="", **given)  # type: ignore[arg-type]
    assert not server.requests


async def test_base_url_replaces_azure_endpoint(nursery: trio.Nursery, autojump_clock: object) -> None:
    gateway = {"azure_endpoint": None, "base_url": "http://gateway.test/azure?subscription=7"}
    request = await asked(nursery, chat, **gateway)
    assert request.target == f"/azure/deployments/gpt-4o-mini/chat/completions?subscription=7&api-version={VERSION}"
    request = await asked(nursery, chat, azure_endpoint=None, base_url="http://gateway.test/deployments/d/")
    assert request.target == f"/deployments/d/chat/completions?api-version={VERSION}"


async def test_openai_v1_url_is_a_base_url_for_trio_openai(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, PLAIN)
    http = httpx.AsyncClient(transport=TrioTransport(open_stream=server.open_stream), trust_env=False)
    async with TrioOpenAI(base_url=f"{ENDPOINT}/openai/v1/", api_key=SECRET, http_client=http) as client:
        await chat(client)
    assert server.requests[0].target == "/openai/v1/chat/completions"
    assert server.requests[0].header("authorization") == f"Bearer {SECRET}"
    for endpoint in (f"{ENDPOINT}/openai/v1/", f"{ENDPOINT}/openai/v1"):
        with pytest.raises(ValueError, match="base_url for TrioOpenAI"):
            AzureOpenAI(azure_endpoint=endpoint, api_key=SECRET)


# Keys and tokens.


async def test_key_is_sent_as_api_key_and_token_as_bearer(nursery: trio.Nursery, autojump_clock: object) -> None:
    request = await asked(nursery, chat, api_key=SECRET)
    assert (request.header("api-key"), request.header("authorization")) == (SECRET, None)
    request = await asked(nursery, chat, azure_ad_token=SECRET)
    assert (request.header("api-key"), request.header("authorization")) == (None, f"Bearer {SECRET}")


async def test_provider_is_called_before_every_attempt(nursery: trio.Nursery, autojump_clock: object) -> None:
    count = 0

    async def provide() -> str:
        nonlocal count
        await trio.sleep(0.1)
        count += 1
        return f"number-{count}"

    for name, header, prefix in (("azure_ad_token_provider", "authorization", "Bearer "), ("api_key", "api-key", "")):
        count = 0
        server = await serve(nursery, [Reply.error(503, "busy"), Reply.sse(Cut()), HELLO, PLAIN])
        async with azure(server, **{name: provide}) as client:
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
            await chat(client)
        assert [one.header(header) for one in server.requests] == [f"{prefix}number-{n}" for n in (1, 2, 3, 4)]


async def test_blocking_provider_is_called_in_a_thread(nursery: trio.Nursery) -> None:
    threads: list[int] = []

    def provide() -> str:
        threads.append(threading.get_ident())
        return "token"

    request = await asked(nursery, chat, azure_ad_token_provider=provide)
    assert request.header("authorization") == "Bearer token"
    assert threads
    assert threads[0] != threading.get_ident()


async def test_azure_environment_is_used_when_options_are_missing(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    server = await serve(nursery, PLAIN)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.base_url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_API_VERSION", "2023-05-15")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere.test")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    with pytest.raises(OpenAIError, match="AZURE_OPENAI_API_KEY"):
        AzureOpenAI()
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "its-key")
    http: Any = httpx.AsyncClient(transport=TrioTransport(open_stream=server.open_stream), trust_env=False)
    async with AzureOpenAI(http_client=http) as client:
        await chat(client)
        monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "its-token")
        for made in (AzureOpenAI(http_client=http), AzureOpenAI(http_client=http, api_key="mine", api_version="1")):
            await chat(made)
    assert [(one.header("api-key"), one.header("authorization")) for one in server.requests] == [
        ("its-key", None), (None, "Bearer its-token"), ("mine", None),
    ]  # fmt: skip
    assert [one.target.partition("=")[2] for one in server.requests] == ["2023-05-15", "2023-05-15", "1"]


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"azure_ad_token": "t"}, ValueError, "api_key and azure_ad_token"),
    ({"azure_ad_token_provider": lambda: "t"}, ValueError, "takes one of them"),
    ({"api_version": None}, ValueError, "OPENAI_API_VERSION"),
    ({"azure_endpoint": None}, ValueError, "AZURE_OPENAI_ENDPOINT"),
    ({"base_url": "http://x.test"}, ValueError, "takes one of them"),
    ({"azure_endpoint": 5}, TypeError, "azure_endpoint takes a string"),
    ({"azure_deployment": 5}, TypeError, "azure_deployment takes a string"),
    ({"api_version": 20241021}, TypeError, "api_version takes a string"),
    ({"azure_endpoint": "mine.openai.azure.com"}, ValueError, "http"),
    ({"azure_endpoint": "http://[::1"}, ValueError, "URL"),
    ({"api_key": SECRET + "\n"}, ValueError, "API key"),
    ({"api_key": None, "azure_ad_token": 5}, TypeError, "azure_ad_token takes a string"),
    ({"default_headers": {"X-Key": SECRET + "\n"}}, ValueError, "X-Key"),
    ({"max_retries": -1}, ValueError, "max_retries"),
    ({"nonsense": 1}, TypeError, "nonsense"),
]


@pytest.mark.parametrize(("options", "error", "words"), BAD, ids=[str(one[0].keys())[11:-2] for one in BAD])
def test_invalid_azure_options_raise_without_showing_the_key(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    for make in (AzureOpenAI, SyncAzureOpenAI):
        given = {"azure_endpoint": ENDPOINT, "api_version": VERSION, "api_key": SECRET, **options}
        with pytest.raises(error, match=words) as caught:
            make(**given)
        assert_hidden(caught.value)


def test_missing_azure_key_raises() -> None:
    with pytest.raises(OpenAIError, match="AZURE_OPENAI_API_KEY"):
        AzureOpenAI(azure_endpoint=ENDPOINT, api_version=VERSION)


FAILURES: dict[str, Reply] = {
    "it repeats the key": Reply.error(401, f"Incorrect key {SECRET}", code=SECRET),
    "it repeats the key in a stream": Reply.sse({"error": {"message": f"bad {SECRET}"}}),
    "cut": Reply.sse({"choices": []}, Cut()),
    "stalled": Reply.sse({"choices": []}, Stall()),
}


@pytest.mark.parametrize("reply", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("name", ["api_key", "azure_ad_token", "azure_ad_token_provider"])
async def test_no_failure_shows_the_key(nursery: trio.Nursery, autojump_clock: object, name: str, reply: Reply) -> None:
    async def provide() -> str:
        await trio.lowlevel.checkpoint()
        return SECRET

    async def stream(client: AzureOpenAI) -> None:
        async with client.chat.completions.stream(**CHAT) as opened:
            assert SECRET not in repr(opened.response.request.headers.raw)
            await opened.until_done()

    server = await serve(nursery, reply)
    async with azure(server, timeout=5, **{name: provide if name.endswith("provider") else SECRET}) as client:
        assert SECRET not in repr(client)
        assert SECRET not in repr(client._session)
        assert SECRET not in repr(client._options)
        error = await outcome(stream, client)
    assert isinstance(error, APIError)
    assert_hidden(error)


async def test_azure_key_is_not_sent_to_another_origin(nursery: trio.Nursery, autojump_clock: object) -> None:
    moved = Reply(307, {"location": "http://elsewhere.test/openai"})
    server = await serve(nursery, [moved, PLAIN])
    async with azure(server, follow_cross_origin_redirects=True) as client:
        await chat(client)
    assert [one.header("api-key") for one in server.requests] == [SECRET, None]


# with_options.


async def test_with_options_keeps_unchanged_azure_options(nursery: trio.Nursery, autojump_clock: object) -> None:
    async def provide() -> str:
        await trio.lowlevel.checkpoint()
        return "token"

    server = await serve(nursery, PLAIN)
    async with azure(server) as client:
        for other in (
            client.with_options(timeout=3),
            client.with_options(api_version="1"),
            client.with_options(azure_deployment="d").with_options(default_query={"a": 1}),
            client.with_options(azure_ad_token_provider=provide),
            client.with_options(api_key="another"),
            client.with_options(azure_endpoint="http://other.test/").with_options(max_retries=0),
            client.with_options(base_url="http://other.test/base"),
        ):
            assert type(other) is AzureOpenAI
            await chat(other)
        for wrong in ({"api_key": SECRET, "azure_ad_token": SECRET}, {"azure_deployment": 5, "api_key": SECRET}):
            with pytest.raises((TypeError, ValueError)) as caught:
                client.with_options(**wrong)
            assert_hidden(caught.value)
        with pytest.raises(ValueError, match="takes one of them"):
            client.with_options(base_url="http://a.test", azure_endpoint="http://b.test")
    tail = f"/chat/completions?api-version={VERSION}"
    assert [one.target for one in server.requests] == [
        f"{BASE}{tail}",
        f"{BASE}/chat/completions?api-version=1",
        f"/openai/deployments/d{tail}&a=1",
        *[f"{BASE}{tail}"] * 3,
        f"/base/deployments/gpt-4o-mini{tail}",
    ]
    assert [one.header("api-key") for one in server.requests][3:5] == [None, "another"]
    assert server.requests[3].header("authorization") == "Bearer token"
    assert server.requests[5].header("host") == "other.test"


def test_blocking_azure_client_streams_and_changes_options() -> None:
    threads: list[int] = []

    def provide() -> str:
        threads.append(threading.get_ident())
        return "token"

    with served(lambda request: HELLO if b'"stream":true' in request.body else PLAIN) as server:
        endpoint = server.server.base_url.removesuffix("/v1")
        given: dict[str, Any] = {"azure_endpoint": endpoint, "api_version": VERSION, "azure_ad_token_provider": provide}
        with SyncAzureOpenAI(**given) as client:
            with client.chat.completions.stream(**CHAT) as stream:
                assert "".join(stream.text_deltas) == "Hello there."
            other = client.with_options(api_key="key", azure_deployment="d")
            assert type(other) is SyncAzureOpenAI
            assert "SyncAzureOpenAI" in repr(other)
            assert other.chat.completions.with_raw_response.create(**CHAT).url.path.startswith("/openai/deployments/d/")
        requests = server.server.requests
    assert [one.header("authorization") for one in requests] == ["Bearer token", None]
    assert requests[1].header("api-key") == "key"
    assert threads
    assert threading.get_ident() not in threads


# The content filter.

SAFE = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}
MILD = {"violence": {"filtered": False, "severity": "low"}}
PROMPT = [{"prompt_index": 0, "content_filter_results": {"jailbreak": {"filtered": False, "detected": False}}}]


def azure_chunk(*choices: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "gpt-4o", "choices": choices, **more}


STREAMED = Reply.sse(
    {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": PROMPT},
    azure_chunk({"index": 0, "delta": {"role": "assistant", "content": ""}, "content_filter_results": {}}),
    azure_chunk({"index": 0, "delta": {"content": "Hello"}, "content_filter_results": SAFE, "finish_reason": None}),
    azure_chunk({"index": 0, "delta": {"content": " there."}, "finish_reason": None}),
    {
        "id": "", "object": "", "created": 0, "model": "",
        "choices": [{
            "index": 0, "finish_reason": None, "content_filter_results": MILD,
            "content_filter_offsets": {"check_offset": 44, "start_offset": 44, "end_offset": 198},
        }],
    },
    azure_chunk({"index": 0, "delta": {}, "finish_reason": "stop", "content_filter_results": {}}),
)  # fmt: skip


async def test_content_filter_results_of_a_stream(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, STREAMED)
    async with azure(server) as client, client.chat.completions.stream(**CHAT) as stream:
        chunks = [chunk async for chunk in stream]
        whole = stream.snapshot
    assert chunks[0].choices == []
    assert chunks[0].prompt_filter_results == whole.prompt_filter_results == PROMPT
    assert [choice.content_filter_results for chunk in chunks for choice in chunk.choices] == [{}, SAFE, None, MILD, {}]
    assert chunks[4].choices[0].content_filter_offsets == {"check_offset": 44, "start_offset": 44, "end_offset": 198}
    assert chunks[4].choices[0].delta.content is None
    assert whole.choices[0].content_filter_results == {**SAFE, **MILD}
    assert (whole.id, whole.model, whole.created) == ("c1", "gpt-4o", 5)
    assert whole.choices[0].message.content == "Hello there."


async def test_text_of_a_stream_with_filter_chunks(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, STREAMED)
    async with azure(server) as client, client.chat.completions.stream(**CHAT) as stream:
        assert [text async for text in stream.text_deltas] == ["Hello", " there."]
        assert str(stream.verdict) == "done by [DONE] (stop)"


async def test_content_filter_results_of_a_plain_answer(nursery: trio.Nursery, autojump_clock: object) -> None:
    choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop", "content_filter_results": SAFE}
    server = await serve(nursery, Reply.json({"choices": [choice], "prompt_filter_results": PROMPT}))
    async with azure(server) as client:
        whole = await client.chat.completions.create(**CHAT)
    assert whole.choices[0].content_filter_results == SAFE
    assert whole.prompt_filter_results == PROMPT


async def test_stream_ended_by_the_content_filter_is_complete(nursery: trio.Nursery, autojump_clock: object) -> None:
    found = {"hate": {"filtered": True, "severity": "high"}}
    end = azure_chunk({"index": 0, "delta": {}, "finish_reason": "content_filter", "content_filter_results": found})
    server = await serve(nursery, Reply.sse(azure_chunk({"index": 0, "delta": {"content": "He"}}), end))
    async with azure(server) as client, client.chat.completions.stream(**CHAT) as stream:
        whole = await stream.get_final_completion()
        assert str(stream.verdict) == "done by [DONE] (content_filter)"
    assert whole.choices[0].content_filter_results == found


async def test_filtered_prompt_raises_bad_request_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": SAFE}
    said = {"message": "The prompt was filtered.", "type": None, "param": "prompt", "code": "content_filter"}
    body = {"error": {**said, "status": 400, "innererror": inner}}
    server = await serve(nursery, Reply.json(body, 400, headers={"apim-request-id": "a1", "x-ms-region": "Sweden"}))
    async with azure(server) as client:
        error = await outcome(chat, client)
    assert isinstance(error, BadRequestError)
    assert (error.code, error.param, error.message) == (
        "content_filter",
        "prompt",
        "HTTP 400: The prompt was filtered.",
    )
    answer: Any = error.body
    assert answer["error"]["innererror"] == inner
    assert error.response.headers["apim-request-id"] == "a1"
    assert len(server.requests) == 1


async def test_error_of_the_azure_gateway_has_its_message(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.json({"statusCode": 401, "message": "Access denied."}, 401))
    async with azure(server) as client:
        error = await outcome(chat, client)
    assert str(error) == "HTTP 401: Access denied."


async def test_content_filters_of_a_response(nursery: trio.Nursery, autojump_clock: object) -> None:
    filters = [{"blocked": False, "source_type": "completion", "content_filter_results": SAFE}]
    whole = {"id": "r", "object": "response", "status": "completed", "output": [], "content_filters": filters}
    reply = Reply(
        body=sse_event({"type": "response.completed", "response": whole}), headers={"content-type": "text/event-stream"}
    )
    server = await serve(nursery, reply)
    async with azure(server) as client, client.responses.stream(model="m", input="") as stream:
        assert (await stream.get_final_response()).content_filters == filters


# Options.


def test_azure_client_takes_every_option_of_trio_openai() -> None:
    assert trio_openai.AzureOpenAI is AzureOpenAI
    taken = inspect.signature(TrioOpenAI.__init__).parameters.keys() - {"self"}
    assert taken <= inspect.signature(AzureOpenAI).parameters.keys()


PLACE = {"azure_endpoint": ENDPOINT, "api_version": VERSION}


@pytest.mark.parametrize(
    ("make", "place"), [(AzureOpenAI, PLACE), (SyncAzureOpenAI, PLACE), (TrioOpenAI, {}), (SyncOpenAI, {})]
)
@pytest.mark.parametrize("options", [{"max_connections": 0}, {"max_retries": -1}, {"nonsense": 1}, {}])
def test_invalid_options_do_not_show_the_proxy_password(
    make: Callable[..., Any], place: dict[str, str], options: dict[str, Any]
) -> None:
    proxy = f"http://ada:{SECRET}@proxy.test:3128"
    if not options:
        make = make(api_key="k" * 9, **place).with_options
    with pytest.raises((TypeError, ValueError)) as caught:
        make(api_key="k" * 9, **place, proxy=proxy, **options)
    assert_hidden(caught.value)
