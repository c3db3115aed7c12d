"""How long imports take: this library, the packages that it stands on, and its peer; and the command line's `--help`.

    python benchmarks/imports.py [--quick] [--json FILE] [--repeats N]

Each figure is of a process of its own, with warm caches: the first run compiles, and is left out.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from statistics import median

from _contenders import LIBRARY
from _machine import cores, pin
from _report import Table, parser, publish, table
from _runner import environment, say

_FOUR = "trio, httpx, attrs, cattrs"
_HELP = f"python -m {LIBRARY} --help"
_REPEATS = 15


def import_ms(modules: str) -> float:
    """What an import takes inside of a fresh process."""
    code = f"from time import perf_counter; t = perf_counter(); import {modules}; print(perf_counter() - t)"
    return float(_run("-c", code)) * 1000


def whole_ms(*args: str) -> float:
    """What a process takes from its start to its end."""
    began = time.perf_counter()
    _run(*args)
    return (time.perf_counter() - began) * 1000


def _run(*args: str) -> str:
    command = [sys.executable, *args]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout


def _peers() -> list[str]:
    return ["openai"] if importlib.util.find_spec("openai") else []


def measure(repeats: int) -> dict[str, list[float]]:
    """All of them in turn, one time more than `repeats`."""
    endpoint = f"{LIBRARY}; {LIBRARY}.TrioOpenAI(api_key='none').chat.completions"
    cases = {
        f"import {_FOUR}": lambda: import_ms(_FOUR),
        **{f"import {name}": lambda name=name: import_ms(name) for name in (LIBRARY, *_peers())},
        "import trio_openai, and use chat.completions": lambda: import_ms(endpoint),
        "python -c pass": lambda: whole_ms("-c", "pass"),
        _HELP: lambda: whole_ms("-m", LIBRARY, "--help"),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(repeats + 1):
        say(f"{number}/{repeats}")
        for name, run in cases.items():
            times[name].append(run())
    say("")
    return {name: values[1:] for name, values in times.items()}


def main() -> int:
    """The command."""
    args = parser(__doc__, _REPEATS).parse_args()
    pin(cores()[0])
    times = measure(args.repeats or (1 if args.quick else _REPEATS))
    four = median(times[f"import {_FOUR}"])
    rows = [["", "ms", "min-max", "x its four packages"]]
    for name, values in times.items():
        ratio = f"{median(values) / four:.2f}" if name.startswith("import") else ""
        rows.append([name, f"{median(values):.0f}", f"{min(values):.0f}-{max(values):.0f}", ratio])
    caption = "ms by the clock: imports inside of a process, the others from its start to its end"
    results = [{"case": name, "ms": values, "median_ms": median(values)} for name, values in times.items()]
    publish("Imports", {"imports": Table(caption, table(rows))}, results, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
