"""The records per second that the driver of a batch job on Ray absorbs, with simulated workers.

    python benchmarks/batch_driver.py [--quick] [--json FILE] [--lines N] [--workers N]

A simulated worker answers each request at once, without a server. So the driver does all of its work: it reads, hands
out the requests, takes the results, writes them and keeps the index. The workers compete with it for the cores of this
machine, which those of a cluster would not do.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio
from _answers import ANSWER
from _report import Table, parser, publish, table
from batch import write_lines

from trio_openai import batch
from trio_openai._batch import worker
from trio_openai._batch.results import BatchResult
from trio_openai._batch.rows import BatchRow, BatchRowError
from trio_openai._statistics import Usage
from trio_openai._wire.timings import Timings

_LINES, _QUICK_LINES = 50_000, 200
_CONCURRENT = 2_000
_NO_ROW = BatchRowError(message="", line=0, digest=b"")


class SimulatedWorker(worker.BatchWorker):
    """A worker that answers without asking anybody."""

    async def _answer(self, number: int, row: BatchRow) -> None:
        await trio.lowlevel.checkpoint()
        result = BatchResult(
            row=_NO_ROW, status=200, body=ANSWER, usage=Usage(8, 4), timings=Timings(headers=0.1, first_content=0.2)
        )
        self._put((number, result))


async def measure(lines: int, workers: int) -> dict[str, Any]:
    """Run a job with simulated workers. The start of Ray does not count."""
    worker.BatchWorker = SimulatedWorker  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "in.jsonl")
        write_lines(source, lines)
        async with batch.RayWorkers(workers, [{"base_url": "http://127.0.0.1:1/v1", "api_key": "benchmark"}]) as ray:
            write_lines(Path(folder, "warm.jsonl"), workers)
            async with batch.run(Path(folder, "warm.jsonl"), Path(folder, "w"), clients=ray, model="gpt-4o") as job:
                await job.wait()
            began, cpu = time.perf_counter(), time.process_time()
            async with batch.run(
                source, Path(folder, "out"), clients=ray, model="gpt-4o", max_concurrent=_CONCURRENT
            ) as job:
                end = await job.wait()
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert end.done == lines
    return {"workers": workers, "lines": lines, "seconds": seconds, "cpu": cpu}


def main() -> int:
    """Run the command."""
    arguments = parser(__doc__)
    arguments.add_argument("--lines", type=int, default=0, help=f"how many lines ({_LINES:,}; {_QUICK_LINES} if quick)")
    arguments.add_argument("--workers", type=int, default=2, help="how many workers (2)")
    args = arguments.parse_args()
    lines = args.lines or (_QUICK_LINES if args.quick else _LINES)
    result = trio.run(measure, lines, args.workers)
    per_line = result["cpu"] / lines
    rows = [
        ["", "lines/s", "µs of the driver's CPU per line", "lines/s if it had a core"],
        [
            f"{args.workers} workers",
            f"{lines / result['seconds']:,.0f}",
            f"{per_line * 1e6:,.0f}",
            f"{1 / per_line:,.0f}",
        ],
    ]
    caption = f"{lines:,} lines, workers that answer at once"
    publish("The driver of batch jobs on Ray", {"driver": Table(caption, table(rows))}, [result], args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
