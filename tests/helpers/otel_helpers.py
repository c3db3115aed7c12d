"""An OpenTelemetry SDK that keeps its spans and metrics in memory, and clients that it observes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
import trio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import StatusCode

from trio_openai import TrioOpenAI
from trio_openai.otel import OpenTelemetry
from trio_openai.testing import ScriptedServer

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "my secret question"}]
CHAT: dict[str, Any] = {"model": "gpt-4o", "messages": MESSAGES}
CONVENTIONS = "OTEL_SEMCONV_STABILITY_OPT_IN"
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class _Count(SpanProcessor):
    """Counts the spans that have started and not ended."""

    open = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.open += 1

    def on_end(self, span: ReadableSpan) -> None:
        self.open -= 1


class Telemetry:
    """An SDK in memory.

    Attributes:
        observer: what a client gets.
        tracer: makes the spans of the program itself.
    """

    def __init__(self, *, sampler: Sampler | None = None, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(sampler)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._count = _Count()
        self.tracers.add_span_processor(self._count)
        meters = MeterProvider([self._reader])
        self.observer = OpenTelemetry(tracer_provider=self.tracers, meter_provider=meters, **options)
        self.tracer = self.tracers.get_tracer("program")

    @property
    def open(self) -> int:
        """The number of spans that have started and not ended."""
        return self._count.open

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans that have ended, by name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str = "chat gpt-4o") -> ReadableSpan:
        """Return the only span of a name that has ended."""
        (span,) = self.named(name)
        return span

    def children_of(self, parent: ReadableSpan) -> list[ReadableSpan]:
        """Return the spans that have ended whose parent is this one, in the order of their starts."""
        children = [span for span in self.spans if span.parent is not None and span.parent.span_id == id_of(parent)]
        return sorted(children, key=lambda span: span.start_time or 0)

    def points(self, name: str) -> list[Any]:
        """Return the points of a metric, each with its attributes."""
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [point for metric in _metrics_in(data) if metric.name == name for point in metric.data.data_points]

    def everything(self) -> str:
        """Return all that was recorded, as text."""
        data = self._reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans) + (data.to_json() if data is not None else "")


def _metrics_in(data: Any) -> Iterator[Any]:
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


def id_of(span: ReadableSpan) -> int:
    """Return the id of a span."""
    context = span.context
    assert context is not None
    return context.span_id


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span, with lists in place of tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in (span.attributes or {}).items()}


def status_of(span: ReadableSpan) -> tuple[str, str | None]:
    """Return the status of a span, and its `error.type`."""
    assert span.status.status_code is not StatusCode.OK, "instrumentations leave that to the program"
    return span.status.status_code.name, cast("str | None", attributes_of(span).get("error.type"))


def events_of(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a span."""
    return [(event.name, dict(event.attributes or {})) for event in span.events]


def decoded(span: ReadableSpan, name: str) -> Any:
    """Return an attribute that is JSON text."""
    return json.loads(attributes_of(span)[name])


async def started(nursery: trio.Nursery, script: Any, *, memory: bool = True) -> ScriptedServer:
    """Return a server that has been started."""
    server = ScriptedServer(script)
    await server.start(nursery, memory=memory)
    return server


async def read(client: TrioOpenAI, **more: Any) -> None:
    """Read a chat stream to its end."""
    async with client.chat.completions.stream(**CHAT, **more) as stream:
        await stream.until_done()


@pytest.fixture
def latest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose the newer names."""
    monkeypatch.setenv(CONVENTIONS, "http, gen_ai_latest_experimental")
