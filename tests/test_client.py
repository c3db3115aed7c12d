"""The client: its options, the environment, its URLs, and the doors of its endpoints."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import httpx
import pytest
import trio
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from request_helpers import HELLO, LOCAL, PLAIN, sent

from trio_openai import APIError, Deadlines, OpenAIError, TrioOpenAI
from trio_openai._request.options import ClientOptions
from trio_openai.azure import AzureOpenAI
from trio_openai.sync import SyncAzureOpenAI, SyncOpenAI
from trio_openai.testing import Reply, auto_reply


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


# Keys and the environment.


def test_missing_key_raises_an_error_that_names_the_variable() -> None:
    with pytest.raises(OpenAIError, match="OPENAI_API_KEY") as caught:
        TrioOpenAI()
    assert not isinstance(caught.value, APIError)
    for empty in ("", None):
        with pytest.raises(OpenAIError, match="OPENAI_API_KEY"):
            TrioOpenAI(api_key=empty)


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "http://127.0.0.1/v1", "http://[::1]:80", "http://127.9.8.7", "http://LOCALHOST"]
)
def test_loopback_address_needs_no_key(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TrioOpenAI(base_url=url)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert TrioOpenAI()


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost.evil.test",
        "http://127.0.0.1.evil.test",
        "http://10.0.0.1",
        "https://api.test/v1",
        "http://example.test/localhost",
    ],
)
def test_other_addresses_need_a_key(url: str) -> None:
    with pytest.raises(OpenAIError, match="OPENAI_API_KEY"):
        TrioOpenAI(base_url=url)
    assert TrioOpenAI(base_url=url, api_key="k")


async def test_without_a_key_no_authorization_is_sent(nursery: trio.Nursery) -> None:
    assert (await sent(nursery, {}, {})).header("authorization") is None


async def test_arguments_override_the_environment(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-environment")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://environment.test/base")
    request = await sent(nursery, {"base_url": None}, {})
    assert request.header("authorization") == "Bearer sk-environment"
    assert request.header("openai-organization") == "org-environment"
    assert request.header("openai-project") == "proj-environment"
    assert request.header("host") == "environment.test"
    assert request.target == "/base/chat/completions"
    given = {"api_key": "sk-given", "organization": "org-given", "project": "proj-given"}
    request = await sent(nursery, given, {})
    assert request.header("authorization") == "Bearer sk-given"
    assert request.header("openai-organization") == "org-given"
    assert request.header("openai-project") == "proj-given"
    assert request.target == "/v1/chat/completions"


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "")
    assert str(TrioOpenAI(api_key="k").base_url) == "https://api.openai.com/v1"
    with pytest.raises(OpenAIError, match="OPENAI_API_KEY"):
        TrioOpenAI()


def test_client_can_be_created_outside_of_trio() -> None:
    client = TrioOpenAI(api_key="k")
    assert "api.openai.com" in repr(client)
    assert client.with_options(timeout=5).timeout == Deadlines(connect=5, headers=5, idle=5)

    async def use() -> None:
        async with client:
            pass

    trio.run(use)


# URLs.


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("http://localhost", "/chat/completions"),
        ("http://localhost/", "/chat/completions"),
        ("http://localhost/v1", "/v1/chat/completions"),
        ("http://localhost/v1/", "/v1/chat/completions"),
        ("http://localhost/v1//", "/v1/chat/completions"),
        ("http://localhost/v1?api-version=2024-10-21", "/v1/chat/completions?api-version=2024-10-21"),
        ("http://localhost/v1/?api-version=1&x=a%20b", "/v1/chat/completions?api-version=1&x=a%20b"),
        ("http://localhost/a%2Fb/v1", "/a%2Fb/v1/chat/completions"),
        ("http://localhost/a b/ü", "/a%20b/%C3%BC/chat/completions"),
        ("http://localhost/v1#fragment", "/v1/chat/completions"),
        (httpx.URL("http://localhost/v1"), "/v1/chat/completions"),
    ],
)
async def test_path_is_appended_to_base_url(nursery: trio.Nursery, base: Any, target: str) -> None:
    request = await sent(nursery, {"base_url": base}, {})
    assert request.target.replace("+", "%20") == target


async def test_queries_of_url_client_and_call_are_merged(nursery: trio.Nursery) -> None:
    options = {"base_url": LOCAL + "?a=1&b=1&c=1", "default_query": {"b": 2, "c": 2}}
    request = await sent(nursery, options, {"extra_query": {"c": "3", "d": ["x", "y"], "e": True}})
    assert httpx.URL(request.target).params.multi_items() == [
        ("a", "1"), ("b", "2"), ("c", "3"), ("d", "x"), ("d", "y"), ("e", "true"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://localhost", "/v1", "http://", "https:///v1", "unix:/tmp/x", " ", "http://[::1"]
)
def test_invalid_base_url_raises_value_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        TrioOpenAI(api_key="k", base_url=url)


@pytest.mark.parametrize("url", [5, b"http://localhost", ["http://localhost"]])
def test_base_url_of_wrong_type_raises_type_error(url: Any) -> None:
    with pytest.raises(TypeError):
        TrioOpenAI(api_key="k", base_url=url)


# Options.


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_retries": -1}, ValueError),
        ({"max_retries": None}, TypeError),
        ({"max_retries": 1.5}, TypeError),
        ({"max_retries": True}, TypeError),
        ({"max_retries": "2"}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": "5"}, TypeError),
        ({"timeout": True}, TypeError),
        ({"max_connections": 0}, ValueError),
        ({"max_connections": -1}, ValueError),
        ({"max_connections": 1.5}, TypeError),
        ({"default_headers": {"a b": "c"}}, ValueError),
        ({"default_headers": {"a": "b\n"}}, ValueError),
        ({"default_headers": {"a": 5}}, TypeError),
        ({"default_query": 5}, TypeError),
        ({"api_key": 5}, TypeError),
        ({"api_key": b"key"}, TypeError),
        ({"organization": "a\nb"}, ValueError),
        ({"nonsense": 1}, TypeError),
    ],
    ids=str,
)
def test_invalid_options_raise_when_the_client_is_created(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        TrioOpenAI(**{"base_url": LOCAL, "api_key": "k", **options})
    if "max_connections" not in options:
        with pytest.raises(error):
            TrioOpenAI(base_url=LOCAL).with_options(**options)


def test_httpx_timeout_works_as_in_openai_python() -> None:
    client = TrioOpenAI(base_url=LOCAL, timeout=httpx.Timeout(7, connect=3))  # type: ignore[arg-type]
    assert (client.timeout.connect, client.timeout.headers, client.timeout.idle) == (3, 7, 7)
    assert client.timeout.total is None


@pytest.mark.parametrize("name", ["connect", "headers", "first_event", "first_content", "idle", "total"])
def test_deadlines_must_be_non_negative_numbers(name: str) -> None:
    for good in (0, 1, 0.5, None, float("inf")):
        assert getattr(Deadlines(**{name: good}), name) == good
    for bad in (-1, float("nan"), "5", True):
        with pytest.raises((ValueError, TypeError)):
            Deadlines(**{name: bad})  # type: ignore[arg-type]


async def test_with_options_changes_options_and_shares_connections(nursery: trio.Nursery) -> None:
    server = await serve(nursery, PLAIN)
    client, transport = client_over(server, api_key="one", default_headers={"x-a": "1"}, organization="org")
    async with client:
        other = client.with_options(api_key="two", max_retries=0, timeout=3, default_headers={"x-b": "2"})
        for one in (client, other, client.with_options()):
            await one.chat.completions.create(**CHAT)
        assert transport.statistics().opened == 1
    first, second, third = server.requests
    assert (first.header("authorization"), first.header("x-a"), first.header("x-b")) == ("Bearer one", "1", None)
    assert (second.header("authorization"), second.header("x-b")) == ("Bearer two", "2")
    assert second.header("openai-organization") == "org"
    assert third.headers == first.headers
    assert (client.max_retries, other.max_retries) == (2, 0)
    assert other.timeout == Deadlines(connect=3, headers=3, idle=3)
    for shared in ("http_client", "max_connections"):
        with pytest.raises(TypeError, match=shared):
            client.with_options(**{shared: None})


async def test_closing_a_client_closes_streams_of_its_copies(nursery: trio.Nursery) -> None:
    server = await serve(nursery, HELLO.stall_after(300))
    client, _ = client_over(server)
    stream = await client.with_options(timeout=None).chat.completions.create(**CHAT, stream=True)
    await client.aclose()
    assert isinstance(await outcome(stream.__anext__), trio.ClosedResourceError)
    await server.wait_closed()


@pytest.mark.parametrize("cls", [TrioOpenAI, AzureOpenAI, SyncOpenAI, SyncAzureOpenAI])
def test_signature_lists_every_option_with_type_and_default(cls: type[Any]) -> None:
    parameters = inspect.signature(cls).parameters
    assert [field.name for field in attrs.fields(ClientOptions) if field.name not in parameters] == []
    for parameter in parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty
        assert parameter.annotation is not inspect.Parameter.empty


def test_options_are_converted_once_and_keep_their_values_in_a_copy() -> None:
    options = ClientOptions(api_key="k", timeout=5, default_headers={"x-a": "1"}, default_query={"q": 1})
    copy = options.changed({"max_retries": 7})
    assert (copy.max_retries, copy.timeout, copy.key) == (7, Deadlines(connect=5, headers=5, idle=5), options.key)
    assert (copy.default_headers, copy.default_query, copy.url) == ({"x-a": "1"}, {"q": 1}, options.url)
    with pytest.raises(TypeError, match="no option 'nonsense'"):
        options.changed({"nonsense": 1})


# The doors.


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])
async def test_every_door_of_chat_and_responses_returns_the_same_text(nursery: trio.Nursery, memory: bool) -> None:
    server = await serve(nursery, lambda request: auto_reply(request, pace=0), memory=memory)
    client, transport = client_over(server)
    texts: list[str | None] = []
    async with client:
        async with client.chat.completions.stream(**CHAT) as chat:
            texts.append("".join([text async for text in chat.text_deltas]))
            assert (await chat.get_final_completion()).choices[0].message.content == texts[-1]
        chat = await client.chat.completions.create(**CHAT, stream=True)
        texts.append((await chat.get_final_completion()).choices[0].message.content)
        await chat.aclose()
        async with await client.chat.completions.create(**CHAT, stream=True) as chat:
            await chat.until_done()
            texts.append(chat.snapshot.choices[0].message.content)
        texts.append((await client.chat.completions.create(**CHAT)).choices[0].message.content)
        asked: dict[str, Any] = {"model": "m", "input": "Say hello."}
        async with client.responses.stream(**asked) as response:
            texts.append("".join([text async for text in response.text_deltas]))
        async with await client.responses.create(**asked, stream=True) as response:
            texts.append((await response.get_final_response()).output_text)
        texts.append((await client.responses.create(**asked)).output_text)
        assert transport.statistics().active == 0
    assert len(texts) == 7
    assert all(text and text == texts[0] for text in texts)


async def test_timeout_of_a_call_does_not_affect_other_calls(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.chat("Hi", pace=5.0))
    client, _ = client_over(server, timeout=1, max_retries=0)
    async with client:
        async with client.chat.completions.stream(**CHAT, timeout=None) as stream:
            await stream.until_done()
        async with client.chat.completions.stream(**CHAT) as stream:
            assert isinstance(await outcome(stream.until_done), TimeoutError)


async def test_environment_proxy_is_not_used_for_loopback_addresses(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(nursery, PLAIN, memory=False)
    for name in ("http_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with TrioOpenAI(base_url=server.base_url, max_retries=0) as client:
        assert (await client.chat.completions.create(**CHAT)).choices


async def test_environment_proxy_is_used_for_other_addresses(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await serve(nursery, PLAIN, memory=False)
    monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
    async with TrioOpenAI(api_key="k", base_url="http://elsewhere.test/v1", max_retries=0) as client:
        assert (await client.chat.completions.create(**CHAT)).choices
        assert proxy.requests[0].target == "http://elsewhere.test/v1/chat/completions"
    await proxy.wait_closed()
