"""Check that costs stay flat: per event up to 5,000 streams, per request next to 1,000 others, and in `run_many`.

    python benchmarks/scale.py [--quick] [--json FILE] [--calls N]

The last two parts use the server in `_answers.py`.
"""

from __future__ import annotations

import sys
from typing import Any

from _calls import measure_calls, measure_opening
from _contenders import BARE, LIBRARY
from _machine import cores, pin, raise_file_limit
from _plan import Plan
from _report import Table, comparison, entries, failures, parser, publish, table
from _runner import Result, run

_STREAMS, _QUICK_STREAMS = (1, 10, 100, 1000, 5000), (1, 200)
_EVENTS = 20_000  # over all streams
_WRITES = ((1, "lockstep"), (20, "free"))
_REPEATS = 3
_OTHERS, _QUICK_OTHERS = 1000, 20
_REQUESTS, _QUICK_REQUESTS = 300, 10  # one after the other
_CALLS, _QUICK_CALLS = 100_000, 200


def plans(streams: tuple[int, ...], events: int) -> list[Plan]:
    """Return plans with the same total number of events for any number of streams, but at least 20 per stream."""
    return [Plan(n, max(20, events // n), per_write, pace) for per_write, pace in _WRITES for n in streams]


def events_table(results: list[Result]) -> str:
    """Return a table with two rows for each way of writing and a column for each number of streams."""
    rows: list[list[str]] = []
    for per_write, pace in _WRITES:
        for name in (LIBRARY, BARE):
            ours = [r for r in results if (r.contender, r.plan.per_write, r.plan.pace) == (name, per_write, pace)]
            if not ours:
                continue
            costs = [r.median_cpu_us for r in ours]
            rows = rows or [["streams", *(f"{r.plan.streams:,}" for r in ours), "last / first"]]
            rows += [[], [f"{per_write} a write, {pace}:"]] if name == LIBRARY else []
            rows.append([f"  {name}", *(f"{cost:.2f}" for cost in costs), f"{costs[-1] / costs[0]:.2f}"])
    return table(rows)


def opening_table(results: list[dict[str, Any]]) -> str:
    """Return a table with a row for each case, with its ratio to the same case next to a single other stream."""
    rows = [["", "µs by the clock", "µs of CPU", "clock / one", "CPU / one"]]
    first: dict[str, dict[str, Any]] = {}
    for result in results:
        base = first.setdefault(result["group"], result)
        ratios = [f"{result[key] / base[key]:.2f}" for key in ("wall_us", "cpu_us")]
        rows.append([result["case"], f"{result['wall_us']:,.0f}", f"{result['cpu_us']:,.0f}", *ratios])
    return table(rows)


def calls_table(results: list[dict[str, Any]]) -> str:
    """Return a table with a row for each way to make the calls, with its ratio to the first."""
    rows = [["", "µs of CPU a call", "µs by the clock", "CPU / first"]]
    for result in results:
        figures = [f"{result[key]:.0f}" for key in ("cpu_us", "wall_us")]
        rows.append([result["case"], *figures, f"{result['cpu_us'] / results[0]['cpu_us']:.2f}"])
    return table(rows)


def main() -> int:
    """Run the command. Return 1 if a contender failed."""
    options = parser(__doc__, _REPEATS)
    options.add_argument("--calls", type=int, metavar="N", help=f"the number of short calls, in each way ({_CALLS})")
    args = options.parse_args()
    raise_file_limit()
    quick, repeats = args.quick, args.repeats or (1 if args.quick else _REPEATS)
    chosen = plans(_QUICK_STREAMS, 400)[: len(_QUICK_STREAMS)] if quick else plans(_STREAMS, _EVENTS)
    results = run([LIBRARY, BARE], chosen, repeats)
    pin(cores()[0])
    others = _QUICK_OTHERS if quick else _OTHERS
    opening = measure_opening(others, repeats, _QUICK_REQUESTS if quick else _REQUESTS)
    calls = args.calls or (_QUICK_CALLS if quick else _CALLS)
    many = measure_calls(calls)
    failed = failures(results)
    text = comparison(results) if failed else events_table(results)
    tables = {
        "events": Table("µs of CPU per event", text),
        "opening": Table("To open a stream, until its headers are there; CPU until its end", opening_table(opening)),
        "calls": Table(f"{calls:,} calls of five events, 100 at a time", calls_table(many)),
    }
    publish("What stays flat", tables, [*entries(results), *opening, *many], args.json)
    print(failed, end="\n" if failed else "", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
