"""Ends of the spans of `trio_openai.otel`: at once, exactly once, and with the status that the call deserves."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import CancelAtStep
from otel_helpers import CHAT, Telemetry, attributes_of, read, started, status_of

from trio_openai import APITimeoutError, BadRequestError, RateLimitError, StreamTruncatedError, TrioOpenAI
from trio_openai.testing import Cut, Pause, Reply, Stall

ANSWER = Reply.chat("Hello there, you.", pace=1)
ERROR = Reply.error(429, "my secret question is refused", code="rate_limited")


@pytest.mark.parametrize("before", [False, True])
async def test_no_span_stays_open_wherever_a_call_is_cancelled(
    nursery: trio.Nursery, autojump_clock: object, before: bool
) -> None:
    def look_up(name: str) -> str:
        return name

    script = [ERROR, Reply.tool_calls(("look_up", {"name": "x"})), Reply.chat("Done.")]
    for step in range(200):
        telemetry = Telemetry()
        server = await started(nursery, script)
        async with server.client(observer=telemetry.observer) as client:
            with trio.CancelScope() as scope:
                striker = CancelAtStep(scope, step, before=before)
                trio.lowlevel.add_instrument(striker)
                async with client.chat.completions.run_tools(**CHAT, tools=[look_up]) as run:
                    await run.until_done()
            trio.lowlevel.remove_instrument(striker)
            assert telemetry.open == 0, step
        if not striker.fired:
            assert step > 9
            return
    raise AssertionError("the call never ends")


async def test_break_ends_the_span_at_once_and_is_no_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    server = await started(nursery, ANSWER)
    async with server.client(observer=telemetry.observer) as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            async for _ in stream.text_deltas:
                break
        call = telemetry.one()
        (attempt,) = telemetry.children_of(call)
    assert status_of(call) == status_of(attempt) == ("UNSET", None)
    attributes = attributes_of(call)
    assert attributes["trio_openai.verdict"] == "closed"
    assert attributes["gen_ai.response.model"] == "gpt-4o-mini", "what arrived is told"
    assert "gen_ai.response.finish_reasons" not in attributes, "none has arrived"


async def test_cancellation_ends_the_span_at_once_and_is_no_error(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.sse(Stall()))
    async with server.client(observer=telemetry.observer) as client:
        with trio.move_on_after(3):
            await read(client)
        call = telemetry.one()
    assert status_of(call) == ("UNSET", None)
    assert attributes_of(call)["trio_openai.verdict"] == "closed"


async def test_an_exception_of_the_program_is_no_error_of_the_call(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    telemetry = Telemetry()
    server = await started(nursery, ANSWER)
    async with server.client(observer=telemetry.observer) as client:
        with pytest.raises(KeyError):
            async with client.chat.completions.stream(**CHAT) as stream:
                await anext(stream)
                raise KeyError("mine")
    assert status_of(telemetry.one()) == ("UNSET", None)


async def test_a_truncated_stream_ends_its_span_with_an_error(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.chat("Hello there.").cut_after(600))
    async with server.client(observer=telemetry.observer) as client:
        with pytest.raises(StreamTruncatedError):
            await read(client)
    call = telemetry.one()
    (attempt,) = telemetry.children_of(call)
    assert status_of(call) == status_of(attempt) == ("ERROR", "StreamTruncatedError")
    assert attributes_of(call)["trio_openai.verdict"] == "truncated"
    assert "gen_ai.response.finish_reasons" not in attributes_of(call)


async def test_a_truncated_stream_keeps_the_finish_reasons_that_came(nursery: trio.Nursery) -> None:
    def choice(index: int, finish: str | None) -> dict[str, Any]:
        return {"id": "c", "choices": [{"index": index, "delta": {"content": "a"}, "finish_reason": finish}]}

    telemetry = Telemetry()
    server = await started(nursery, Reply.sse(choice(0, "length"), choice(1, None), Cut()))
    async with server.client(observer=telemetry.observer, max_retries=0) as client:
        with pytest.raises(StreamTruncatedError):
            await read(client, n=2)
    assert attributes_of(telemetry.one())["gen_ai.response.finish_reasons"] == ["length"]


async def test_a_deadline_ends_the_span_with_an_error(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.sse(Stall()))
    async with server.client(observer=telemetry.observer, max_retries=0, timeout=2) as client:
        with pytest.raises(APITimeoutError):
            await read(client)
    assert status_of(telemetry.one()) == ("ERROR", "APITimeoutError")


async def test_an_error_status_ends_both_spans_with_an_error(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await started(nursery, ERROR)
    async with server.client(observer=telemetry.observer, max_retries=0) as client:
        with pytest.raises(RateLimitError):
            await read(client)
    call = telemetry.one()
    (attempt,) = telemetry.children_of(call)
    assert status_of(call) == ("ERROR", "RateLimitError")
    assert status_of(attempt) == ("ERROR", "429")
    assert attributes_of(attempt)["http.response.status_code"] == 429


async def test_the_status_quotes_the_server_only_on_opt_in(nursery: trio.Nursery) -> None:
    """Protect the request, which a server's message may quote."""
    words = []
    for capture in (False, True):
        telemetry = Telemetry(capture_content=capture)
        server = await started(nursery, Reply.error(400, "no: my secret question", code="bad"))
        async with server.client(observer=telemetry.observer) as client:
            with pytest.raises(BadRequestError):
                await read(client)
        words.append(telemetry.one().status.description)
    assert words == ["HTTP 400 bad", "HTTP 400: no: my secret question"]


async def test_a_client_that_is_closed_ends_its_spans_without_errors(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.sse(Pause(1), Stall()))
    async with server.client(observer=telemetry.observer) as client:
        nursery.start_soon(_read_until_closed, client)
        await server.wait_requests()
        await trio.testing.wait_all_tasks_blocked()
    await trio.testing.wait_all_tasks_blocked()
    assert status_of(telemetry.one()) == ("UNSET", None)


async def _read_until_closed(client: TrioOpenAI) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await read(client)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_stream_that_is_collected_ends_its_span(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    server = await started(nursery, ANSWER)
    async with server.client(observer=telemetry.observer) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        await anext(stream)
        del stream
        gc.collect()
        await trio.testing.wait_all_tasks_blocked()
        assert attributes_of(telemetry.one())["trio_openai.verdict"] == "closed"


async def test_nothing_is_kept_of_a_call_that_has_ended(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.chat("Hello."))
    async with server.client(observer=telemetry.observer) as client:
        for _ in range(3):
            await read(client)
    assert telemetry.observer._calls == {}
    assert telemetry.observer._tools == {}


async def test_a_span_ends_although_describing_it_fails(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trio_openai._observers.genai.answer_attributes", lambda _: 1 / 0)
    telemetry = Telemetry()
    server = await started(nursery, Reply.chat("Hello."))
    async with server.client(observer=telemetry.observer) as client:
        await read(client)
    assert telemetry.one()
    assert "OpenTelemetry.ended raised an exception" in caplog.text
