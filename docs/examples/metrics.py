"""Print the metrics of three calls."""

import trio
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
)

from trio_openai import BadRequestError, TrioOpenAI
from trio_openai.otel import OpenTelemetry

reader = InMemoryMetricReader()  # a real program exports by OTLP
metrics.set_meter_provider(MeterProvider([reader]))


async def main() -> None:
    async with TrioOpenAI(observer=OpenTelemetry()) as client:
        for prompt in ("Say hello.", "Say goodbye.", "Say nothing."):
            try:
                await client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": prompt}],
                )
            except BadRequestError as error:
                print(error)
    data = reader.get_metrics_data()
    assert data is not None
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            assert isinstance(point, HistogramDataPoint)
            facts = dict(point.attributes or {})
            if metric.unit == "{token}":
                words = f"{point.sum} {facts['gen_ai.token.type']!r} tokens"
            else:
                words = f"{point.count} calls, {facts.get('error.type')!r}"
            print(f"{metric.name}: {words}")


trio.run(main)
