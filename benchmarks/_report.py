"""The output of all benchmarks (tables of medians and ratios, and JSON) and their common command-line options."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import attrs
from _contenders import BARE, LIBRARY
from _machine import describe
from _plan import Plan
from _runner import Result

PAGE_WIDTH = 78  # columns


def parser(doc: str, repeats: int = 0) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark, and `--repeats` if a default is given."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only prove that it runs, within seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")
    if repeats:
        what = f"how often to measure each case ({repeats}; 1 with --quick)"
        parser.add_argument("--repeats", type=int, default=0, metavar="N", help=what)
    return parser


@attrs.frozen
class Table:
    """A table as text, with its caption."""

    caption: str
    text: str

    def __str__(self) -> str:
        """Return the caption and the table, at most as wide as a page of the documentation shows without scrolling."""
        return f"{textwrap.fill(self.caption + ':', PAGE_WIDTH)}\n\n{self.text}"


def publish(title: str, tables: dict[str, Table], results: list[dict[str, Any]], path: Path | None) -> None:
    """Print the tables. Write tables and figures as JSON if there is a path."""
    print(f"{title}\n{header()}")
    for each in tables.values():
        print(f"\n{each}")
    if path is not None:
        texts = {name: attrs.asdict(each) for name, each in tables.items()}
        everything = {"title": title, **describe(), "tables": texts, "results": results}
        path.write_text(json.dumps(everything, indent=1) + "\n")


def publish_comparison(title: str, tables: dict[str, Table], results: list[Result], path: Path | None) -> int:
    """Publish the results of `_runner.run`, and print why contenders failed. Return the exit status."""
    publish(title, tables, entries(results), path)
    failed = failures(results)
    if failed:
        print(f"\n{failed}", file=sys.stderr)
    return 1 if failed else 0


def header() -> str:
    """Return two lines that name the machine and the versions."""
    about = describe()
    packages = about["packages"]
    assert isinstance(packages, dict)
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return f"{about['machine']}, {about['system']}, {about['python']}\n{versions}"


def table(rows: Iterable[Iterable[str]]) -> str:
    """Format rows of cells as text, the first column left-aligned, the others right-aligned. An empty row is blank.

    The first row is the head. Its cells break into two lines if the table would be wider than a page. A row that has
    only its first cell is a title, which may be as wide as the table.
    """
    head, *cells = [list(row) for row in rows]
    full = [row for row in cells if any(row[1:])]
    widest = [max((len(row[i]) for row in full), default=0) for i in range(len(head))]
    widths = [max(len(text), width) for text, width in zip(head, widest, strict=True)]
    if sum(widths) + 2 * len(widths) - 2 > PAGE_WIDTH:
        widths = [max(_half(text), width) for text, width in zip(head, widest, strict=True)]
    broken = [textwrap.wrap(text, width) for text, width in zip(head, widths, strict=True)]
    height = max(map(len, broken))
    heads = [list(line) for line in zip(*([""] * (height - len(column)) + column for column in broken), strict=True)]
    lines = []
    for row in [*heads, *cells]:
        padded = [
            text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append(("  ".join(padded) if row in heads or row in full else "".join(row)).rstrip())
    return "\n".join(lines)


def _half(text: str) -> int:
    """Return the smallest width in which a text takes two lines, or its longest word if that is wider."""
    longest = max(map(len, text.split()), default=0)
    return next(width for width in range(longest, len(text) + 1) if len(textwrap.wrap(text, width or 1)) <= 2)


def comparison(results: list[Result]) -> str:
    """Return a table with a block for each plan: each contender's median, range, and ratios to the two yardsticks."""
    rows: list[list[str]] = [["", "µs/event", "min-max", "x ours", "x bare", "waits"]]
    for plan, group in groupby(results, key=lambda result: result.plan):
        of_plan = list(group)
        yardsticks = [_median_of(of_plan, name) for name in (LIBRARY, BARE)]
        rows += [[], [_title(plan), *[""] * 5], *(_row(result, yardsticks) for result in of_plan)]
    return table(rows)


def _title(plan: Plan) -> str:
    streams = "1 stream" if plan.streams == 1 else f"{plan.streams:,} streams"
    events = "1 event" if plan.per_write == 1 else f"{plan.per_write} events"
    return f"{plan.api}, {streams} of {plan.events:,} events, {events} a write, {plan.pace}:"


def _row(result: Result, yardsticks: list[float | None]) -> list[str]:
    name = "  " + result.contender
    if not result.cpu_us:
        return [name, "failed", *[""] * 4]
    middle = median(result.cpu_us)
    ratios = [f"{middle / yardstick:.2f}" if yardstick else "-" for yardstick in yardsticks]
    spread = f"{min(result.cpu_us):.1f}-{max(result.cpu_us):.1f}"
    return [name, f"{middle:.2f}", spread, *ratios, f"{median(result.waits):.3f}"]


def _median_of(results: list[Result], contender: str) -> float | None:
    return next((median(r.cpu_us) for r in results if r.contender == contender and r.cpu_us), None)


def failures(results: list[Result]) -> str:
    """Return the reasons of all failures, or an empty string."""
    return "\n\n".join(f"{r.contender}, {_title(r.plan)}\n{r.error}" for r in results if r.error)


def entries(results: list[Result]) -> list[dict[str, Any]]:
    """Return all figures and their medians, ready for JSON."""
    return [{**attrs.asdict(r), "median_cpu_us": median(r.cpu_us) if r.cpu_us else None} for r in results]
