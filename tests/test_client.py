"""The client's options, what it sends, and what it refuses before anything is sent."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from net_helpers import CHAT, MESSAGES, client_over, http_client, no_environment, outcome, serve

import trio_openai
from trio_openai import APIError, Deadlines, OpenAIError, TrioOpenAI, TrioTransport
from trio_openai.testing import RecordedRequest, Reply, auto_reply

HELLO = Reply.chat("Hello there, you.")
PLAIN = Reply.chat("Hello there, you.", stream=False)
LOCAL = "http://localhost:8080/v1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def sent(
    nursery: trio.Nursery, options: dict[str, Any], params: dict[str, Any], *, stream: bool = False
) -> RecordedRequest:
    """The request that one call makes."""
    server = await serve(nursery, HELLO if stream else PLAIN)
    transport = TrioTransport(open_stream=server.open_stream)
    async with TrioOpenAI(**{"base_url": LOCAL, **options}, http_client=http_client(transport)) as client:
        answer: Any = await client.chat.completions.create(**{**CHAT, **params}, **({"stream": True} if stream else {}))
        if stream:
            await answer.aclose()
    (request,) = server.requests
    return request


# Keys and the environment.


def test_without_a_key_there_is_an_error_at_once_that_names_the_variable() -> None:
    with pytest.raises(OpenAIError, match="OPENAI_API_KEY") as caught:
        TrioOpenAI()
    assert not isinstance(caught.value, APIError)
    for empty in ("", None):
        with pytest.raises(OpenAIError, match="OPENAI_API_KEY"):
            TrioOpenAI(api_key=empty)


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "http://127.0.0.1/v1", "http://[::1]:80", "http://127.9.8.7", "http://LOCALHOST"]
)
def test_a_loopback_address_needs_no_key(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_any_other_address_needs_a_key(url: str) -> None:
    with pytest.raises(OpenAIError, match="OPENAI_API_KEY"):
        TrioOpenAI(base_url=url)
    assert TrioOpenAI(base_url=url, api_key="k")


async def test_no_key_sends_no_authorization(nursery: trio.Nursery) -> None:
    assert (await sent(nursery, {}, {})).header("authorization") is None


async def test_the_environment_is_used_and_arguments_go_before_it(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_empty_variables_are_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "")
    assert str(TrioOpenAI(api_key="k").base_url) == "https://api.openai.com/v1"
    with pytest.raises(OpenAIError, match="OPENAI_API_KEY"):
        TrioOpenAI()


def test_a_client_can_be_made_and_described_outside_of_trio() -> None:
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
async def test_the_path_is_put_after_the_base_url(nursery: trio.Nursery, base: Any, target: str) -> None:
    request = await sent(nursery, {"base_url": base}, {})
    assert request.target.replace("+", "%20") == target


async def test_queries_are_merged(nursery: trio.Nursery) -> None:
    options = {"base_url": LOCAL + "?a=1&b=1&c=1", "default_query": {"b": 2, "c": 2}}
    request = await sent(nursery, options, {"extra_query": {"c": "3", "d": ["x", "y"], "e": True}})
    assert httpx.URL(request.target).params.multi_items() == [
        ("a", "1"), ("b", "2"), ("c", "3"), ("d", "x"), ("d", "y"), ("e", "true"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://localhost", "/v1", "http://", "https:///v1", "unix:/tmp/x", " ", "http://[::1"]
)
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        TrioOpenAI(api_key="k", base_url=url)


@pytest.mark.parametrize("url", [5, b"http://localhost", ["http://localhost"]])
def test_a_base_url_of_another_type_is_refused(url: Any) -> None:
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
def test_options_that_cannot_work_are_refused_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        TrioOpenAI(**{"base_url": LOCAL, "api_key": "k", **options})
    if "max_connections" not in options:
        with pytest.raises(error):
            TrioOpenAI(base_url=LOCAL).with_options(**options)


def test_an_httpx_timeout_is_taken_as_by_openai_python() -> None:
    client = TrioOpenAI(base_url=LOCAL, timeout=httpx.Timeout(7, connect=3))  # type: ignore[arg-type]
    assert (client.timeout.connect, client.timeout.headers, client.timeout.idle) == (3, 7, 7)
    assert client.timeout.total is None


@pytest.mark.parametrize("name", ["connect", "headers", "first_event", "first_content", "idle", "total"])
def test_deadlines_are_checked(name: str) -> None:
    for good in (0, 1, 0.5, None, float("inf")):
        assert getattr(Deadlines(**{name: good}), name) == good
    for bad in (-1, float("nan"), "5", True):
        with pytest.raises((ValueError, TypeError)):
            Deadlines(**{name: bad})  # type: ignore[arg-type]


async def test_with_options_changes_what_it_is_given_and_shares_the_connections(nursery: trio.Nursery) -> None:
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


async def test_closing_a_client_closes_the_streams_of_those_made_from_it(nursery: trio.Nursery) -> None:
    server = await serve(nursery, HELLO.stall_after(300))
    client, _ = client_over(server)
    stream = await client.with_options(timeout=None).chat.completions.create(**CHAT, stream=True)
    await client.aclose()
    assert isinstance(await outcome(stream.__anext__), trio.ClosedResourceError)
    await server.wait_closed()


# What is sent.


async def test_the_body_is_exactly_what_was_asked_for(nursery: trio.Nursery) -> None:
    request = await sent(nursery, {}, {})
    assert request.method == "POST"
    assert request.json() == {"model": CHAT["model"], "messages": MESSAGES}
    assert request.header("content-type") == "application/json"
    assert request.header("accept") == "application/json"
    assert request.header("content-length") == str(len(request.body))
    assert request.header("user-agent") == f"trio_openai/{trio_openai.__version__}"
    params = {
        "temperature": 0.5,
        "n": 2,
        "stop": ("a", "b"),
        "tools": [{"type": "function"}],
        "seed": None,
        "user": "ü\u2028",
    }
    assert (await sent(nursery, {}, params)).json() == {
        "model": CHAT["model"], "messages": MESSAGES, **params, "stop": ["a", "b"],
    }  # fmt: skip


async def test_a_stream_is_asked_for_as_one(nursery: trio.Nursery) -> None:
    request = await sent(nursery, {}, {"stream_options": {"include_usage": True}}, stream=True)
    assert request.json() == {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    assert request.header("accept") == "text/event-stream"
    assert request.header("accept-encoding") == "identity"
    assert (await sent(nursery, {}, {"extra_body": {"stream": False}}, stream=True)).json()["stream"] is True


async def test_extra_headers_query_and_body(nursery: trio.Nursery) -> None:
    options = {"default_headers": {"X-A": "default", "X-B": "default"}, "api_key": "k"}
    params = {
        "extra_headers": {"x-a": "call", "User-Agent": "mine", "Authorization": "Basic abc"},
        "extra_query": {"q": "1"},
        "extra_body": {"temperature": 1, "top_k": 5},
        "temperature": 0,
    }
    request = await sent(nursery, options, params)
    assert (request.header("x-a"), request.header("x-b")) == ("call", "default")
    assert request.header("user-agent") == "mine"
    assert [value for name, value in request.headers if name == "authorization"] == ["Basic abc"]
    assert request.target == "/v1/chat/completions?q=1"
    assert request.json() == {**CHAT, "temperature": 1, "top_k": 5}


async def test_the_callers_arguments_are_not_changed_and_can_be_used_again(nursery: trio.Nursery) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    extra = {"a": 1}
    headers = {"x-a": "1"}
    messages = [dict(message) for message in MESSAGES]
    params: dict[str, Any] = {"model": "m", "messages": messages, "extra_body": extra, "extra_headers": headers}
    async with client:
        for _ in range(2):
            async with client.chat.completions.stream(**params) as stream:
                await stream.until_done()
    assert (params.keys(), extra, headers, messages) == (
        {"model", "messages", "extra_body", "extra_headers"}, {"a": 1}, {"x-a": "1"}, MESSAGES,
    )  # fmt: skip
    assert server.requests[0].body == server.requests[1].body


async def test_messages_may_be_any_iterable(nursery: trio.Nursery) -> None:
    for messages in (tuple(MESSAGES), iter(MESSAGES), (dict(message) for message in MESSAGES)):
        assert (await sent(nursery, {}, {"messages": messages})).json()["messages"] == MESSAGES


async def test_the_message_of_an_earlier_answer_can_be_sent_back(nursery: trio.Nursery) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    more = {"index": 0, "function": {"arguments": '{"a": 1}'}}
    chunks = [{"role": "assistant", "content": None, "tool_calls": [call]}, {"tool_calls": [more]}]
    events = [{"id": "c", "choices": [{"index": 0, "delta": delta}]} for delta in chunks]
    end = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    server = await serve(nursery, [Reply.sse(*events, end), PLAIN, PLAIN, PLAIN])
    client, _ = client_over(server)
    tool = {"role": "tool", "tool_call_id": "call_1", "content": "5"}
    async with client:
        async with client.chat.completions.stream(**CHAT) as stream:
            streamed = (await stream.get_final_completion()).choices[0].message
        plain = (
            (await client.chat.completions.create(model="m", messages=[*MESSAGES, streamed, tool])).choices[0].message
        )
        await client.chat.completions.create(model="m", messages=[*MESSAGES, plain, *MESSAGES])
        await client.chat.completions.create(model="m", messages=MESSAGES, extra_body={"nested": {"message": plain}})
    _, second, third, fourth = (request.json() for request in server.requests)
    back = second["messages"][1]
    assert back["role"] == "assistant"
    (tool_call,) = back["tool_calls"]
    assert (tool_call["id"], tool_call["type"]) == ("call_1", "function")
    assert tool_call["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert second["messages"][2] == tool
    assert third["messages"][1]["content"] == "Hello there, you."
    assert third["messages"][1]["role"] == "assistant"
    assert fourth["nested"]["message"]["content"] == "Hello there, you."


async def test_the_output_of_an_earlier_response_can_be_sent_back(nursery: trio.Nursery) -> None:
    server = await serve(nursery, lambda r: Reply.response("Hello there.", stream=r.json().get("stream", False)))
    client, _ = client_over(server)
    async with client:
        response = await client.responses.create(model="m", input="hi")
        async with client.responses.stream(
            model="m", input=[*response.output, {"role": "user", "content": "x"}]
        ) as stream:
            final = await stream.get_final_response()
        await client.responses.create(model="m", input=final.output)
    first, second, third = (request.json() for request in server.requests)
    assert first == {"model": "m", "input": "hi"}
    assert second["stream"] is True
    assert second["input"][0]["content"][0]["text"] == "Hello there."
    assert third["input"][0]["type"] == "message"
    assert server.requests[0].target == "/v1/responses"


# What is refused.

BAD: list[dict[str, Any]] = [
    {"stop": {1, 2}},
    {"stop": object},
    {"stop": b"bytes"},
    {"logit_bias": {5: 1}},
    {"messages": "hi"},
    {"messages": b"hi"},
    {"messages": {"role": "user", "content": "hi"}},
    {"messages": None},
    {"messages": 5},
    {"messages": [{"role": "user", "content": object}]},
    {"timeout": "5"},
    {"timeout": -1},
    {"extra_headers": {"a b": "c"}},
    {"extra_headers": {"a": "b\nc: d"}},
    {"extra_headers": {"a": 5}},
    {"extra_headers": {"a": None}},
    {"extra_body": 5},
    {"extra_body": [1]},
    {"extra_query": 5},
]


@pytest.mark.parametrize("params", BAD, ids=str)
async def test_parameters_that_cannot_be_sent_are_refused_before_anything_is_sent(
    nursery: trio.Nursery, params: dict[str, Any]
) -> None:
    server = await serve(nursery, PLAIN)
    client, transport = client_over(server)

    async def enter(**given: Any) -> None:
        async with client.chat.completions.stream(**given):
            pass

    async def third_door(**given: Any) -> None:
        await client.chat.completions.create(**given, stream=True)

    async with client:
        for door in (client.chat.completions.create, enter, third_door):
            error = await outcome(door, **{**CHAT, **params})
            assert isinstance(error, TypeError | ValueError), door
            assert len(str(error)) > 10
        assert transport.statistics().opened == 0
        assert transport.statistics().active == 0
    assert server.statistics().accepted == 0


async def test_missing_and_misplaced_parameters_are_type_errors(nursery: trio.Nursery) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    completions: Any = client.chat.completions
    async with client:
        for call in (
            lambda: completions.create(messages=MESSAGES),
            lambda: completions.create(model="m"),
            lambda: completions.create("m", MESSAGES),
            lambda: completions.stream(model="m"),
            lambda: completions.stream(**CHAT, stream=False),
        ):
            with pytest.raises(TypeError):
                await call()
    assert server.requests == []


async def test_a_block_is_entered_once(nursery: trio.Nursery) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    async with client:
        manager = client.chat.completions.stream(**CHAT)
        async with manager as stream:
            await stream.until_done()
        assert isinstance(await outcome(manager.__aenter__), RuntimeError)
    assert len(server.requests) == 1


# The doors.


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])
async def test_each_door_of_each_endpoint(nursery: trio.Nursery, memory: bool) -> None:
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


async def test_an_option_for_one_call_is_for_that_call_only(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, Reply.chat("Hi", pace=5.0))
    client, _ = client_over(server, timeout=1, max_retries=0)
    async with client:
        async with client.chat.completions.stream(**CHAT, timeout=None) as stream:
            await stream.until_done()
        async with client.chat.completions.stream(**CHAT) as stream:
            assert isinstance(await outcome(stream.until_done), TimeoutError)


async def test_a_proxy_in_the_environment_does_not_stand_between_us_and_this_machine(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(nursery, PLAIN, memory=False)
    for name in ("http_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with TrioOpenAI(base_url=server.base_url, max_retries=0) as client:
        assert (await client.chat.completions.create(**CHAT)).choices


async def test_a_proxy_in_the_environment_is_used_for_other_addresses(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await serve(nursery, PLAIN, memory=False)
    monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
    async with TrioOpenAI(api_key="k", base_url="http://elsewhere.test/v1", max_retries=0) as client:
        assert (await client.chat.completions.create(**CHAT)).choices
        assert proxy.requests[0].target == "http://elsewhere.test/v1/chat/completions"
    await proxy.wait_closed()
