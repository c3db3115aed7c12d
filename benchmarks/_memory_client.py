"""The process whose memory is measured: one contender, so many streams that are open and silent.

It warms up with ten, so that imports and caches are not counted, opens the streams, and waits until the opening events
of each have arrived. Then it looks at what it has grown by since.

    python _memory_client.py CONTENDER PORT CPU PATH       prints one line of JSON: bytes
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
_WARM_UP = 10


def resident() -> int:
    """Bytes of this process that are in memory; where there is no /proc, the most there ever were."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * os.sysconf("SC_PAGE_SIZE")


def _used() -> tuple[int, int]:
    gc.collect()
    return resident(), tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0


async def _open(contender: Contender, port: int, plan: Plan, streams: int, *, trace: bool) -> tuple[int, int]:
    """Open so many streams more and see what they take, both ways of counting. They stay until the process ends."""
    if trace:
        tracemalloc.start()
    before = _used()
    opened = trio.Event()
    tally = Tally(streams, opened.set, lambda: None)
    part = Plan(streams, plan.events, plan.per_write, plan.pace, plan.api)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(contender.run, f"http://127.0.0.1:{port}{plan.path}", part, tally)
        await opened.wait()
        await trio.sleep(_SETTLE_SECONDS)
        after = _used()
        nursery.cancel_scope.cancel()
    return after[0] - before[0], after[1] - before[1]


async def measure(contender: Contender, port: int, plan: Plan) -> dict[str, float]:
    """Bytes a stream: what the process grew by, and what Python's allocators were asked for."""
    streams = (plan.streams - _WARM_UP) // 2
    await _open(contender, port, plan, _WARM_UP, trace=False)
    grown, _ = await _open(contender, port, plan, streams, trace=False)
    _, allocated = await _open(contender, port, plan, streams, trace=True)
    return {"resident": grown / streams, "allocated": allocated / streams}


def main(name: str, port: str, cpu: str, path: str) -> None:
    """The command."""
    print(json.dumps(trio.run(measure, CONTENDERS[name], int(port), Plan.of_path(path))))


if __name__ == "__main__":
    main(*sys.argv[1:])
