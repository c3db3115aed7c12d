"""CPU time per event of a stream with 0, 1, 4, 16 and 64 subscribers, and the cost of a task and a channel in between.

    python benchmarks/fanout.py [--quick] [--json FILE] [--repeats N]

Everything runs in one process. The bytes come from memory, so the figures contain no kernel and no server. The cost of
a subscriber is the difference to the row without any.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import attrs
import trio
import trio.testing
from _canned import client_of
from _contenders import CHAT_REQUEST
from _machine import cores, pin
from _report import Table, parser, publish, table
from _wire import CHAT

_BUFFER = 64
_COUNTS = (1, 4, 16, 64)
_POLICIES = ("wait", "coalesce")
_PER_READ = (1, 20)
_DELIVERIES, _QUICK_DELIVERIES = 10_000, 200
_REPEATS = 5


Run = Callable[[list[bytes], int], Awaitable[float]]
"""A function of the pieces and the number of events in them. It reads all pieces and returns the CPU seconds."""


@attrs.frozen
class Case:
    """One row of a table.

    Attributes:
        readers: the number of readers that get each event. With more readers, fewer events are measured.
    """

    name: str
    run: Run
    readers: int


async def opened(gate: trio.Event) -> float:
    """Wait until all tasks are ready, open the gate, and return the CPU clock."""
    await trio.testing.wait_all_tasks_blocked()
    gc.collect()
    gate.set()
    return time.process_time()


def with_subscribers(count: int, policy: Any) -> Run:
    """Return a run with `count` subscribers, each read by a task of its own, next to the task that iterates."""

    async def run(pieces: list[bytes], events: int) -> float:
        gate = trio.Event()
        async with client_of(pieces, gate) as client, client.chat.completions.stream(**CHAT_REQUEST) as stream:
            async with trio.open_nursery() as readers:
                for _ in range(count):
                    readers.start_soon(_drain, stream.subscribe(_BUFFER, policy))
                began = await opened(gate)
                await stream.until_done()
            return time.process_time() - began

    return run


async def _drain(events: trio.abc.ReceiveChannel[Any]) -> None:
    async for _ in events:
        pass


async def pumped(pieces: list[bytes], events: int) -> float:
    """Run `start_stream`: a background task reads the stream and sends the events through a channel."""
    gate = trio.Event()
    async with client_of(pieces, gate) as client:
        async with trio.open_nursery() as streams:
            stream = await client.chat.completions.start_stream(streams, **CHAT_REQUEST, buffer=_BUFFER)
            began = await opened(gate)
            await stream.until_done()
        return time.process_time() - began


def channel(buffer: int) -> Run:
    """Return a run without a stream, for comparison: send objects through a memory channel, one checkpoint per read."""

    async def run(pieces: list[bytes], events: int) -> float:
        send, receive = trio.open_memory_channel[object](buffer)
        gate = trio.Event()
        async with trio.open_nursery() as readers:
            readers.start_soon(_drain, receive)
            began = await opened(gate)
            async with send:
                for piece in pieces:
                    await gate.wait()
                    for _ in range(events // len(pieces)):
                        await _put(send, piece)
        return time.process_time() - began

    return run


async def _put(send: trio.MemorySendChannel[object], item: object) -> None:
    """Send an item the way `start_stream` does."""
    try:
        send.send_nowait(item)
    except trio.WouldBlock:
        await send.send(item)


ALONE = Case("whoever iterates reads: no task, no channel", with_subscribers(0, "wait"), 1)
HOPS = [
    ALONE,
    Case(f"start_stream: a task, and a channel of {_BUFFER}", pumped, 1),
    Case(f"a channel of {_BUFFER} alone", channel(_BUFFER), 1),
    Case("a channel without a buffer alone", channel(0), 1),
]
FAN_OUT = [
    Case(f"{count}, {policy!r}", with_subscribers(count, policy), count) for policy in _POLICIES for count in _COUNTS
]


@attrs.define
class Result:
    """The figures of one case: CPU time per event in microseconds, one figure per repeat."""

    case: str
    per_read: int
    cpu_us: list[float] = attrs.field(factory=list)

    @property
    def median_cpu_us(self) -> float:
        return median(self.cpu_us)


Results = dict[tuple[str, int], Result]


def measure(cases: list[Case], deliveries: int, repeats: int) -> Results:
    """Measure all cases in turn, `repeats` times."""
    results = {(case.name, n): Result(case.name, n) for case in cases for n in _PER_READ}
    for _ in range(repeats):
        for case in cases:
            events = max(100, deliveries // case.readers)
            for per_read in _PER_READ:
                seconds = trio.run(case.run, CHAT.writes(events, per_read), events)
                results[case.name, per_read].cpu_us.append(seconds / events * 1e6)
    return results


def hops_table(results: Results) -> str:
    """Return a table with one row for each way to reach the reader."""
    rows = [["µs of CPU per event", *(f"{n} a read" for n in _PER_READ)]]
    for case in HOPS:
        rows.append([case.name, *(f"{results[case.name, n].median_cpu_us:.1f}" for n in _PER_READ)])
    return table(rows)


def fan_out_table(results: Results) -> str:
    """Return a table with the cost of an event for each number of subscribers, and what each subscriber adds."""
    rows = [["subscribers", *(head for n in _PER_READ for head in (f"{n} a read", "each adds"))]]
    alone = [results[ALONE.name, n].median_cpu_us for n in _PER_READ]
    rows.append(["none", *(text for cost in alone for text in (f"{cost:.1f}", ""))])
    for case in FAN_OUT:
        row = [case.name]
        for n, without in zip(_PER_READ, alone, strict=True):
            cost = results[case.name, n].median_cpu_us
            row += [f"{cost:.1f}", f"{(cost - without) / case.readers:.1f}"]
        rows.append(row)
    return table(rows)


def main() -> int:
    """Run the command."""
    args = parser(__doc__, _REPEATS).parse_args()
    repeats = args.repeats or (1 if args.quick else _REPEATS)
    deliveries = _QUICK_DELIVERIES if args.quick else _DELIVERIES
    pin(cores()[0])
    measure([ALONE], deliveries, 1)  # warm up
    results = measure([*HOPS, *FAN_OUT], deliveries, repeats)
    tables = {
        "hops": Table("Ways to a reader, µs of CPU per event", hops_table(results)),
        "subscribers": Table("With subscribers, µs of CPU per event, and what each adds", fan_out_table(results)),
    }
    entries = [{**attrs.asdict(r), "median_cpu_us": r.median_cpu_us} for r in results.values()]
    publish(f"CPU time per event of a stream from memory; medians of {repeats}", tables, entries, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
