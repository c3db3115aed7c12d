"""Run one measurement: a server process and a client process, each on its own core, give one figure.

Every measurement uses fresh processes, so that none inherits caches, garbage or connections from the one before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

import attrs
from _contenders import CONTENDERS
from _machine import cores
from _plan import Plan

_HERE = Path(__file__).parent
_TIMEOUT = 180.0


@attrs.define
class Result:
    """The figures of one contender with one plan.

    Attributes:
        cpu_us: CPU time of the client process per event in microseconds, one figure per repeat.
        waits: how often the client process slept per event, one figure per repeat.
        error: why the measurement failed; empty if it succeeded.
    """

    contender: str
    plan: Plan
    cpu_us: list[float] = attrs.field(factory=list)
    waits: list[float] = attrs.field(factory=list)
    error: str = ""

    @property
    def median_cpu_us(self) -> float:
        """The median CPU time per event. Only available if there are figures."""
        return median(self.cpu_us)


def available(names: Iterable[str]) -> list[str]:
    """Return the contenders whose packages are installed. Print the names of the others."""
    there = []
    for name in names:
        needs = CONTENDERS[name].needs
        if importlib.util.find_spec(needs):
            there.append(name)
        else:
            print(f"{name}: skipped because {needs} is not installed", file=sys.stderr)
    return there


def run(contenders: list[str], plans: list[Plan], repeats: int) -> list[Result]:
    """Measure every contender with every plan `repeats` times, or less often if the contender limits its repeats.

    The contenders alternate, so that a slow phase of the machine does not hit only one of them.
    """
    results = [Result(name, plan) for plan in plans for name in contenders]
    total = repeats * len(results)
    for number in range(total):
        result = results[number % len(results)]
        say(f"{number + 1}/{total}  {result.contender}, {result.plan.streams} streams")
        if not result.error and len(result.cpu_us) < CONTENDERS[result.contender].repeats:
            _measure(result)
    say("")
    return results


def say(text: str) -> None:
    """Show the progress in one line, if stderr is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _measure(result: Result) -> None:
    plan = result.plan
    try:
        measured = measure_once(result.contender, plan)
    except MeasurementError as error:
        result.error = str(error)
        return
    events = plan.streams * plan.events
    result.cpu_us.append(measured["cpu_seconds"] / events * 1e6)
    result.waits.append(measured["waits"] / events)


class MeasurementError(Exception):
    """A contender failed or took too long. The message says why."""


def measure_once(contender: str, plan: Plan, script: str = "_client.py", root: Path | None = None) -> dict[str, float]:
    """Run one client process and return its figures.

    Args:
        contender: the name of the contender.
        plan: what the server sends.
        script: the client's script.
        root: the folder to import the package from, if it is not the installed one.

    Raises:
        MeasurementError: the process failed or took too long.
    """
    return measure_beside("_server.py", script, contender, plan.path, root)


def measure_beside(server_script: str, script: str, contender: str, what: str, root: Path | None) -> dict[str, float]:
    """Run a client script beside a server script, each on its own core. Return the figures that it prints.

    Raises:
        MeasurementError: the process failed or took too long.
    """
    client_cpu, server_cpu = cores()
    with server(server_script, server_cpu) as port:
        command = python(script, contender, str(port), str(client_cpu), what)
        variables = environment() | ({"PYTHONPATH": str(root)} if root is not None else {})
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT, env=variables)
        except subprocess.TimeoutExpired as error:
            raise MeasurementError(f"took longer than {_TIMEOUT:g} s") from error
    if done.returncode:
        raise MeasurementError(done.stderr.strip()[-2000:] or f"ended with status {done.returncode}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextlib.contextmanager
def server(script: str, cpu: int) -> Iterator[int]:
    """Run a server script for the duration of the block, and yield the port that it prints."""
    command = python(script, str(cpu))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def python(script: str, *args: str) -> list[str]:
    """Return the command that runs a script of this folder."""
    return [sys.executable, str(_HERE / script), *args]


def environment() -> dict[str, str]:
    """Return this process's environment without proxies, which some contenders would use even for loopback."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
