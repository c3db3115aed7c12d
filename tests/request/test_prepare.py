"""The request that is made of a call's parameters, and parameters that raise before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from net_helpers import CHAT, MESSAGES, client_over, no_environment, outcome, serve
from request_helpers import HELLO, PLAIN, sent

import trio_openai
from trio_openai.testing import Reply


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


# What is sent.


async def test_body_contains_exactly_the_parameters(nursery: trio.Nursery) -> None:
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


async def test_streaming_request_has_stream_true_and_its_headers(nursery: trio.Nursery) -> None:
    request = await sent(nursery, {}, {"stream_options": {"include_usage": True}}, stream=True)
    assert request.json() == {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    assert request.header("accept") == "text/event-stream"
    assert request.header("accept-encoding") == "identity"
    assert (await sent(nursery, {}, {"extra_body": {"stream": False}}, stream=True)).json()["stream"] is True


async def test_extra_headers_query_and_body_override_defaults(nursery: trio.Nursery) -> None:
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


async def test_arguments_are_not_modified_and_can_be_reused(nursery: trio.Nursery) -> None:
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


async def test_message_of_an_earlier_answer_can_be_sent_back(nursery: trio.Nursery) -> None:
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


async def test_output_of_an_earlier_response_can_be_sent_back(nursery: trio.Nursery) -> None:
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


# Invalid parameters.

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
async def test_invalid_parameters_raise_before_anything_is_sent(nursery: trio.Nursery, params: dict[str, Any]) -> None:
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


async def test_missing_and_positional_parameters_raise_type_error(nursery: trio.Nursery) -> None:
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


async def test_stream_manager_can_be_entered_only_once(nursery: trio.Nursery) -> None:
    server = await serve(nursery, HELLO)
    client, _ = client_over(server)
    async with client:
        manager = client.chat.completions.stream(**CHAT)
        async with manager as stream:
            await stream.until_done()
        assert isinstance(await outcome(manager.__aenter__), RuntimeError)
    assert len(server.requests) == 1
