"""Spans of `trio_openai.otel`: one for each call, under the names of both conventions, and one for each attempt."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
import trio.testing
from opentelemetry.trace import SpanKind
from otel_helpers import CHAT, Telemetry, attributes_of, id_of, latest, read, started, status_of
from resume_helpers import ASK, server_that_breaks

from trio_openai import (
    AzureOpenAI,
)
from trio_openai.testing import Reply, ScriptedServer

__all__ = ["latest"]

ANSWER = Reply.chat("Hello there, you.", pace=1)
ERROR = Reply.error(429, "my secret question is refused", code="rate_limited")


async def test_a_call_has_one_span_under_the_names_of_1_36(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    server = await started(nursery, ANSWER)
    async with server.client(observer=telemetry.observer) as client:
        await read(client, temperature=0, max_completion_tokens=50, stop="END", seed=7, n=1, service_tier="flex")
    span = telemetry.one()
    assert span.kind is SpanKind.CLIENT
    assert span.parent is None
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.36.0"
    assert attributes_of(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.request.seed": 7,
        "gen_ai.openai.request.service_tier": "flex",
        "gen_ai.response.id": "chatcmpl-scripted",
        "gen_ai.response.model": "gpt-4o-mini",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.openai.response.service_tier": "default",
        "gen_ai.openai.response.system_fingerprint": "fp_scripted",
        "gen_ai.usage.input_tokens": 8,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "127.0.0.1",
        "server.port": 80,
        "trio_openai.verdict": "done",
        "trio_openai.attempts": 1,
    }


@pytest.mark.usefixtures("latest")
async def test_a_call_has_one_span_under_the_latest_names(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    server = await started(nursery, ANSWER)
    async with server.client(observer=telemetry.observer) as client:
        await read(client, top_p=0.5, n=2, response_format={"type": "json_object"}, service_tier="auto")
    span = telemetry.one()
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.41.0"
    attributes = attributes_of(span)
    assert attributes.pop("gen_ai.response.time_to_first_chunk") >= 0
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.stream": True,
        "gen_ai.output.type": "json",
        "openai.api.type": "chat_completions",
        "gen_ai.response.id": "chatcmpl-scripted",
        "gen_ai.response.model": "gpt-4o-mini",
        "gen_ai.response.finish_reasons": ["stop"],
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_scripted",
        "gen_ai.usage.input_tokens": 8,
        "gen_ai.usage.output_tokens": 3,
        "server.address": "127.0.0.1",
        "server.port": 80,
        "trio_openai.verdict": "done",
        "trio_openai.attempts": 1,
    }


@pytest.mark.usefixtures("latest")
async def test_cached_and_reasoning_tokens_have_names_among_the_latest(nursery: trio.Nursery) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    telemetry = Telemetry()
    server = await started(nursery, Reply.json({"id": "c", "choices": [], "usage": usage}))
    async with server.client(observer=telemetry.observer) as client:
        await client.chat.completions.create(**CHAT)
    attributes = attributes_of(telemetry.one())
    assert {name: value for name, value in attributes.items() if name.startswith("gen_ai.usage")} == {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 80,
        "gen_ai.usage.reasoning.output_tokens": 30,
    }


@pytest.mark.usefixtures("latest")
async def test_plain_answers_and_raw_responses_have_the_same_span(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.chat("Hello."))
    async with server.client(observer=telemetry.observer) as client:
        await client.chat.completions.create(**CHAT)
        await client.chat.completions.with_raw_response.create(**CHAT)
    plain, raw = telemetry.named("chat gpt-4o")
    assert attributes_of(plain) == attributes_of(raw)
    assert attributes_of(plain)["gen_ai.response.finish_reasons"] == ["stop"]
    assert "gen_ai.request.stream" not in attributes_of(plain)


@pytest.mark.usefixtures("latest")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_tells_its_status_as_a_finish_reason(nursery: trio.Nursery, stream: bool) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.response("Hello."))
    async with server.client(observer=telemetry.observer) as client:
        if stream:
            async with client.responses.stream(model="gpt-4o", input="Hi", conversation="conv_1") as events:
                await events.until_done()
        else:
            await client.responses.create(model="gpt-4o", input="Hi", conversation="conv_1")
    attributes = attributes_of(telemetry.one())
    assert attributes["openai.api.type"] == "responses"
    assert attributes["gen_ai.response.id"] == "resp_scripted"
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert attributes["gen_ai.conversation.id"] == "conv_1"
    assert attributes["gen_ai.usage.input_tokens"] == 8


async def test_a_response_that_was_cut_short_tells_why(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    body = {"id": "r", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}
    server = await started(nursery, Reply.json(body))
    async with server.client(observer=telemetry.observer) as client:
        await client.responses.create(model="gpt-4o", input="Hi")
    assert attributes_of(telemetry.one())["gen_ai.response.finish_reasons"] == ["length"]


@pytest.mark.parametrize(("status", "reason"), [("failed", "error"), ("cancelled", "cancelled")])
async def test_a_response_that_failed_tells_so(nursery: trio.Nursery, status: str, reason: str) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.json({"id": "r", "status": status, "output": []}))
    async with server.client(observer=telemetry.observer) as client:
        await client.responses.with_raw_response.create(model="gpt-4o", input="Hi")
    assert attributes_of(telemetry.one())["gen_ai.response.finish_reasons"] == [reason]


async def test_a_raw_response_that_is_not_what_the_api_promises_has_a_span_too(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.json(["not", "an", "object"]))
    async with server.client(observer=telemetry.observer) as client:
        await client.chat.completions.with_raw_response.create(**CHAT)
    assert attributes_of(telemetry.one())["trio_openai.verdict"] == "done"
    assert caplog.text == ""


@pytest.mark.usefixtures("latest")
async def test_embeddings_have_their_own_operation(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    body = {"data": [], "model": "e-1", "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    server = await started(nursery, Reply.json(body))
    async with server.client(observer=telemetry.observer) as client:
        await client.embeddings.create(model="e", input="Hi", dimensions=3, encoding_format="float")
    attributes = attributes_of(telemetry.one("embeddings e"))
    assert attributes["gen_ai.embeddings.dimension.count"] == 3
    assert attributes["gen_ai.request.encoding_formats"] == ["float"]
    assert attributes["gen_ai.usage.input_tokens"] == 5
    assert "gen_ai.usage.output_tokens" not in attributes


@pytest.mark.usefixtures("latest")
async def test_speech_is_an_output_type(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"))
    async with server.client(observer=telemetry.observer) as client:
        await client.audio.speech.create(model="tts", input="Hi", voice="alloy")
    assert attributes_of(telemetry.one("generate_content tts"))["gen_ai.output.type"] == "speech"


async def test_a_call_that_runs_no_model_has_a_span_without_an_operation(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.json({"id": "gpt-4o", "object": "model"}))
    async with server.client(observer=telemetry.observer) as client:
        await client.models.retrieve("gpt-4o")
    attempt, call = telemetry.named("GET /models/{model}")
    assert attempt.parent is not None
    assert attempt.parent.span_id == id_of(call)
    assert attributes_of(call) == {
        "http.request.method": "GET",
        "url.template": "/models/{model}",
        "gen_ai.system": "openai",
        "server.address": "127.0.0.1",
        "server.port": 80,
        "trio_openai.verdict": "done",
        "trio_openai.attempts": 1,
    }
    assert telemetry.points("gen_ai.client.operation.duration") == []


def deployed(**options: Any) -> AzureOpenAI:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": "c", "choices": []})

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    azure: Any = {"azure_endpoint": "https://mine.openai.azure.com", "api_key": "k", "api_version": "2024-10-21"}
    return AzureOpenAI(**azure, http_client=http, **options)


async def test_azure_is_its_own_provider() -> None:
    telemetry = Telemetry()
    async with deployed(observer=telemetry.observer) as client:
        await client.chat.completions.create(**CHAT)
    attributes = attributes_of(telemetry.one())
    assert attributes["gen_ai.system"] == "azure.ai.openai"
    assert (attributes["server.address"], attributes["server.port"]) == ("mine.openai.azure.com", 443)


async def test_the_program_can_name_the_provider(nursery: trio.Nursery) -> None:
    telemetry = Telemetry(provider="groq")
    server = await started(nursery, Reply.chat("Hello."))
    async with server.client(observer=telemetry.observer) as client:
        await client.chat.completions.create(**CHAT)
    assert attributes_of(telemetry.one())["gen_ai.system"] == "groq"


# Attempts.


async def test_the_attempts_of_a_call_are_children_of_its_span(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    server = await started(nursery, [ERROR, Reply.chat("Hello.")])
    async with server.client(observer=telemetry.observer) as client:
        await read(client)
    call = telemetry.one()
    first, second = telemetry.children_of(call)
    assert (first.name, first.kind) == ("POST /chat/completions", SpanKind.CLIENT)
    assert status_of(first) == ("ERROR", "429")
    assert attributes_of(second) == {
        "http.request.method": "POST",
        "url.full": "http://127.0.0.1/v1/chat/completions",
        "url.template": "/chat/completions",
        "server.address": "127.0.0.1",
        "server.port": 80,
        "http.request.resend_count": 1,
        "http.response.status_code": 200,
        "http.response.header.x-request-id": ["req_scripted"],
    }
    assert status_of(second) == ("UNSET", None)
    assert status_of(call) == ("UNSET", None), "it succeeded in the end"
    assert attributes_of(call)["trio_openai.attempts"] == 2


async def test_each_attempt_sends_its_own_traceparent(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    server = await started(nursery, [ERROR, Reply.chat("Hello.")])
    async with server.client(observer=telemetry.observer) as client:
        await read(client)
    call = telemetry.one()
    assert call.context is not None
    for request, attempt in zip(server.requests, telemetry.children_of(call), strict=True):
        ids = f"{call.context.trace_id:032x}-{id_of(attempt):016x}"
        assert dict(request.headers)["traceparent"].startswith(f"00-{ids}-")


async def test_traceparent_is_sent_over_a_real_connection_too(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = ScriptedServer(Reply.chat("Hello."))
    await server.start(nursery)
    async with server.client(observer=telemetry.observer) as client:
        await read(client)
        await client.with_options(timeout=9).chat.completions.create(**CHAT)
    attempts = telemetry.named("POST /chat/completions")
    sent = [dict(request.headers)["traceparent"].split("-")[2] for request in server.requests]
    assert sent == [f"{id_of(attempt):016x}" for attempt in attempts]


async def test_a_refused_request_for_the_usage_is_an_attempt_of_its_own(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    refusal = Reply.error(400, "Unknown parameter: stream_options", param="stream_options")
    server = await started(nursery, [refusal, Reply.chat("Hello.")])
    async with server.client(observer=telemetry.observer) as client:
        await read(client, usage=True)
    assert [status_of(span)[1] for span in telemetry.children_of(telemetry.one())] == ["400", None]


async def test_the_attempt_that_resumes_a_stream_tells_its_own_request(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    telemetry = Telemetry()
    server = await started(nursery, server_that_breaks(5))
    async with server.client(observer=telemetry.observer) as client:
        async with client.responses.stream(**ASK, resume=True) as stream:
            await stream.until_done()
    call = telemetry.one("chat m")
    first, second = telemetry.children_of(call)
    assert (first.name, second.name) == ("POST /responses", "GET /responses/{response_id}")
    assert attributes_of(second)["http.request.method"] == "GET"
    assert attributes_of(second)["url.full"] == "http://127.0.0.1/v1/responses/resp_1"
    assert (status_of(first)[0], status_of(second)[0], status_of(call)[0]) == ("ERROR", "UNSET", "UNSET")
    assert dict(server.requests[1].headers)["traceparent"].split("-")[2] == f"{id_of(second):016x}"
    assert attributes_of(call)["gen_ai.response.finish_reasons"] == ["stop"]
