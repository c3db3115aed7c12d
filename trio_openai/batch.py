"""Batch jobs: from a file of requests to a file of results.

    async with TrioOpenAI() as client:
        async with batch.run("in.jsonl", "out.jsonl", clients=client, model="gpt-4o-mini") as job:
            await job.wait()
        print(job.statistics())

Running the same program again continues where it stopped. The command line is `trio-openai batch`.
"""

from __future__ import annotations

from ._batch.blocking import BatchOptions, run_sync
from ._batch.parquet import ParquetSink
from ._batch.prices import Price, load_prices
from ._batch.ray_workers import RayWorkers
from ._batch.results import BatchResult
from ._batch.rows import BatchRow, BatchRowError
from ._batch.run import Job, run
from ._batch.sinks import JSONLSink, Sink
from ._batch.sources import JSONLSource, Source
from ._batch.statistics import BatchStatistics

__all__ = [
    "BatchOptions",
    "BatchResult",
    "BatchRow",
    "BatchRowError",
    "BatchStatistics",
    "JSONLSink",
    "JSONLSource",
    "Job",
    "ParquetSink",
    "Price",
    "RayWorkers",
    "Sink",
    "Source",
    "load_prices",
    "run",
    "run_sync",
]
