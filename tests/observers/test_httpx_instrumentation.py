"""OpenTelemetry's instrumentation of httpx around our transport: what works, and what it does not see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from net_helpers import CHAT, outcome, serve
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport, HTTPXClientInstrumentor
from otel_helpers import Telemetry, attributes_of, id_of, status_of

from trio_openai import APITimeoutError, Deadlines, StreamTruncatedError, TrioOpenAI, TrioTransport
from trio_openai.testing import Cut, Pause, Reply, ScriptedServer, Stall

WAYS = ["AsyncOpenTelemetryTransport", "instrument_client"]
ANSWER = Reply.chat("Hello there, you.", pace=1)


class Instrumented:
    """A client of a server whose HTTP client is instrumented.

    Attributes:
        telemetry: what it records.
        transport: our transport below the instrumentation.
    """

    def __init__(self, server: ScriptedServer, way: str, **options: Any) -> None:
        self.telemetry = Telemetry()
        self.transport = TrioTransport(open_stream=server.open_stream)
        tracers = self.telemetry.tracers
        if way == "instrument_client":
            http = httpx.AsyncClient(transport=self.transport)
            HTTPXClientInstrumentor.instrument_client(http, tracer_provider=tracers)
        else:
            http = httpx.AsyncClient(transport=AsyncOpenTelemetryTransport(self.transport, tracer_provider=tracers))
        self.client: TrioOpenAI = server.client(http_client=http, **options)

    def check_nothing_is_held(self) -> None:
        statistics = self.transport.statistics()
        assert (statistics.active, statistics.waiting) == (0, 0)


Make = Callable[..., Instrumented]


@pytest.fixture(params=WAYS)
def instrumented(request: pytest.FixtureRequest) -> Make:
    return lambda server, **options: Instrumented(server, request.param, **options)


async def test_each_attempt_has_a_span_and_sends_its_traceparent(
    nursery: trio.Nursery, autojump_clock: object, instrumented: Make
) -> None:
    server = await serve(nursery, [Reply.error(500, "no"), Reply.chat("Hello.")])
    ours = instrumented(server)
    async with ours.client as client:
        with ours.telemetry.tracer.start_as_current_span("program"):
            await client.chat.completions.create(**CHAT)
    first, second = ours.telemetry.children_of(ours.telemetry.one("program"))
    assert (first.name, second.name) == ("POST", "POST")
    assert status_of(first)[0] == "ERROR"
    assert status_of(second)[0] == "UNSET"
    sent = [dict(request.headers)["traceparent"].split("-")[2] for request in server.requests]
    assert sent == [f"{id_of(span):016x}" for span in (first, second)]
    ours.check_nothing_is_held()


async def test_streaming_still_streams_and_its_span_ends_with_the_headers(
    nursery: trio.Nursery, autojump_clock: object, instrumented: Make
) -> None:
    server = await serve(nursery, ANSWER)
    ours = instrumented(server)
    arrivals: list[float] = []
    async with ours.client as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            (span,) = ours.telemetry.spans
            start = trio.current_time()
            async for _ in stream.text_deltas:
                arrivals.append(trio.current_time() - start)
        assert stream.verdict.state == "done"
    assert arrivals == pytest.approx([1, 2, 3])
    assert attributes_of(span)["http.status_code"] == 200
    assert len(ours.telemetry.spans) == 1
    ours.check_nothing_is_held()


async def test_break_releases_the_connection_at_once(
    nursery: trio.Nursery, autojump_clock: object, instrumented: Make
) -> None:
    server = await serve(nursery, ANSWER)
    ours = instrumented(server)
    async with ours.client as client:
        async with client.chat.completions.stream(**CHAT) as stream:
            async for _ in stream.text_deltas:
                break
        ours.check_nothing_is_held()
        await server.wait_disconnect()
    assert len(ours.telemetry.spans) == 1


@pytest.mark.parametrize("script", [Reply.raw(Stall()), Reply.sse(Pause(1), Stall())], ids=["headers", "body"])
async def test_cancellation_ends_the_span_and_releases_the_connection(
    nursery: trio.Nursery, autojump_clock: object, instrumented: Make, script: Reply
) -> None:
    server = await serve(nursery, script)
    ours = instrumented(server)
    async with ours.client as client:
        with trio.move_on_after(3):
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
        ours.check_nothing_is_held()
        await server.wait_disconnect()
    assert [status_of(span)[0] for span in ours.telemetry.spans] == ["UNSET"]


async def test_deadlines_and_truncation_work_as_without_it(
    nursery: trio.Nursery, autojump_clock: object, instrumented: Make
) -> None:
    cut = Reply.sse({"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}}]}, Cut())
    server = await serve(nursery, [Reply.raw(Stall()), cut])
    ours = instrumented(server, max_retries=0, timeout=Deadlines(headers=2))
    async with ours.client as client:
        with pytest.raises(APITimeoutError, match="headers"):
            await client.chat.completions.create(**CHAT)
        with pytest.raises(StreamTruncatedError):
            async with client.chat.completions.stream(**CHAT) as stream:
                await stream.until_done()
    late, cut_off = ours.telemetry.spans
    assert status_of(late) == ("ERROR", None)
    assert status_of(cut_off) == ("UNSET", None), "it does not see the body"
    ours.check_nothing_is_held()


async def test_connections_are_reused(nursery: trio.Nursery, instrumented: Make) -> None:
    server = await serve(nursery, Reply.chat("Hello."))
    ours = instrumented(server)
    async with ours.client as client:
        for _ in range(4):
            await client.chat.completions.create(**CHAT)
    assert (ours.transport.statistics().opened, ours.transport.statistics().reused) == (1, 3)


async def test_the_client_of_the_program_closes_the_transport(nursery: trio.Nursery, instrumented: Make) -> None:
    server = await serve(nursery, Reply.chat("Hello."))
    ours = instrumented(server)
    async with ours.client as client:
        await client.chat.completions.create(**CHAT)
    assert ours.transport.statistics().idle == 0
    assert isinstance(await outcome(ours.client.chat.completions.create, **CHAT), trio.ClosedResourceError)


async def test_the_global_instrumentation_does_not_see_our_default_transport(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await serve(nursery, Reply.chat("Hello."), memory=False)
    HTTPXClientInstrumentor().instrument(tracer_provider=telemetry.tracers)
    try:
        async with server.client() as client:
            await client.chat.completions.create(**CHAT)
        async with server.client(http_client=httpx.AsyncClient(transport=TrioTransport())) as client:
            await client.chat.completions.create(**CHAT)
    finally:
        HTTPXClientInstrumentor().uninstrument()
    assert telemetry.spans == []
    assert "traceparent" not in dict(server.requests[0].headers)


async def test_together_with_our_observer_the_spans_are_siblings(nursery: trio.Nursery, instrumented: Make) -> None:
    """Show why to use one of them: the server continues the trace of the instrumentation, not of our attempt."""
    server = await serve(nursery, Reply.chat("Hello."))
    observed = Telemetry()
    ours = instrumented(server, observer=observed.observer)
    async with ours.client as client:
        with ours.telemetry.tracer.start_as_current_span("program"):
            await client.chat.completions.create(**CHAT)
    program = ours.telemetry.one("program")
    (request,) = ours.telemetry.children_of(program)
    call = observed.one("chat gpt-4o-mini")
    assert call.parent is not None
    assert call.parent.span_id == id_of(program)
    assert dict(server.requests[0].headers)["traceparent"].split("-")[2] == f"{id_of(request):016x}"
