"""Content in `trio_openai.otel`: recorded only if the program asks for it, in the shapes of the conventions."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from otel_helpers import CHAT, CONTENT, MESSAGES, Telemetry, attributes_of, decoded, events_of, latest

from trio_openai import BadRequestError, StreamTruncatedError
from trio_openai.testing import Cut, Reply, ScriptedServer

__all__ = ["latest"]

SECRETS = ("my secret question", "Be brief.", "a secret answer")


async def observed(nursery: trio.Nursery, script: Any, telemetry: Telemetry) -> Any:
    server = ScriptedServer(script)
    await server.start(nursery, memory=True)
    return server.client(observer=telemetry.observer, max_retries=0)


async def chat(nursery: trio.Nursery, telemetry: Telemetry, script: Any, **params: Any) -> None:
    async with await observed(nursery, script, telemetry) as client:
        async with client.chat.completions.stream(**{**CHAT, **params}) as stream:
            await stream.until_done()


@pytest.mark.parametrize("names", ["", "gen_ai_latest_experimental"])
async def test_no_content_is_recorded_by_default(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", names)

    def look_up(name: str) -> str:
        return f"a secret answer for {name}"

    telemetry = Telemetry()
    calling = Reply.tool_calls(("look_up", {"name": "my secret question"}), text="a secret answer")
    script = [calling, Reply.chat("a secret answer"), Reply.error(400, "my secret question is wrong")]
    async with await observed(nursery, script, telemetry) as client:
        async with client.chat.completions.run_tools(**CHAT, tools=[look_up]) as run:
            await run.until_done()
        with pytest.raises(BadRequestError):
            await client.chat.completions.create(**CHAT)
    assert len(telemetry.spans) == 7
    assert not [secret for secret in SECRETS if secret in telemetry.everything()]


@pytest.mark.parametrize(
    ("value", "is_recorded"),
    [
        ("true", True),
        ("SPAN_ONLY", True),
        ("span_and_event", True),
        ("EVENT_ONLY", False),
        ("false", False),
        ("", False),
    ],
)
async def test_the_environment_can_ask_for_content(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, value: str, is_recorded: bool
) -> None:
    monkeypatch.setenv(CONTENT, value)
    telemetry = Telemetry()
    await chat(nursery, telemetry, Reply.chat("Hi."))
    assert ("my secret question" in telemetry.everything()) is is_recorded


async def test_the_argument_wins_over_the_environment(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONTENT, "true")
    telemetry = Telemetry(capture_content=False)
    await chat(nursery, telemetry, Reply.chat("Hi."))
    assert "my secret question" not in telemetry.everything()


# The latest names.


@pytest.mark.usefixtures("latest")
async def test_a_chat_is_recorded_as_messages(nursery: trio.Nursery) -> None:
    telemetry = Telemetry(capture_content=True)
    tools = [{"type": "function", "function": {"name": "now", "description": "long", "parameters": {}}}]
    await chat(nursery, telemetry, Reply.chat("a secret answer"), tools=tools)
    span = telemetry.one()
    assert decoded(span, "gen_ai.input.messages") == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "my secret question"}]},
    ]
    assert decoded(span, "gen_ai.output.messages") == [
        {"role": "assistant", "parts": [{"type": "text", "content": "a secret answer"}], "finish_reason": "stop"}
    ]
    assert decoded(span, "gen_ai.tool.definitions") == [{"type": "function", "name": "now"}]


@pytest.mark.usefixtures("latest")
async def test_every_kind_of_part_has_its_shape(nursery: trio.Nursery) -> None:
    telemetry = Telemetry(capture_content=True)
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"name": "x"}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    link = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    sound = {"type": "input_audio", "input_audio": {"format": "wav", "data": "BBBB"}}
    other = {"type": "new_kind", "x": 1}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "See"}, image, link, sound, other], "name": "bob"},
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "Hm."},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "assistant", "content": "", "refusal": "No."},
    ]
    await chat(nursery, telemetry, Reply.chat("Hi."), messages=messages)
    parts = [
        {"type": "text", "content": "See"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        {"type": "uri", "modality": "image", "uri": "https://example.org/a.png"},
        {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "BBBB"},
        {"type": "new_kind", "x": 1},
    ]
    wanted = {"type": "tool_call", "id": "c1", "name": "look_up", "arguments": {"name": "x"}}
    assert decoded(telemetry.one(), "gen_ai.input.messages") == [
        {"role": "user", "parts": parts, "name": "bob"},
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}, wanted]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "found"}]},
        {"role": "assistant", "parts": [{"type": "refusal", "content": "No."}]},
    ]


@pytest.mark.usefixtures("latest")
async def test_a_response_is_recorded_as_messages(nursery: trio.Nursery) -> None:
    telemetry = Telemetry(capture_content=True)
    items: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image", "file_id": "f1"}]},
        {"type": "function_call", "call_id": "c1", "name": "now", "arguments": "not JSON"},
        {"type": "function_call_output", "call_id": "c1", "output": "noon"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "web_search_call", "id": "w"},
    ]
    async with await observed(nursery, Reply.tool_calls(("now", {}), text="Wait."), telemetry) as client:
        await client.responses.create(model="gpt-4o", input=items, instructions="Be kind.")
        await client.responses.create(model="plain", input="Hello")
    span = telemetry.one()
    assert decoded(span, "gen_ai.system_instructions") == [{"type": "text", "content": "Be kind."}]
    said, called, answered, thought, searched = decoded(span, "gen_ai.input.messages")
    assert said["parts"][1] == {"type": "file", "modality": "image", "file_id": "f1"}
    assert called["parts"] == [{"type": "tool_call", "id": "c1", "name": "now", "arguments": "not JSON"}]
    assert answered == {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "noon"}]}
    assert thought == {"role": "assistant", "parts": [{"type": "reasoning", "content": "Hm."}]}
    assert searched["parts"] == [{"type": "web_search_call", "id": "w"}]
    (output,) = decoded(span, "gen_ai.output.messages")
    assert [part["type"] for part in output["parts"]] == ["text", "tool_call"]
    assert output["finish_reason"] == "tool_call"
    assert attributes_of(span)["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert decoded(telemetry.one("chat plain"), "gen_ai.input.messages") == [
        {"role": "user", "parts": [{"type": "text", "content": "Hello"}]}
    ]


@pytest.mark.usefixtures("latest")
async def test_a_completion_is_recorded_as_messages(nursery: trio.Nursery) -> None:
    telemetry = Telemetry(capture_content=True)
    answer = Reply.json({"id": "c", "choices": [{"index": 0, "text": "there was", "finish_reason": "length"}]})
    async with await observed(nursery, answer, telemetry) as client:
        await client.completions.create(model="davinci", prompt=["Once", "upon"])
    span = telemetry.one("text_completion davinci")
    assert [one["parts"][0]["content"] for one in decoded(span, "gen_ai.input.messages")] == ["Once", "upon"]
    assert decoded(span, "gen_ai.output.messages") == [
        {"role": "assistant", "parts": [{"type": "text", "content": "there was"}], "finish_reason": "length"}
    ]


@pytest.mark.usefixtures("latest")
async def test_an_unfinished_answer_is_recorded_as_far_as_it_came(nursery: trio.Nursery) -> None:
    delta = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
    telemetry = Telemetry(capture_content=True)
    async with await observed(nursery, Reply.sse(delta, Cut()), telemetry) as client:
        with pytest.raises(StreamTruncatedError):
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
        async with client.chat.completions.stream(**CHAT) as stream:
            await anext(stream)
    outputs = [decoded(span, "gen_ai.output.messages") for span in telemetry.named("chat gpt-4o")]
    parts = [{"type": "text", "content": "Hello"}]
    assert outputs == [
        [{"role": "assistant", "parts": parts, "finish_reason": "error"}],
        [{"role": "assistant", "parts": parts, "finish_reason": "closed"}],
    ]


@pytest.mark.usefixtures("latest")
async def test_a_tool_is_recorded_with_its_arguments_and_its_result(nursery: trio.Nursery) -> None:
    def look_up(name: str) -> dict[str, str]:
        return {"found": name}

    telemetry = Telemetry(capture_content=True)
    script = [Reply.tool_calls(("look_up", {"name": "x"})), Reply.chat("Done.")]
    async with await observed(nursery, script, telemetry) as client:
        async with client.chat.completions.run_tools(**CHAT, tools=[look_up]) as run:
            await run.until_done()
    tool = telemetry.one("execute_tool look_up")
    assert decoded(tool, "gen_ai.tool.call.arguments") == {"name": "x"}
    assert decoded(tool, "gen_ai.tool.call.result") == {"found": "x"}


@pytest.mark.usefixtures("latest")
async def test_text_that_cannot_be_encoded_is_recorded_with_replacements(nursery: trio.Nursery) -> None:
    """Protect the exporter, which encodes everything as UTF-8."""
    telemetry = Telemetry(capture_content=True)
    answer = Reply.raw(
        b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{"id":"\\ud800",'
        b'"choices":[{"index":0,"finish_reason":"\\ud800","message":{"role":"assistant","content":"\\ud800"}}]}'
    )
    async with await observed(nursery, answer, telemetry) as client:
        await client.chat.completions.create(**CHAT)
    telemetry.one().to_json().encode()
    assert all(str(value).encode() for value in attributes_of(telemetry.one()).values())


async def test_values_of_other_types_are_left_out(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry(capture_content=True)
    body = {"id": {"a": 1}, "model": ["x"], "choices": [{"finish_reason": 7}], "service_tier": {}}
    async with await observed(nursery, Reply.json(body), telemetry) as client:
        await client.chat.completions.create(**CHAT, extra_body={"stop": [1, "x"], "seed": "no", "n": "2"})
    attributes = attributes_of(telemetry.one())
    assert attributes["gen_ai.request.stop_sequences"] == ["x"]
    assert "gen_ai.response.id" not in attributes
    assert "gen_ai.request.seed" not in attributes
    assert caplog.text == ""


# Version 1.36.0.


async def test_a_chat_is_recorded_as_the_events_of_1_36(nursery: trio.Nursery) -> None:
    telemetry = Telemetry(capture_content=True)
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"name":"x"}'}}
    messages: list[dict[str, Any]] = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "developer", "content": "Be quick."},
    ]
    await chat(nursery, telemetry, Reply.chat("a secret answer"), messages=messages)
    system = {"gen_ai.system": "openai"}
    events = events_of(telemetry.one())
    assert json.loads(events[2][1].pop("tool_calls")) == [call]
    assert json.loads(events[5][1].pop("message")) == {"content": "a secret answer"}
    assert events == [
        ("gen_ai.system.message", {**system, "content": "Be brief."}),
        ("gen_ai.user.message", {**system, "content": "my secret question"}),
        ("gen_ai.assistant.message", system),
        ("gen_ai.tool.message", {**system, "id": "c1", "content": "found"}),
        ("gen_ai.system.message", {**system, "role": "developer", "content": "Be quick."}),
        ("gen_ai.choice", {**system, "index": 0, "finish_reason": "stop"}),
    ]


async def test_the_events_of_1_36_have_instructions_and_tool_calls(nursery: trio.Nursery) -> None:
    telemetry = Telemetry(capture_content=True)
    async with await observed(nursery, Reply.tool_calls(("now", {"a": 1})), telemetry) as client:
        await client.responses.create(model="gpt-4o", input="Hi", instructions="Be kind.")
    first, _, choice = events_of(telemetry.one())
    assert first == ("gen_ai.system.message", {"gen_ai.system": "openai", "content": "Be kind."})
    assert choice[1]["finish_reason"] == "tool_calls"
    (call,) = json.loads(choice[1]["message"])["tool_calls"]
    assert call == {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"a":1}'}}


async def test_embeddings_have_no_messages(nursery: trio.Nursery) -> None:
    telemetry = Telemetry(capture_content=True)
    async with await observed(nursery, Reply.json({"data": []}), telemetry) as client:
        await client.embeddings.create(model="e", input="my secret question")
    assert "my secret question" not in telemetry.everything()
