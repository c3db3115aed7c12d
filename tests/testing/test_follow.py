"""Replies that follow the request: its API, and whether it asks for a stream."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
import trio

from trio_openai import TrioOpenAI
from trio_openai.testing import Cut, Pause, RecordedRequest, Reply, ScriptedServer, Stall
from trio_openai.types import ChatCompletion

FORM = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\ntrue\r\n--b--'
MESSAGES: list[Any] = [{"role": "user", "content": "How are you?"}]
CALLS: Any = [("add", {"a": 1, "b": 2}), ("now", {}), ("broken", '{"a":', "call_x")]


def request(path: str = "/v1/chat/completions", **body: Any) -> RecordedRequest:
    return RecordedRequest("POST", path, [("content-type", "application/json")], json.dumps(body).encode())


def calling(text: str, stream: bool) -> Reply:
    return Reply.tool_calls(*CALLS, text=text, stream=stream)


def is_streamed(reply: Reply) -> bool:
    return dict(reply.headers)["content-type"].startswith("text/event-stream")


def whole(reply: Reply) -> Any:
    return json.loads(b"".join(step for step in reply.body if isinstance(step, bytes)))


async def client_of(nursery: trio.Nursery, reply: Reply) -> TrioOpenAI:
    server = ScriptedServer(reply)
    await server.start(nursery, memory=True)
    return server.client()


@pytest.mark.parametrize(
    ("body", "target", "content_type", "expected"),
    [
        (b'{"stream": true}', "/x", "application/json", True),
        (b'{"stream": false}', "/x", "application/json", False),
        (b"{}", "/x", "application/json", False),
        (b"[]", "/x", "application/json", False),
        (b"\xff", "/x", "application/json", False),
        (b"[" * 100_000, "/x", "application/json", False),
        (b"", "/x?stream=true", "", True),
        (b"", "/x?stream=false&a=b", "", False),
        (
            b'--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n--b--',
            "/x",
            "multipart/form-data",
            True,
        ),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\ntrue\r\n--b--', "/x", "multipart/form-data", False),
    ],
)
def test_wants_stream(body: bytes, target: str, content_type: str, expected: bool):
    assert RecordedRequest("POST", target, [("content-type", content_type)], body).wants_stream is expected


@pytest.mark.parametrize("make", [Reply.chat, Reply.response, Reply.auto])
def test_reply_is_streamed_only_if_the_request_asks_for_a_stream(make: Any):
    path = "/v1/responses" if make == Reply.response else "/v1/chat/completions"
    assert is_streamed(make("Hello").for_request(request(path, model="m", stream=True)))
    plain = make("Hello").for_request(request(path, model="m"))
    assert not is_streamed(plain)
    assert plain.framing == "length"
    assert "Hello" in json.dumps(whole(plain))


@pytest.mark.parametrize(
    "make", [Reply.chat, Reply.response, lambda text, stream: Reply.tool_calls(*CALLS, stream=stream)]
)
@pytest.mark.parametrize("stream", [True, False])
def test_explicit_stream_ignores_the_request(make: Any, stream: bool):
    for asked in (True, False):
        assert is_streamed(make("Hello", stream=stream).for_request(request(stream=asked))) is stream


def test_faults_apply_to_both_forms():
    plain = request()
    streamed = request(stream=True)
    reply = Reply.chat("Hello")
    assert reply.cut_after(10).for_request(streamed) == attrs.evolve(reply, follow=None).cut_after(10)
    broken = reply.cut_after(10).for_request(plain)
    assert broken.body[-1] == Cut()
    assert len(broken.body[0]) == 10  # type: ignore[arg-type]
    assert broken.content_length == reply.for_request(plain).length()
    assert len(reply.sliced(7).for_request(plain).body[0]) == 7  # type: ignore[arg-type]


def test_changed_attributes_apply_to_both_forms():
    changed = attrs.evolve(Reply.chat("Hello", headers={"x-a": "b"}), delay=5.0, close_after=True, framing="close")
    for asked in (True, False):
        reply = changed.for_request(request(stream=asked))
        assert (reply.delay, reply.close_after, reply.framing) == (5.0, True, "close")
        assert ("x-a", "b") in reply.headers


def test_replaced_body_is_sent_to_every_request():
    replaced = attrs.evolve(Reply.chat("Hello"), body=(Stall(),))
    for reply in (replaced, replaced.sliced(3)):
        assert reply.for_request(request()).body == (Stall(),)


async def test_one_chat_reply_serves_streams_and_plain_calls(nursery: trio.Nursery):
    async with await client_of(nursery, Reply.chat("Hello there")) as client:
        completion = await client.chat.completions.create(model="m", messages=MESSAGES)
        assert completion.text == "Hello there"
        async with client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
            assert [text async for text in stream.text_deltas] == ["Hello ", "there"]


async def test_auto_follows_api_model_and_usage(nursery: trio.Nursery):
    async with await client_of(nursery, Reply.auto("Hello there")) as client:
        response = await client.responses.create(model="gpt-9", input="Hi")
        assert (response.output_text, response.model) == ("Hello there", "gpt-9")
        for include in (True, False):
            options: Any = {"include_usage": include}
            async with client.chat.completions.stream(model="m", messages=MESSAGES, stream_options=options) as stream:
                completion = await stream.get_final_completion()
            assert (completion.text, completion.model) == ("Hello there", "m")
            assert (completion.usage is not None) is include


def test_auto_options_replace_what_the_request_says():
    reply = Reply.auto("a b", pace=0.5, usage=True, model="mine", prompt_tokens=3, headers={"x-a": "b"})
    streamed = reply.for_request(request(model="m", stream=True))
    assert streamed.body[1] == Pause(0.5)
    assert b'"prompt_tokens":3' in streamed.body[-3]  # type: ignore[operator]
    plain = reply.for_request(request(model="m"))
    assert (whole(plain)["model"], plain.headers[-1]) == ("mine", ("x-a", "b"))


def test_auto_without_text_quotes_the_question():
    reply = Reply.auto().for_request(request(model="m", messages=MESSAGES))
    assert whole(reply)["choices"][0]["message"]["content"].startswith('You asked: "How are you?"')


def test_auto_answers_an_error_to_what_it_does_not_know():
    assert Reply.auto("x").for_request(request("/v1/nothing")).status == 404
    refused = Reply.auto("x").for_request(request())
    assert (refused.status, refused.framing) == (400, "length")
    assert not is_streamed(refused)


def said(completion: ChatCompletion) -> list[tuple[str, str, str]]:
    calls = completion.choices[0].message.tool_calls or []
    return [(call.function.name, call.function.arguments, call.id) for call in calls]  # type: ignore[union-attr]


EXPECTED = [("add", '{"a": 1, "b": 2}', "call_1"), ("now", "{}", "call_2"), ("broken", '{"a":', "call_x")]


@pytest.mark.parametrize("text", ["", "Let me see. "])
async def test_tool_calls_of_a_chat(nursery: trio.Nursery, text: str):
    async with await client_of(nursery, Reply.tool_calls(*CALLS, text=text)) as client:
        plain = await client.chat.completions.create(model="m", messages=MESSAGES)
        async with client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
            streamed = await stream.get_final_completion()
        for completion in (plain, streamed):
            assert said(completion) == EXPECTED
            assert completion.choices[0].finish_reason == "tool_calls"
            assert (completion.choices[0].message.content or "") == text
        assert plain.usage == streamed.usage


@pytest.mark.parametrize("text", ["", "Let me see. "])
async def test_tool_calls_of_a_response(nursery: trio.Nursery, text: str):
    async with await client_of(nursery, Reply.tool_calls(*CALLS, text=text)) as client:
        plain = await client.responses.create(model="m", input="Hi")
        async with client.responses.stream(model="m", input="Hi") as stream:
            calls = [call async for call in stream.tool_calls]
            streamed = stream.snapshot
    assert [(call.name, call.id) for call in calls] == [(name, call_id) for name, _, call_id in EXPECTED]
    for response in (plain, streamed):
        assert response.output_text == text
        items: list[Any] = [item for item in response.output if item.type == "function_call"]
        assert [(item.name, item.arguments, item.call_id) for item in items] == EXPECTED


async def test_run_tools_carries_out_scripted_calls(nursery: trio.Nursery):
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    server = ScriptedServer([Reply.tool_calls(("add", {"a": 1, "b": 2})), Reply.chat("It is 3.")])
    await server.start(nursery, memory=True)
    async with (
        server.client() as client,
        client.chat.completions.run_tools(model="m", messages=MESSAGES, tools=[add]) as run,
    ):
        async for _ in run:
            pass
    assert server.requests[1].json()["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "3"}


@pytest.mark.parametrize("calls", [(), ("add",), (("add",),), (("add", 7),), ({"name": "add"},)])
def test_calls_of_another_form_are_refused_with_an_example(calls: Any):
    with pytest.raises((TypeError, ValueError), match=r'Reply.tool_calls\(\("add"'):
        Reply.tool_calls(*calls)
