"""Compare this checkout with another revision, both measured alternately in one run.

    python benchmarks/guard.py --base REV [--quick] [--json FILE] [--only NAME] [--repeats N]

Each row is a target of the library's speed or memory. The package of the base comes from `git archive`; the benchmarks
are always those of this checkout. The bare socket is measured in the same turns. Nothing is asserted: on a busy machine
only ratios are worth reading, and only if their range is narrow.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import attrs
from _contenders import BARE, LIBRARY
from _machine import raise_file_limit
from _memory_client import LOTS, WARM_UP
from _plan import RATE, Plan
from _report import Table, parser, publish, table
from _runner import MeasurementError, measure_beside, measure_once, say

_ROOT = Path(__file__).parents[1]
_REPEATS = 5
BASE, NEW = "base", "new"
SIDES = (BASE, NEW, BARE)

Figures = dict[str, float]
Measure = Callable[[str, Path | None], Figures]
"""A function of a contender and the folder of its package, which returns a figure for each row."""


@attrs.frozen
class Case:
    """One measurement, which gives one or more rows.

    Attributes:
        name: what is measured.
        measure: measures it.
        has_bare: whether the bare socket can be measured too.
    """

    name: str
    measure: Measure
    has_bare: bool = True


@attrs.define
class Row:
    """The figures of one row, for each side in the order of the repeats."""

    name: str
    figures: dict[str, list[float]] = attrs.field(factory=lambda: {side: [] for side in SIDES})

    def ratios(self) -> list[float]:
        """Return new / base, for each repeat."""
        return [new / base for base, new in zip(self.figures[BASE], self.figures[NEW], strict=True)]


# What is measured.


def of_events(streams: int, per_write: int, pace: str, api: str, *, quick: bool) -> Case:
    """Return the case for the CPU time of an event."""
    events = 10 if quick else max(50 if pace == "free" else 10, 10_000 // streams)
    plan = Plan(streams, events, per_write, pace, api)

    def measure(contender: str, root: Path | None) -> Figures:
        return {"": _cpu_us(contender, plan, root)}

    return Case(f"event, {api}, {_streams(streams)}, {per_write} a write, {pace}: µs", measure)


def _streams(count: int) -> str:
    return f"{count:,} stream{'s' * (count > 1)}"


def _cpu_us(contender: str, plan: Plan, root: Path | None) -> float:
    return measure_once(contender, plan, root=root)["cpu_seconds"] / plan.streams / plan.events * 1e6


def of_latency(streams: int, seconds: float) -> Case:
    """Return the case for the delay of an event at `RATE` events per second and stream."""
    plan = Plan(streams, int(seconds * RATE), 1, "timed")

    def measure(contender: str, root: Path | None) -> Figures:
        figures = measure_once(contender, plan, root=root)
        return {"p50: µs": figures["p50"], "p99: µs": figures["p99"]}

    return Case(f"delay of an event, {_streams(streams)}", measure)


def of_flatness(few: int, many: int, events: int) -> Case:
    """Return the case for the cost of an event with many streams, as a multiple of the cost with few."""

    def measure(contender: str, root: Path | None) -> Figures:
        cost = [_cpu_us(contender, Plan(n, max(10, events // n), 1, "lockstep"), root) for n in (few, many)]
        return {"": cost[1] / cost[0]}

    return Case(f"event, {_streams(many)} / {_streams(few)}, 1 a write, lockstep", measure)


def of_memory(streams: int, api: str) -> Case:
    """Return the case for the memory of an open idle stream."""
    plan = Plan(WARM_UP + LOTS * streams, 1, 1, "free", api)
    rows = {"first": f"the first {streams:,}: KiB", "next": "the next: KiB", "objects": "objects that gc visits"}

    def measure(contender: str, root: Path | None) -> Figures:
        figures = measure_once(contender, plan, "_memory_client.py", root)
        return {row: figures[key] / (1 if key == "objects" else 1024) for key, row in rows.items()}

    return Case(f"idle stream, {api}", measure)


def of_opening(calls: int) -> Case:
    """Return the case for the CPU time of a short call."""

    def measure(contender: str, root: Path | None) -> Figures:
        figures = measure_beside("_answers.py", "_opening_client.py", contender, str(calls), root)
        return {"until it is sent: µs": figures["sent"] * 1e6, "whole: µs": figures["whole"] * 1e6}

    return Case("short call", measure)


def of_many(calls: int) -> Case:
    """Return the case for `run_many`."""

    def measure(contender: str, root: Path | None) -> Figures:
        figures = measure_beside("_answers.py", "_calls.py", contender, str(calls), root)
        return {"": figures["run_many"] / figures["by hand"]}

    return Case("run_many / tasks by hand", measure, has_bare=False)


def all_cases() -> list[Case]:
    """Return the cases of a real run."""
    lockstep = [(streams, 1, "lockstep", api) for api in ("chat", "responses") for streams in (100, 1000)]
    saturated = [(streams, 20, "free", api) for api in ("chat", "responses") for streams in (1, 1000)]
    single = [(streams, 1, "free", "chat") for streams in (100, 1000)]
    return [
        *(of_events(*how, quick=False) for how in lockstep + saturated + single),
        of_latency(100, 3),
        of_flatness(1, 5000, 20_000),
        *(of_memory(1000, api) for api in ("chat", "responses")),
        of_opening(1000),
        of_many(10_000),
    ]


def quick_cases() -> list[Case]:
    """Return small cases: every kind once, so that all of it takes half a minute."""
    events = [(100, 1, "lockstep", "chat"), (100, 1, "lockstep", "responses"), (10, 20, "free", "chat")]
    return [
        *(of_events(*how, quick=True) for how in events),
        of_latency(10, 0.5),
        of_flatness(1, 100, 500),
        of_memory(100, "chat"),
        of_opening(200),
        of_many(500),
    ]


# Running it.


def compare(cases: list[Case], base: Path, repeats: int) -> list[Row]:
    """Measure all sides of a case in turn, and repeat."""
    rows: dict[str, Row] = {}
    roots = {BASE: base, NEW: _ROOT, BARE: None}
    for case in cases:
        for number in range(repeats):
            for side in SIDES[: None if case.has_bare else 2]:
                say(f"{case.name}: {number + 1}/{repeats}, {side}")
                figures = case.measure(BARE if side == BARE else LIBRARY, roots[side])
                for what, figure in figures.items():
                    name = f"{case.name}, {what}" if what else case.name
                    rows.setdefault(name, Row(name)).figures[side].append(figure)
    say("")
    return list(rows.values())


def table_of(rows: list[Row]) -> str:
    """Return the table: medians, the ratio of both revisions with its range, and the ratio to the bare socket."""
    lines = [["", BASE, NEW, "new / base", "min-max", "bare socket", "new / bare"]]
    for row in rows:
        base, new, ratios = median(row.figures[BASE]), median(row.figures[NEW]), row.ratios()
        cells = [f"{base:.2f}", f"{new:.2f}", f"{median(ratios):.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}"]
        bare = row.figures[BARE]
        lines.append([row.name, *cells, *([f"{median(bare):.2f}", f"{new / median(bare):.2f}"] if bare else ["", ""])])
    return table(lines)


def unpack(revision: str, folder: Path) -> Path:
    """Put the package of a revision into a folder, without a trace in the repository."""
    command = ["git", "-C", str(_ROOT), "archive", revision, "trio_openai"]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        raise SystemExit(f"there is no revision {revision!r}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder)
    return folder


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    options = parser(__doc__, _REPEATS)
    options.add_argument("--base", required=True, metavar="REV", help="the revision to compare with, as git names it")
    options.add_argument("--only", action="append", default=[], metavar="NAME", help="a part of a row's name")
    return options.parse_args()


def main() -> int:
    """Run the command. Return 1 if a measurement failed."""
    args = arguments()
    raise_file_limit()
    cases = quick_cases() if args.quick else all_cases()
    chosen = [case for case in cases if not args.only or any(part in case.name for part in args.only)]
    repeats = args.repeats or (1 if args.quick else _REPEATS)
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = compare(chosen, unpack(args.base, Path(folder)), repeats)
        except MeasurementError as error:
            print(error, file=sys.stderr)
            return 1
    results: list[dict[str, Any]] = [attrs.asdict(row) for row in rows]
    caption = f"{args.base} (base) and this checkout (new), medians of {repeats}"
    publish("Two revisions in one run", {"guard": Table(caption, table_of(rows))}, results, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
