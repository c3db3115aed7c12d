"""The delay of another task's 1 ms timer while one stream always has data.

    python benchmarks/fairness.py [--quick] [--json FILE]

The server writes 20 events at a time, faster than any contender reads them; the last column shows that the client never
slept. The first row, without a stream, shows the delay that comes from the resolution of the operating system's timer.
"""

from __future__ import annotations

import sys
from typing import Any

import trio
from _client import Meter
from _contenders import BARE, CONTENDERS, LIBRARY, OPENAI, Tally
from _machine import cores, pin
from _plan import Plan
from _report import Table, parser, publish, table
from _runner import available, say, server

_PERIOD = 0.001  # seconds
_PLAN = Plan(1, 1000, 20, "endless")
_SECONDS, _QUICK_SECONDS = 3.0, 0.2
_NO_STREAM = "no stream"


async def _tick(late: list[float]) -> None:
    """Record the delay of each wake-up in milliseconds."""
    while True:
        due = trio.current_time() + _PERIOD
        await trio.sleep_until(due)
        late.append((trio.current_time() - due) * 1000)


async def _tick_beside(name: str, port: int, seconds: float) -> tuple[list[float], float]:
    """Return the delays of the wake-ups while a contender reads, and how often the process slept."""
    late: list[float] = []
    first, meter = trio.Event(), Meter(port, _PLAN)
    async with trio.open_nursery() as nursery:
        if name != _NO_STREAM:
            tally = Tally(1, first.set, lambda: None)
            nursery.start_soon(CONTENDERS[name].run, f"http://127.0.0.1:{port}{_PLAN.path}", _PLAN, tally)
            await first.wait()
        meter.begin()
        await trio.sleep(0.1)  # let data pile up before measuring
        meter.end()
        meter.begin()
        nursery.start_soon(_tick, late)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    return late, meter.end()["waits"]


def measure(name: str, seconds: float) -> dict[str, Any]:
    """Measure one contender and return its figures."""
    say(name)
    client_cpu, server_cpu = cores()
    pin(client_cpu)
    with server("_server.py", server_cpu) as port:
        late, waits = trio.run(_tick_beside, name, port, seconds)
    late.sort()
    last = len(late) - 1
    figures = {f"p{percent}": late[last * percent // 100] for percent in (50, 99, 100)}
    return {"contender": name, "ticks": len(late), "waits": waits, **figures}


def main() -> int:
    """Run the command."""
    args = parser(__doc__).parse_args()
    seconds = _QUICK_SECONDS if args.quick else _SECONDS
    names = [LIBRARY, BARE] if args.quick else available([LIBRARY, OPENAI, BARE])
    results = [measure(name, seconds) for name in [_NO_STREAM, *names]]
    say("")
    rows = [["", "p50", "p99", "longest", "wake-ups", "slept"]]
    for result in results:
        late = (f"{result[name]:.2f}" for name in ("p50", "p99", "p100"))
        rows.append([result["contender"], *late, f"{result['ticks']:,}", f"{result['waits']:,.0f}"])
    caption = "ms that a timer of 1 ms is late beside a stream that always has data"
    publish("Fairness", {"timer": Table(caption, table(rows))}, results, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
