"""The delay from the server's write to the typed event: this library, its peer, and a bare socket.

    python benchmarks/latency.py [--quick] [--json FILE]

It measures 1, 100 and 1,000 streams of 50 events per second. Each event carries the time of its write, on the monotonic
clock that both processes share.
"""

from __future__ import annotations

import sys
from typing import Any

import attrs
from _contenders import BARE, LIBRARY, OPENAI
from _machine import raise_file_limit
from _plan import RATE, Plan
from _report import Table, parser, publish, table
from _runner import MeasurementError, available, measure_once, say

_SECONDS = {1: 8, 100: 3, 1000: 1}  # number of streams -> length of the measurement
_PLANS = [Plan(streams, seconds * RATE, 1, "timed") for streams, seconds in _SECONDS.items()]
_QUICK = [Plan(10, RATE // 2, 1, "timed")]
_CONTENDERS = [LIBRARY, OPENAI, BARE]


def measure(name: str, plan: Plan) -> dict[str, Any]:
    """Measure one contender. Return its figures or the error."""
    say(f"{name}, {plan.streams} streams")
    try:
        figures: dict[str, Any] = dict(measure_once(name, plan))
    except MeasurementError as error:
        figures = {"error": str(error)}
    return {"contender": name, "plan": attrs.asdict(plan), **figures}


def rows(results: list[dict[str, Any]], plan: Plan) -> list[list[str]]:
    """Return the rows of one plan."""
    wanted = plan.streams * RATE
    title = f"{plan.streams:,} stream{'s' * (plan.streams > 1)} of {plan.events:,} events, {wanted:,} a second in all:"
    block = [[], [title, *[""] * 5]]
    for result in results:
        if result["plan"] == attrs.asdict(plan):
            block.append(["  " + result["contender"], *_cells(result, plan.streams * plan.events)])
    return block


def _cells(result: dict[str, Any], events: int) -> list[str]:
    if "error" in result:
        return ["failed", *[""] * 4]
    delays = [f"{result[name]:,.0f}" for name in ("p50", "p99", "p100")]
    seconds = events / result["events_per_second"]
    return [*delays, f"{result['events_per_second']:,.0f}", f"{result['cpu_seconds'] / seconds:.0%}"]


def main() -> int:
    """Run the command. Return 1 if a contender failed."""
    args = parser(__doc__).parse_args()
    raise_file_limit()
    plans = _QUICK if args.quick else _PLANS
    names = [LIBRARY, BARE] if args.quick else available(_CONTENDERS)
    results = [measure(name, plan) for plan in plans for name in names]
    say("")
    head = ["", "p50", "p99", "longest", "rate/s", "CPU"]
    text = table([head, *(row for plan in plans for row in rows(results, plan))])
    caption = "µs from the server's write to the typed event"
    publish("Delay of an event; the client on one core", {"delays": Table(caption, text)}, results, args.json)
    errors = [result["error"] for result in results if "error" in result]
    print("".join(f"\n{error}\n" for error in errors), end="", file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
