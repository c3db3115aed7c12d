"""The memory of an open, silent stream, and of a running `run_many`.

    python benchmarks/memory.py [--quick] [--json FILE] [--calls N]

The memory of a stream is the growth of the process, without the kernel's buffers. See `_memory_client.py`.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator
from typing import Any

import trio
from _canned import client_of
from _contenders import BARE, CHAT_REQUEST, LIBRARY, OPENAI
from _machine import raise_file_limit
from _memory_client import LOTS, WARM_UP, resident
from _plan import Plan
from _report import Table, parser, publish, table
from _runner import MeasurementError, available, measure_once, say
from _wire import WIRES

_STREAMS, _QUICK_STREAMS = 1000, 40
_CALLS, _QUICK_CALLS = 200_000, 500
_CONCURRENT = 100
_STEPS = 10
_KIB = 1024


def of_streams(name: str, streams: int, api: str) -> dict[str, Any]:
    """Measure the bytes per stream of one contender."""
    say(f"{name}, {api}")
    plan = Plan(WARM_UP + LOTS * streams, 1, 1, "free", api)
    result: dict[str, Any] = {"contender": name, "api": api, "streams": streams}
    try:
        return {**result, **measure_once(name, plan, "_memory_client.py")}
    except MeasurementError as error:
        return {**result, "error": str(error)}


async def of_calls(calls: int) -> list[dict[str, Any]]:
    """Run `run_many` on responses from memory. Return how much the process has grown after each tenth."""
    gate = trio.Event()
    gate.set()
    steps: list[dict[str, Any]] = []
    async with client_of(WIRES["chat"].writes(5, 5), gate) as client:

        def supply(count: int) -> Iterator[Any]:
            for key in range(count):
                yield client.chat.completions.call(key=key, **CHAT_REQUEST)

        before = done = 0
        async with client.run_many(supply(calls), max_concurrent=_CONCURRENT) as results:
            async for result in results:
                assert result.error is None, result.error
                done += 1
                if done == calls // 100:  # the warm-up is over
                    gc.collect()
                    before = resident()
                if done % (calls // _STEPS) == 0:
                    say(f"{done:,} calls")
                    gc.collect()
                    steps.append({"calls": done, "grown": resident() - before})
    return steps


def streams_table(results: list[dict[str, Any]]) -> str:
    """Return a table with a row for each contender."""
    rows = [["KiB a stream", "the first", "the next", "allocated by Python", "objects"]]
    for result in results:
        name = f"{result['contender']}, {result['api']}"
        figures = [result.get(key) for key in ("first", "next", "allocated")]
        cells = [f"{figure / _KIB:.1f}" if figure is not None else "failed" for figure in figures]
        rows.append([name, *cells, f"{result['objects']:.0f}" if "objects" in result else "failed"])
    return table(rows)


def calls_table(steps: list[dict[str, Any]]) -> str:
    """Return a table with a row for each tenth of the calls."""
    rows = [["calls", "KiB more than after a hundredth of them"]]
    return table(rows + [[f"{step['calls']:,}", f"{step['grown'] / _KIB:,.0f}"] for step in steps])


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    options = parser(__doc__)
    options.add_argument("--calls", type=int, metavar="N", help=f"calls in run_many ({_CALLS}; at least 100)")
    return options.parse_args()


def main() -> int:
    """Run the command. Return 1 if a contender failed."""
    args = arguments()
    raise_file_limit()
    calls = args.calls or (_QUICK_CALLS if args.quick else _CALLS)
    steps = trio.run(of_calls, calls)
    cases = [(name, api) for api in WIRES for name in available([LIBRARY, OPENAI, BARE])]
    streams = _QUICK_STREAMS if args.quick else _STREAMS
    results = [of_streams(name, streams, api) for name, api in (cases[:1] if args.quick else cases)]
    say("")
    tables = {
        "streams": Table(
            f"An open idle stream: what the process grows by with {streams:,}, and with as many more",
            streams_table(results),
        ),
        "calls": Table(f"A run_many of {calls:,} calls, {_CONCURRENT} at a time", calls_table(steps)),
    }
    publish("Memory", tables, [*results, *steps], args.json)
    errors = [result["error"] for result in results if "error" in result]
    print("".join(f"\n{error}\n" for error in errors), end="", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    gc.freeze()
    sys.exit(main())
