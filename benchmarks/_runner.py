"""One measurement: a server process, a client process, a core for each, one figure."""

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
    """What was measured of one contender with one plan.

    Attributes:
        cpu_us: CPU time of the client process per event, in microseconds, of every repeat.
        waits: how often the process slept per event, of every repeat.
        error: why there is no figure.
    """

    contender: str
    plan: Plan
    cpu_us: list[float] = attrs.field(factory=list)
    waits: list[float] = attrs.field(factory=list)
    error: str = ""

    @property
    def median_cpu_us(self) -> float:
        """The figure, if it did not fail."""
        return median(self.cpu_us)


def available(names: Iterable[str]) -> list[str]:
    """The contenders whose packages are installed; of the others it says so."""
    there = []
    for name in names:
        needs = CONTENDERS[name].needs
        if importlib.util.find_spec(needs):
            there.append(name)
        else:
            print(f"{name}: left out, since {needs} is not installed", file=sys.stderr)
    return there


def run(contenders: list[str], plans: list[Plan], repeats: int) -> list[Result]:
    """Measure every contender with every plan, alternating, `repeats` times, or less often if the contender says so."""
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
    """What is being done, to a terminal."""
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
    """A contender did not come to its end; the message says why."""


def measure_once(contender: str, plan: Plan, script: str = "_client.py") -> dict[str, float]:
    """What one client process measures.

    Raises:
        MeasurementError: it did not come to its end.
    """
    client_cpu, server_cpu = cores()
    with server("_server.py", server_cpu) as port:
        command = python(script, contender, str(port), str(client_cpu), plan.path)
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=_TIMEOUT, env=environment()
            )
        except subprocess.TimeoutExpired as error:
            raise MeasurementError(f"took longer than {_TIMEOUT:g} s") from error
    if done.returncode:
        raise MeasurementError(done.stderr.strip()[-2000:] or f"ended with status {done.returncode}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextlib.contextmanager
def server(script: str, cpu: int) -> Iterator[int]:
    """A server of its own for each measurement, so none inherits what another left. It prints its port."""
    command = python(script, str(cpu))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def python(script: str, *args: str) -> list[str]:
    """The command of a script in this folder."""
    return [sys.executable, str(_HERE / script), *args]


def environment() -> dict[str, str]:
    """This process's, without proxies: some contenders would send loopback through them."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
