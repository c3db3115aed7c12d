"""httptools compared with h11 as the library's HTTP parser: the parsers alone, and a whole stream end to end.

python benchmarks/http_parsers.py [--quick] [--json FILE] [--repeats N]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import h11_parser
from _contenders import BARE, H11, LIBRARY
from _machine import cores, pin, raise_file_limit
from _plan import Plan
from _report import Table, comparison, parser, publish_comparison, table
from _runner import available, run
from _wire import CHAT, HEAD

from trio_openai._http import http1 as _http1

_PARSERS: dict[str, Callable[[], Any]] = {"httptools": _http1.ResponseParser, "h11": h11_parser.ResponseParser}
_PER_READ = (1, 20)
_PLANS = [Plan(1, 5000, 1, "free"), Plan(1, 5000, 20, "free"), Plan(100, 200, 1, "lockstep")]
_QUICK_PLANS = [Plan(1, 200, 20, "free")]
_REPEATS = 5


def parse(name: str, reads: list[bytes]) -> Iterator[int]:
    """Feed a response to a parser, read by read. Yield the size of the body after each read."""
    parser = _PARSERS[name]()
    parser.receive_data(HEAD)
    for data in reads:
        parser.receive_data(data)
        yield len(parser.take_body())
    parser.check()


def cpu_us(name: str, events: int, per_read: int) -> float:
    """Return the CPU time per event in microseconds."""
    reads = CHAT.writes(events, per_read)
    begin = time.process_time()
    size = sum(parse(name, reads))
    seconds = time.process_time() - begin
    assert size == events * CHAT.event_size
    return seconds / events * 1e6


def alone(events: int, repeats: int) -> str:
    """Measure the parsers alone, in alternating runs. Return the table."""
    figures: dict[tuple[int, str], list[float]] = {(n, name): [] for n in _PER_READ for name in _PARSERS}
    for _ in range(repeats):
        for (per_read, name), values in figures.items():
            values.append(cpu_us(name, events, per_read))
    rows = [["events a read", *_PARSERS, "h11 / httptools"]]
    for per_read in _PER_READ:
        ours, other = (median(figures[per_read, name]) for name in _PARSERS)
        rows.append([str(per_read), f"{ours:.2f}", f"{other:.2f}", f"{other / ours:.1f}"])
    return table(rows)


def main() -> int:
    """Run the command. Return 1 if a contender failed."""
    args = parser(__doc__, _REPEATS).parse_args()
    repeats = args.repeats or (1 if args.quick else _REPEATS)
    raise_file_limit()
    results = run(available([LIBRARY, H11, BARE]), _QUICK_PLANS if args.quick else _PLANS, repeats)
    pin(cores()[0])
    caption = f"The parsers alone, µs of CPU per event of {CHAT.event_size} bytes, a chunk each"
    tables = {
        "alone": Table(caption, alone(1000 if args.quick else 20_000, repeats)),
        "whole": Table("End to end, as benchmarks/stream.py, µs of CPU per event", comparison(results)),
    }
    return publish_comparison(f"httptools and h11; medians of {repeats}", tables, results, args.json)


if __name__ == "__main__":
    sys.exit(main())
