"""All figures of the documentation in one command: it runs every benchmark and puts the tables where they belong.

    python benchmarks/page.py [--quick] [--json DIR] [--fill-only] [--only NAME]

What stands between `<!-- table: NAME -->` and `<!-- end -->`, in the README and in docs/, is replaced: NAME is that
of a run below, or a run's and a table's with a dot between. `<!-- figures: ... -->` are the summaries of `_summary.py`.
With `--quick` everything is run and filled in too, but in a copy that is thrown away.
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
from chart import chart, lines

_HERE = Path(__file__).parent
_ROOT = _HERE.parent
_RUNS = {
    "stream": ["stream.py"],
    "responses": ["stream.py", "--api", "responses"],
    "scale": ["scale.py"],
    "latency": ["latency.py"],
    "fairness": ["fairness.py"],
    "long_streams": ["long_streams.py"],
    "memory": ["memory.py"],
    "imports": ["imports.py"],
    "reads": ["reads.py"],
    "fanout": ["fanout.py"],
    "sync": ["sync.py"],
    "http_parsers": ["http_parsers.py"],
}
_CHART = "docs/performance.svg"
_MARKED = re.compile(r"<!-- (table|figures): ([\w .]+) -->\n.*?<!-- end -->", re.DOTALL)

Reports = dict[str, Any]


def run_all(names: list[str], folder: Path, *, quick: bool) -> list[str]:
    """Run benchmarks, each with its JSON in the folder. Returns the names of those that failed."""
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
    """What the runs wrote, this time or before."""
    files = {name: folder / f"{name}.json" for name in _RUNS}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}


def table_of(reports: Reports, name: str) -> str:
    """The tables of a run, or one of them."""
    run, _, wanted = name.partition(".")
    tables = reports[run]["tables"]
    chosen = [tables[wanted]] if wanted else tables.values()
    text = "\n\n".join(f"{each['caption']}:\n\n{each['text']}" for each in chosen)
    return f"```text\n{text}\n```"


def fill(text: str, reports: Reports) -> str:
    """A page with what belongs between its markers. Of what has not been run they keep what they have."""

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
        raise ValueError("a marker without its <!-- end -->")
    return filled


def fill_all(root: Path, reports: Reports, folder: Path) -> None:
    """All pages below a root, and the chart."""
    for page in _pages(root):
        before = page.read_text()
        after = fill(before, reports)
        if after != before:
            page.write_text(after)
            print(f"{page.relative_to(root)}: filled in")
    files = [file for file in (folder / "stream.json", folder / "scale.json") if file.exists()]
    (root / _CHART).write_text(chart(lines(files, "chat"), "chat"))


def _pages(root: Path) -> Iterator[Path]:
    yield root / "README.md"
    yield from sorted((root / "docs").glob("*.md"))


def _copy(folder: Path) -> Path:
    """The pages once more, to be thrown away."""
    shutil.copytree(_ROOT / "docs", folder / "docs")
    shutil.copy(_ROOT / "README.md", folder)
    return folder


def arguments() -> argparse.Namespace:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--quick", action="store_true", help="show that all of it runs, and leave the pages alone")
    options.add_argument(
        "--json", type=Path, metavar="DIR", help="where the figures go, and those come from that are not run"
    )
    options.add_argument("--only", action="append", choices=list(_RUNS), metavar="NAME", help="run only this one")
    options.add_argument("--fill-only", action="store_true", help="run nothing")
    return options.parse_args()


def main() -> int:
    """The command; its status is 1 if a benchmark failed."""
    args = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = args.json or Path(temporary) / "json"
        folder.mkdir(parents=True, exist_ok=True)
        failed = [] if args.fill_only else run_all(args.only or list(_RUNS), folder, quick=args.quick)
        if failed:
            print(f"The pages are left as they are: failed: {', '.join(failed)}", file=sys.stderr)
            return 1
        fill_all(_copy(Path(temporary)) if args.quick else _ROOT, load(folder), folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
