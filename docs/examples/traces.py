"""Print the spans of a run with tools, as a tree."""

from collections.abc import Sequence

import trio
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)

from trio_openai import TrioOpenAI
from trio_openai.otel import OpenTelemetry

exporter = InMemorySpanExporter()  # a real program exports by OTLP
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("my program")

SHOWN = ("error.type", "gen_ai.response.finish_reasons")


async def weather(city: str) -> str:
    """Return the weather."""
    with tracer.start_as_current_span("SELECT weather"):
        await trio.sleep(0.01)
        return f"sunny in {city}"


async def main() -> None:
    async with TrioOpenAI(observer=OpenTelemetry()) as client:
        with tracer.start_as_current_span("handle request"):
            async with client.chat.completions.run_tools(
                model="gpt-4o-mini",
                messages=[{"role": "user", "content": "How is Rome?"}],
                tools=[weather],
            ) as run:
                print((await run.get_final_completion()).text)
    show(exporter.get_finished_spans(), parent=None)


def show(
    spans: Sequence[ReadableSpan], parent: int | None, indent: str = ""
) -> None:
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        above = span.parent.span_id if span.parent else None
        if above == parent and span.context:
            about = span.attributes or {}
            facts = [about[name] for name in SHOWN if name in about]
            print(f"{indent}{span.name}", *facts)
            show(spans, span.context.span_id, indent + "    ")


trio.run(main)
