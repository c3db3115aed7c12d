"""Keep OpenTelemetry's instrumentation of httpx: a span per request."""

import httpx
import trio
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    ConsoleSpanExporter,
    SimpleSpanProcessor,
)

from trio_openai import TrioOpenAI, TrioTransport


def line(span: ReadableSpan) -> str:
    status = (span.attributes or {}).get("http.status_code")
    return f"[span: {span.name} {status!r}]\n"


async def main() -> None:
    provider = TracerProvider()
    console = ConsoleSpanExporter(formatter=line)
    provider.add_span_processor(SimpleSpanProcessor(console))
    transport = AsyncOpenTelemetryTransport(
        TrioTransport(), tracer_provider=provider
    )
    http = httpx.AsyncClient(transport=transport)
    async with TrioOpenAI(http_client=http) as client:
        async with client.chat.completions.stream(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Count to three."}],
        ) as stream:
            async for text in stream.text_deltas:
                print(text, end="", flush=True)
        print()


trio.run(main)
