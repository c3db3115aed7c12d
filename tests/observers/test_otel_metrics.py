"""Metrics of `trio_openai.otel`: how long calls take, and the tokens that they use."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from otel_helpers import CHAT, Telemetry, latest

from trio_openai import RateLimitError
from trio_openai.testing import Reply, ScriptedServer

__all__ = ["latest"]

DURATION = "gen_ai.client.operation.duration"
TOKENS = "gen_ai.client.token.usage"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
ABOUT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-mini",
    "gen_ai.openai.response.service_tier": "default",
    "gen_ai.openai.response.system_fingerprint": "fp_scripted",
    "server.address": "127.0.0.1",
    "server.port": 80,
}


async def observed(nursery: trio.Nursery, script: Any, telemetry: Telemetry, **options: Any) -> Any:
    server = ScriptedServer(script)
    await server.start(nursery, memory=True)
    return server.client(observer=telemetry.observer, **options)


async def test_each_call_records_its_duration_and_its_tokens(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    async with await observed(nursery, Reply.chat("Hello there."), telemetry) as client:
        for _ in range(3):
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
    (duration,) = telemetry.points(DURATION)
    assert duration.count == 3
    assert duration.attributes == ABOUT
    assert duration.explicit_bounds[:3] == (0.01, 0.02, 0.04)
    tokens = {point.attributes["gen_ai.token.type"]: point for point in telemetry.points(TOKENS)}
    assert {name: point.sum for name, point in tokens.items()} == {"input": 24, "output": 6}
    assert tokens["input"].attributes == {**ABOUT, "gen_ai.token.type": "input"}
    assert tokens["input"].explicit_bounds[:3] == (1, 4, 16)
    assert telemetry.points(FIRST_CHUNK) == [], "version 1.36.0 has no name for it"


@pytest.mark.usefixtures("latest")
async def test_the_latest_names_have_the_time_to_the_first_chunk(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    async with await observed(nursery, Reply.chat("Hello there.", pace=2), telemetry) as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            await stream.until_done()
        await client.chat.completions.create(**CHAT)
    (point,) = telemetry.points(FIRST_CHUNK)
    assert point.count == 1, "a plain answer has no chunks"
    assert point.attributes["gen_ai.provider.name"] == "openai"
    assert "gen_ai.system" not in point.attributes
    (duration,) = telemetry.points(DURATION)
    assert duration.count == 2


async def test_a_failed_call_has_a_duration_with_the_type_of_its_error(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    async with await observed(nursery, Reply.error(429, "no"), telemetry, max_retries=0) as client:
        with pytest.raises(RateLimitError):
            await client.chat.completions.create(**CHAT)
    (duration,) = telemetry.points(DURATION)
    assert duration.attributes["error.type"] == "RateLimitError"
    assert "gen_ai.response.model" not in duration.attributes
    assert telemetry.points(TOKENS) == []


async def test_attempts_count_as_one_call(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    script = [Reply.error(500, "no"), Reply.error(500, "no"), Reply.chat("Hello.")]
    async with await observed(nursery, script, telemetry) as client:
        await client.chat.completions.create(**CHAT)
    (duration,) = telemetry.points(DURATION)
    assert duration.count == 1
    assert "error.type" not in duration.attributes


async def test_a_stream_without_usage_records_no_tokens(nursery: trio.Nursery) -> None:
    """Follow the conventions, which do not allow to guess them."""
    telemetry = Telemetry()
    async with await observed(nursery, Reply.chat("Hello.", usage=False), telemetry) as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            await stream.until_done()
    assert telemetry.points(TOKENS) == []
    assert len(telemetry.points(DURATION)) == 1


async def test_embeddings_record_input_tokens_only(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    answer = Reply.json({"data": [], "model": "e", "usage": {"prompt_tokens": 5, "total_tokens": 5}})
    async with await observed(nursery, answer, telemetry) as client:
        await client.embeddings.create(model="e", input="Hi")
    (point,) = telemetry.points(TOKENS)
    assert (point.attributes["gen_ai.token.type"], point.sum) == ("input", 5)
