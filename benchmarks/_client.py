"""The measured process: it runs one contender with one plan and prints one figure.

It warms up, opens all streams, waits until the opening events of each have arrived, and reads the CPU clock. Then it
opens the server's gate, and reads the clock again at the last event of the last stream. So imports, connections and
requests do not count.

With a `timed` plan it also records each event's delay since its write, which works because the monotonic clock is the
same in all processes of a machine.

    python _client.py CONTENDER PORT CPU PATH       prints one line of JSON; the path contains the plan
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

_WARM_UP_EVENTS = 600  # over all streams
_SETTLE_SECONDS = 0.02


class Meter:
    """Measures this process between `begin` and `end`: CPU seconds, sleeps, and delays with a `timed` plan.

    Attributes:
        note: the function to call with the text of every event; None if there is nothing to record.
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
        """Start measuring and open the server's gate."""
        gc.collect()
        self._waits = -self._count_waits()
        self._seconds = -time.process_time()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gate:
            gate.sendto(str(os.getpid()).encode(), self._gate)

    def end(self) -> dict[str, float]:
        """Return the figures since `begin`."""
        self._seconds += time.process_time()
        self._waits += self._count_waits()
        return {"cpu_seconds": self._seconds, "waits": self._waits, **self._summary()}

    def _summary(self) -> dict[str, float]:
        """Return percentiles of the delays in microseconds, and the rate at which the server wrote."""
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
    """Measure a contender that blocks. The thread that receives the last event reads the clock."""
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
    """Warm up, then measure, both in the same event loop if the contender needs one."""
    if not contender.loop:
        _in_threads(contender, port, _warm_up(plan))
        return _in_threads(contender, port, plan)

    async def twice() -> dict[str, float]:
        on_loop = _on_trio if contender.loop == "trio" else _on_asyncio
        await on_loop(contender, port, _warm_up(plan))
        return await on_loop(contender, port, plan)

    return trio.run(twice) if contender.loop == "trio" else asyncio.run(twice())


def main(name: str, port: str, cpu: str, path: str) -> None:
    """Run the command."""
    pin(int(cpu))
    print(json.dumps(measure(CONTENDERS[name], int(port), Plan.of_path(path))))


if __name__ == "__main__":
    main(*sys.argv[1:])
