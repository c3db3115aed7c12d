"""Import times of this library, its dependencies and its peer, and the time of the command line's `--help`.

    python benchmarks/imports.py [--quick] [--json FILE] [--repeats N]

Each figure comes from a fresh process with warm caches. The first run compiles bytecode and does not count.
"""

from __future__ import annotations

import importlib.util
import resource
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


Times = tuple[float, float]
"""Wall-clock time and CPU time in milliseconds."""

_CODE = """\
from time import perf_counter, process_time
wall, cpu = perf_counter(), process_time()
import {}
print(perf_counter() - wall, process_time() - cpu)
"""


def import_ms(modules: str) -> Times:
    """Return the time of an import inside a fresh process."""
    wall, cpu = map(float, _run("-c", _CODE.format(modules)).split())
    return wall * 1000, cpu * 1000


def whole_ms(*args: str) -> Times:
    """Return the time of a whole process, from its start to its end."""
    wall, cpu = -time.perf_counter(), -_cpu_of_children()
    _run(*args)
    return (wall + time.perf_counter()) * 1000, (cpu + _cpu_of_children()) * 1000


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(*args: str) -> str:
    command = [sys.executable, *args]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment()).stdout


def _peers() -> list[str]:
    return ["openai"] if importlib.util.find_spec("openai") else []


def measure(repeats: int) -> dict[str, list[Times]]:
    """Measure all cases in turn, once more than `repeats`, and drop the first round."""
    endpoint = f"{LIBRARY}; {LIBRARY}.TrioOpenAI(api_key='none').chat.completions"
    cases = {
        f"import {_FOUR}": lambda: import_ms(_FOUR),
        **{f"import {name}": lambda name=name: import_ms(name) for name in (LIBRARY, *_peers())},
        "import trio_openai, and use chat.completions": lambda: import_ms(endpoint),
        "python -c pass": lambda: whole_ms("-c", "pass"),
        _HELP: lambda: whole_ms("-m", LIBRARY, "--help"),
    }
    times: dict[str, list[Times]] = {name: [] for name in cases}
    for number in range(repeats + 1):
        say(f"{number}/{repeats}")
        for name, run in cases.items():
            times[name].append(run())
    say("")
    return {name: values[1:] for name, values in times.items()}


def main() -> int:
    """Run the command."""
    args = parser(__doc__, _REPEATS).parse_args()
    pin(cores()[0])
    times = measure(args.repeats or (1 if args.quick else _REPEATS))
    medians = {name: tuple(map(median, zip(*values, strict=True))) for name, values in times.items()}
    four = medians[f"import {_FOUR}"]
    rows = [["", "ms", "x the four", "ms of CPU", "x the four"]]
    for name, values in medians.items():
        is_import = name.startswith("import")
        ratios = [f"{value / base:.2f}" if is_import else "" for value, base in zip(values, four, strict=True)]
        rows.append([name, f"{values[0]:.0f}", ratios[0], f"{values[1]:.0f}", ratios[1]])
    caption = "ms by the clock and of CPU: imports inside of a process, the others from its start to its end"
    results = [{"case": name, "ms": values, "median_ms": medians[name]} for name, values in times.items()]
    publish("Imports", {"imports": Table(caption, table(rows))}, results, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
