"""The process that is measured: one contender, one plan, one figure.

It warms up, opens the streams, waits until the first event of each has arrived, reads the CPU clock, opens the server's
gate, and reads the clock again at the last event of the last stream. So imports, connections and requests do not count.

With a `timed` plan it also notes how long after its write each event was there: the clock is the machine's, and so the
server's.

    python _client.py CONTENDER PORT CPU PATH       prints one line of JSON; the path names the plan
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import socket
import sys
import threading
import time
from array import array
from typing import Any

import attrs
import trio
from _contenders import CONTENDERS, Contender, Tally
from _machine import pin
from _plan import Plan

_WARM_UP_EVENTS = 600  # in all
_SETTLE_SECONDS = 0.02


class Meter:
    """CPU seconds of this process, and how often it waited, between `begin` and `end`; with a `timed` plan the delays.

    Attributes:
        note: to be called with the text of every event; None if nothing is to be noted.
    """

    def __init__(self, port: int, plan: Plan) -> None:
        self._gate = ("127.0.0.1", port)
        self._delays, self._sent = array("q"), array("q")
        self.note = self._note if plan.pace == "timed" else None

    def _note(self, text: str) -> None:
        now, sent = time.monotonic_ns(), int(text)
        self._delays.append(now - sent)
        self._sent.append(sent)

    def begin(self) -> None:
        """Open the gate."""
        gc.collect()
        self._waits = -self._count_waits()
        self._seconds = -time.process_time()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gate:
            gate.sendto(str(os.getpid()).encode(), self._gate)

    def end(self) -> dict[str, float]:
        """What it took since `begin`."""
        self._seconds += time.process_time()
        self._waits += self._count_waits()
        return {"cpu_seconds": self._seconds, "waits": self._waits, **self._summary()}

    def _summary(self) -> dict[str, float]:
        """The delays in microseconds, and at which rate the server wrote."""
        if self.note is None:
            return {}
        delays = sorted(self._delays)
        last = len(delays) - 1
        figures = {f"p{percent}": delays[last * percent // 100] / 1000 for percent in (50, 99, 100)}
        return {**figures, "events_per_second": last / (max(self._sent) - min(self._sent)) * 1e9}

    def _count_waits(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


async def _on_trio(contender: Contender, port: int, plan: Plan) -> dict[str, float]:
    first, last, meter = trio.Event(), trio.Event(), Meter(port, plan)
    async with trio.open_nursery() as nursery:
        tally = Tally(plan.streams, first.set, last.set, meter.note)
        nursery.start_soon(contender.run, _url(port, plan), plan, tally)
        await first.wait()
        await trio.sleep(_SETTLE_SECONDS)
        meter.begin()
        await last.wait()
        return meter.end()


async def _on_asyncio(contender: Contender, port: int, plan: Plan) -> dict[str, float]:
    first, last, meter = asyncio.Event(), asyncio.Event(), Meter(port, plan)

    async def run() -> None:
        await contender.run(_url(port, plan), plan, Tally(plan.streams, first.set, last.set, meter.note))

    async with asyncio.TaskGroup() as group:
        group.create_task(run())
        await first.wait()
        await asyncio.sleep(_SETTLE_SECONDS)
        meter.begin()
        await last.wait()
        return meter.end()


def _in_threads(contender: Contender, port: int, plan: Plan) -> dict[str, float]:
    """The contender blocks. The clock is read in the threads that it reads in, as the first and the last event come."""
    first, meter = threading.Event(), Meter(port, plan)
    measured: list[dict[str, float]] = []
    tally = Tally(plan.streams, first.set, lambda: measured.append(meter.end()))
    run: Any = contender.run
    reading = threading.Thread(target=run, args=(_url(port, plan), plan, tally))
    reading.start()
    first.wait()
    time.sleep(_SETTLE_SECONDS)
    meter.begin()
    reading.join()
    return measured[0]


def _url(port: int, plan: Plan) -> str:
    return f"http://127.0.0.1:{port}{plan.path}"


def _warm_up(plan: Plan) -> Plan:
    streams = min(plan.streams, 10)
    pace = "lockstep" if plan.pace == "timed" else plan.pace
    return attrs.evolve(plan, streams=streams, events=_WARM_UP_EVENTS // streams, pace=pace)


def measure(contender: Contender, port: int, plan: Plan) -> dict[str, float]:
    """Warm up, then measure, in one event loop if it takes one."""
    if not contender.loop:
        _in_threads(contender, port, _warm_up(plan))
        return _in_threads(contender, port, plan)

    async def twice() -> dict[str, float]:
        on_loop = _on_trio if contender.loop == "trio" else _on_asyncio
        await on_loop(contender, port, _warm_up(plan))
        return await on_loop(contender, port, plan)

    return trio.run(twice) if contender.loop == "trio" else asyncio.run(twice())


def main(name: str, port: str, cpu: str, path: str) -> None:
    """The command."""
    pin(int(cpu))
    print(json.dumps(measure(CONTENDERS[name], int(port), Plan.of_path(path))))


if __name__ == "__main__":
    main(*sys.argv[1:])
