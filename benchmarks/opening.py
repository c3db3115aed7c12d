"""CPU time of opening a call, and of a complete short call: this library, its peer, and code by hand over a socket.

    python benchmarks/opening.py [--quick] [--json FILE] [--repeats N]

One call follows the other over a connection that is open already. `_opening_client.py` is the measured process.
"""

from __future__ import annotations

import sys
from statistics import median
from typing import Any

from _answers import EVENTS
from _contenders import BARE, LIBRARY, OPENAI
from _report import Table, parser, publish, table
from _runner import MeasurementError, available, measure_beside, say

_REPEATS = 5
_CALLS, _QUICK_CALLS = 1000, 20


def measure(repeats: int, calls: int) -> list[dict[str, Any]]:
    """Measure every contender in turn, and repeat."""
    results = {name: {"contender": name, "sent_us": [], "whole_us": []} for name in available([LIBRARY, OPENAI, BARE])}
    for number in range(repeats):
        for name, result in results.items():
            say(f"{number + 1}/{repeats}  {name}")
            figures = measure_beside("_answers.py", "_opening_client.py", name, str(calls), None)
            result["sent_us"].append(figures["sent"] * 1e6)
            result["whole_us"].append(figures["whole"] * 1e6)
    say("")
    return list(results.values())


def table_of(results: list[dict[str, Any]]) -> str:
    """Return a table with a row for each contender, with its ratios to the first."""
    rows = [["µs of CPU", "until it is sent", "x trio_openai", "until its end", "x trio_openai"]]
    first = results[0]
    for result in results:
        cells = [result["contender"]]
        for key in ("sent_us", "whole_us"):
            figure = median(result[key])
            cells += [f"{figure:.0f}", f"{figure / median(first[key]):.2f}"]
        rows.append(cells)
    return table(rows)


def main() -> int:
    """Run the command. Return 1 if a contender failed."""
    args = parser(__doc__, _REPEATS).parse_args()
    try:
        results = measure(args.repeats or (1 if args.quick else _REPEATS), _QUICK_CALLS if args.quick else _CALLS)
    except MeasurementError as error:
        print(error, file=sys.stderr)
        return 1
    caption = f"A call with a response of {EVENTS} events, over an open connection"
    publish("CPU time of a short call", {"calls": Table(caption, table_of(results))}, results, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
