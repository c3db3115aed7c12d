"""A file of prompts: `trio-openai batch` next to a plain program with `AsyncOpenAI`, and next to flexllm.

    python benchmarks/batch.py [--quick] [--json FILE] [--lines N] [--only NAME] [--flexllm COMMAND]

Each contender is a process of its own, which reads the lines from a file, asks a server on this machine, and writes the
answers to a file. Its imports count.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from _machine import cores, pin
from _report import Table, parser, publish, table
from _runner import MeasurementError, environment, python, say, server

_LINES, _QUICK_LINES = 100_000, 200
_CONCURRENT = "256"

OURS, OURS_PLAIN = "trio-openai batch", "trio-openai batch, no streams"
OPENAI, OPENAI_STREAMED = "AsyncOpenAI, asyncio", "AsyncOpenAI, asyncio, streams"
FLEXLLM = "flexllm batch"


def commands(source: str, target: str, url: str, flexllm: str | None) -> dict[str, list[str]]:
    """Return the command of each contender. That of flexllm is missing if it is not installed."""
    ours = [sys.executable, "-m", "trio_openai", "batch", source, "-o", target, "--model", "gpt-4o", "--base-url", url]
    ours += ["--max-concurrent", _CONCURRENT, "--quiet"]
    script = python("_batch_openai.py", source, target, url, _CONCURRENT)
    found = {
        OURS: ours,
        OURS_PLAIN: [*ours, "--param", "stream=false"],
        OPENAI: [*script, "0"],
        OPENAI_STREAMED: [*script, "1"],
    }
    if flexllm is not None:
        options = ["-m", "gpt-4o", "--base-url", url, "--api-key", "benchmark", "-c", _CONCURRENT]
        found[FLEXLLM] = [flexllm, "batch", source, "-o", target, *options]
    return found


def write_lines(path: Path, count: int) -> None:
    """Write a file of different prompts."""
    with path.open("w") as file:
        for number in range(count):
            file.write(json.dumps({"custom_id": f"row-{number}", "prompt": f"Name river number {number}."}) + "\n")


def measure(name: str, lines: int, flexllm: str | None) -> dict[str, Any]:
    """Run one contender.

    Raises:
        MeasurementError: It failed, or did not answer every line.
    """
    client_cpu, server_cpu = cores()
    with tempfile.TemporaryDirectory() as folder, server("_answers.py", server_cpu) as port:
        source, target = Path(folder, "in.jsonl"), Path(folder, "out.jsonl")
        write_lines(source, lines)
        command = commands(str(source), str(target), f"http://127.0.0.1:{port}/wanted/v1", flexllm)[name]
        figures = _run(command, client_cpu, Path(folder))
        answered = target.read_bytes().count(b"\n") if target.exists() else 0
    if answered < lines:
        raise MeasurementError(f"{name} answered only {answered} of {lines} lines")
    return {"contender": name, "lines": lines, **figures}


def _run(command: list[str], cpu: int, folder: Path) -> dict[str, float]:
    """Run a command on one core. Return its time, its CPU time, and the most memory that it had."""
    variables = environment() | {"OPENAI_API_KEY": "benchmark", "HOME": str(folder)}
    log = folder / "log"
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env=variables,
            cwd=folder,
            preexec_fn=partial(pin, cpu),  # noqa: PLW1509
        )
        _pid, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise MeasurementError(f"{command[:4]} ended with {process.returncode}: {log.read_text()[-2000:]}")
    return {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "memory": used.ru_maxrss * 1024.0}


def table_of(results: list[dict[str, Any]]) -> str:
    """Return a table with a row for each contender."""
    rows = [["", "lines/s", "µs of CPU per line", "x ours", "peak memory, MiB"]]
    first = results[0]
    for result in results:
        cpu, lines = result["cpu"] / result["lines"], result["lines"]
        ratio = cpu / (first["cpu"] / first["lines"])
        rows.append(
            [
                result["contender"],
                f"{lines / result['seconds']:,.0f}",
                f"{cpu * 1e6:,.0f}",
                f"{ratio:.2f}",
                f"{result['memory'] / 2**20:,.0f}",
            ]
        )
    return table(rows)


def main() -> int:
    """Run the command. Return 1 if a contender failed."""
    arguments = parser(__doc__)
    arguments.add_argument("--lines", type=int, default=0, help=f"how many lines ({_LINES:,}; {_QUICK_LINES} if quick)")
    arguments.add_argument("--only", action="append", default=[], metavar="NAME", help="a part of a contender's name")
    arguments.add_argument("--flexllm", default=shutil.which("flexllm"), help="the command, if it is not in the path")
    args = arguments.parse_args()
    lines = args.lines or (_QUICK_LINES if args.quick else _LINES)
    results = []
    for name in commands("", "", "", args.flexllm):
        if args.only and not any(part in name for part in args.only):
            continue
        say(name)
        try:
            results.append(measure(name, lines, args.flexllm))
        except MeasurementError as error:
            print(error, file=sys.stderr)
            return 1
    say("")
    caption = f"{lines:,} lines, {_CONCURRENT} requests at a time, one process on one core"
    publish("Batch jobs", {"lines": Table(caption, table_of(results))}, results, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
