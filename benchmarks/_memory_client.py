"""The process whose memory is measured: one contender with many streams that are open and silent.

It warms up with ten streams, so that imports and caches do not count. Then it opens three lots of the same number of
streams. After each lot it waits until all opening events have arrived, and measures how much it has grown. The first
lot also pays for the peak while opening so many streams at once: the allocator keeps that memory, and the second lot
reuses it. The third lot is measured with tracemalloc. The objects are those that the garbage collector visits.

    python _memory_client.py CONTENDER PORT CPU PATH       prints one line of JSON: bytes and objects per stream
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import tracemalloc
from pathlib import Path

import trio
from _contenders import CONTENDERS, Contender, Tally
from _plan import Plan

_SETTLE_SECONDS = 0.2
WARM_UP = 10
LOTS = 3


def resident() -> int:
    """Return the resident bytes of this process; without /proc, their maximum so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * os.sysconf("SC_PAGE_SIZE")


def _used() -> tuple[int, int]:
    gc.collect()
    return resident(), tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0


async def _open(
    nursery: trio.Nursery, contender: Contender, port: int, plan: Plan, streams: int, *, trace: bool = False
) -> tuple[int, int]:
    """Open more streams and keep them open. Return how much they take, resident and as traced by Python."""
    if trace:
        tracemalloc.start()
    before = _used()
    opened = trio.Event()
    tally = Tally(streams, opened.set, lambda: None)
    part = Plan(streams, plan.events, plan.per_write, plan.pace, plan.api)
    nursery.start_soon(contender.run, f"http://127.0.0.1:{port}{plan.path}", part, tally)
    await opened.wait()
    await trio.sleep(_SETTLE_SECONDS)
    after = _used()
    return after[0] - before[0], after[1] - before[1]


async def measure(contender: Contender, port: int, plan: Plan) -> dict[str, float]:
    """Return what a stream takes: the growth of the process, what Python's allocators were asked for, and objects."""
    streams = (plan.streams - WARM_UP) // LOTS
    async with trio.open_nursery() as nursery:
        await _open(nursery, contender, port, plan, WARM_UP)
        first, _ = await _open(nursery, contender, port, plan, streams)
        before = len(gc.get_objects())
        next_, _ = await _open(nursery, contender, port, plan, streams)
        objects = len(gc.get_objects()) - before
        _, allocated = await _open(nursery, contender, port, plan, streams, trace=True)
        nursery.cancel_scope.cancel()
    bytes_ = {"first": first / streams, "next": next_ / streams, "allocated": allocated / streams}
    return {**bytes_, "objects": objects / streams}


def main(name: str, port: str, cpu: str, path: str) -> None:
    """Run the command."""
    print(json.dumps(trio.run(measure, CONTENDERS[name], int(port), Plan.of_path(path))))


if __name__ == "__main__":
    main(*sys.argv[1:])
