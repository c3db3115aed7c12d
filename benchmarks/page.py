"""All figures of the documentation in one command: run every benchmark and insert the tables into the pages.

    python benchmarks/page.py [--quick] [--json DIR] [--fill-only] [--only NAME]

In the pages of docs/, the text between `<!-- table: NAME -->` and `<!-- end -->` is replaced. NAME is the name of a run
below, or RUN.TABLE for one of its tables. `<!-- figures: ... -->` marks a summary of `_summary.py`. With
`--quick` everything runs too, but only a temporary copy of the pages is changed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _summary
from _report import Table
from chart import chart, lines

_HERE = Path(__file__).parent
_ROOT = _HERE.parent
_RUNS = {
    "stream": ["stream.py"],
    "responses": ["stream.py", "--api", "responses"],
    "scale": ["scale.py"],
    "opening": ["opening.py"],
    "latency": ["latency.py"],
    "fairness": ["fairness.py"],
    "long_streams": ["long_streams.py"],
    "memory": ["memory.py"],
    "imports": ["imports.py"],
    "reads": ["reads.py"],
    "stages": ["stages.py"],
    "fanout": ["fanout.py"],
    "sync": ["sync.py"],
    "http_parsers": ["http_parsers.py"],
    "batch": ["batch.py", "--lines", "10000"],
}
_CHART = "docs/performance.svg"
_MARKED = re.compile(r"<!-- (table|figures): ([\w .]+) -->\n.*?<!-- end -->", re.DOTALL)

Reports = dict[str, Any]


def run_all(names: list[str], folder: Path, *, quick: bool) -> list[str]:
    """Run benchmarks, each writing JSON to the folder. Return the names of those that failed."""
    failed = []
    for name in names:
        script, *options = _RUNS[name]
        began = time.monotonic()
        command = [sys.executable, str(_HERE / script), *options, "--json", str(folder / f"{name}.json")]
        print(f"##### {' '.join([script, *options])}", flush=True)
        status = subprocess.run([*command, "--quick"] if quick else command, check=False).returncode
        print(f"\n{name}: {time.monotonic() - began:.0f} s, status {status}\n", flush=True)
        if status:
            failed.append(name)
    return failed


def load(folder: Path) -> Reports:
    """Return the reports in the folder, from this run or an earlier one."""
    files = {name: folder / f"{name}.json" for name in _RUNS}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def table_of(reports: Reports, name: str) -> str:
    """Return all tables of a run, or the named one."""
    run, _, wanted = name.partition(".")
    tables = reports[run]["tables"]
    chosen = [tables[wanted]] if wanted else tables.values()
    text = "\n\n".join(str(Table(**each)) for each in chosen)
    return f"```text\n{text}\n```"


def fill(text: str, reports: Reports) -> str:
    """Return a page with its tables filled in. Tables without a report stay unchanged."""

    def replacement(found: re.Match[str]) -> str:
        kind, name = found.groups()
        needed = {name.partition(".")[0]} if kind == "table" else _summary.NEEDS[name]
        if not reports.keys() >= needed:
            return found[0]
        content = table_of(reports, name) if kind == "table" else _summary.SUMMARIES[name](reports)
        return f"<!-- {kind}: {name} -->\n\n{content}\n\n<!-- end -->"

    filled = _MARKED.sub(replacement, text)
    opened = len(re.findall("<!-- (?:table|figures): ", filled))
    if opened != len(_MARKED.findall(filled)):
        raise ValueError("a marker lacks its <!-- end -->")
    return filled


def fill_all(root: Path, reports: Reports, folder: Path) -> None:
    """Fill in all pages below a root, and draw the chart."""
    for page in _pages(root):
        before = page.read_text()
        after = fill(before, reports)
        if after != before:
            page.write_text(after)
            print(f"{page.relative_to(root)}: filled in")
    files = [file for file in (folder / "stream.json", folder / "scale.json") if file.exists()]
    (root / _CHART).write_text(chart(lines(files, "chat"), "chat"))


def _pages(root: Path) -> Iterator[Path]:
    yield from sorted((root / "docs").rglob("*.md"))


def _copy(folder: Path) -> Path:
    """Copy the pages to a temporary folder."""
    shutil.copytree(_ROOT / "docs", folder / "docs")
    return folder


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--quick", action="store_true", help="prove that everything runs, and leave the pages alone")
    options.add_argument(
        "--json", type=Path, metavar="DIR", help="write the figures here, and read those of earlier runs from here"
    )
    options.add_argument("--only", action="append", choices=list(_RUNS), metavar="NAME", help="run only this benchmark")
    options.add_argument("--fill-only", action="store_true", help="run nothing, only fill in the pages")
    return options.parse_args()


def main() -> int:
    """Run the command. Return 1 if a benchmark failed."""
    args = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = args.json or Path(temporary) / "json"
        folder.mkdir(parents=True, exist_ok=True)
        failed = [] if args.fill_only else run_all(args.only or list(_RUNS), folder, quick=args.quick)
        if failed:
            print(f"The pages were not changed, because these failed: {', '.join(failed)}", file=sys.stderr)
            return 1
        fill_all(_copy(Path(temporary)) if args.quick else _ROOT, load(folder), folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
