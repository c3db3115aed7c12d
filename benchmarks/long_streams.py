"""Long streams, large streams and large events: check that the cost stays linear, and measure the snapshot's share.

    python benchmarks/long_streams.py [--quick] [--json FILE] [--repeats N]

Everything runs in one process. The bytes come from memory, one piece per read.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import attrs
import orjson
import trio
from _canned import client_of
from _contenders import CHAT_REQUEST
from _machine import cores, pin
from _report import Table, parser, publish, table
from _wire import CHAT, WIRES, chunked

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.responses.protocol import ResponseProtocol

_MIB = 1024 * 1024
_READ_SIZE = 64 * 1024
_EVENT_SIZE = 16 * 1024  # bytes of text per event of a large stream
_PIECE_SIZE = 1024  # bytes per read of a large event
_PROTOCOLS: dict[str, Callable[[], Any]] = {"chat": ChatProtocol, "responses": ResponseProtocol}
_REPEATS = 3


def many_events(per_read: int) -> Callable[[int], list[bytes]]:
    """Return a function that makes the pieces of a stream with a given number of events."""
    return lambda count: CHAT.writes(count, per_read)


def many_bytes(count: int) -> list[bytes]:
    """Return the pieces of a stream with `count` bytes of text, in events of 16 KiB."""
    event = chunked(CHAT.event(0, "x" * _EVENT_SIZE))
    data = event * (count // _EVENT_SIZE)
    return [data[i : i + _READ_SIZE] for i in range(0, len(data), _READ_SIZE)]


def one_event(count: int) -> list[bytes]:
    """Return one event with `count` bytes of text, in pieces of 1 KiB, each its own chunk."""
    event = CHAT.event(0, "x" * count)
    return [chunked(event[i : i + _PIECE_SIZE]) for i in range(0, len(event), _PIECE_SIZE)]


@attrs.frozen
class Case:
    """One row of the table, which compares a small and a large stream of the same kind.

    Attributes:
        pieces: makes the pieces of a stream of the given size.
        sizes: the sizes of the small and the large stream.
        unit: the name of the unit that costs are given per, and its size.
    """

    name: str
    pieces: Callable[[int], list[bytes]]
    sizes: tuple[int, int]
    unit: tuple[str, int]


_EVENT, _MEBIBYTE = ("event", 1), ("MiB", _MIB)
CASES = [
    Case("events, 1 a read", many_events(1), (10_000, 100_000), _EVENT),
    Case("events, 20 a read", many_events(20), (10_000, 100_000), _EVENT),
    Case("MiB in events of 16 KiB", many_bytes, (8 * _MIB, 64 * _MIB), _MEBIBYTE),
    Case("MiB in one event, 1 KiB a read", one_event, (1 * _MIB, 8 * _MIB), _MEBIBYTE),
]
_DISTINCT = 100  # different events to add
_QUICK_DIVISOR = 100


async def cpu_seconds(pieces: list[bytes]) -> float:
    """Return the CPU seconds to read a stream to its end and to build the final completion."""
    gate = trio.Event()
    async with client_of(pieces, gate) as client, client.chat.completions.stream(**CHAT_REQUEST) as stream:
        gc.collect()
        gate.set()
        began = time.process_time()
        completion = await stream.get_final_completion()
        seconds = time.process_time() - began
    assert completion.choices[0].message.content
    return seconds


def measure(case: Case, repeats: int, divisor: int) -> dict[str, Any]:
    """Measure the CPU time per unit in microseconds, for the small and the large stream."""
    costs: list[list[float]] = [[], []]
    sizes = [size // divisor for size in case.sizes]
    for size, values in zip(sizes, costs, strict=True):
        pieces = case.pieces(size)
        for _ in range(repeats):
            values.append(trio.run(cpu_seconds, pieces) * 1e6 / (size / case.unit[1]))
    return {"case": case.name, "sizes": sizes, "unit": case.unit[0], "cpu_us": costs}


def linear_table(results: list[dict[str, Any]]) -> str:
    """Return a table with a row for each case."""
    rows = [["", "sizes", "µs of CPU per event or MiB", "large / small"]]
    units = dict(case.unit for case in CASES)
    for result in results:
        small, large = (median(values) for values in result["cpu_us"])
        sizes = " → ".join(f"{round(size / units[result['unit']], 2):,g}" for size in result["sizes"])
        costs = f"{small:,.1f} → {large:,.1f}"
        rows.append([result["case"], sizes, costs, f"{large / small:.2f}"])
    return table(rows)


def adding_us(api: str, together: int, count: int) -> float:
    """Return the CPU time in microseconds to add one event to the snapshot, with `together` events per read.

    A few events are added again and again, so that they stay in the processor's cache. In a real stream an event is in
    the cache too, since it is added right after it was made.
    """
    make, wire = _PROTOCOLS[api], WIRES[api]
    protocol, source = make(), make()
    for block in wire.opening:
        protocol.add([source.event(_raw(block), "")])
    events = [source.event(_raw(block), "") for block in (wire.event(i, " river") for i in range(_DISTINCT))]
    parts = [events[i : i + together] for i in range(0, _DISTINCT, together)]
    began = time.process_time()
    for _ in range(count // _DISTINCT):
        for part in parts:
            protocol.add(part)
    return (time.process_time() - began) / count * 1e6


def _raw(block: bytes) -> Any:
    return orjson.loads(block[block.find(b"{") :])


def adding(repeats: int, count: int) -> list[dict[str, Any]]:
    """Measure both APIs, with events added one by one and 20 at a time."""
    cases = [(api, together) for api in WIRES for together in (1, 20)]
    return [
        {"api": api, "together": n, "cpu_us": [adding_us(api, n, count) for _ in range(repeats)]} for api, n in cases
    ]


def main() -> int:
    """Run the command."""
    args = parser(__doc__, _REPEATS).parse_args()
    pin(cores()[0])
    repeats = args.repeats or (1 if args.quick else _REPEATS)
    divisor = _QUICK_DIVISOR if args.quick else 1
    results = [measure(case, repeats, divisor) for case in CASES]
    sums = adding(repeats, 100_000 // divisor)
    rows = [["", "µs of CPU per event"]]
    rows += [[f"{s['api']}, {s['together']} at once", f"{median(s['cpu_us']):.2f}"] for s in sums]
    tables = {
        "linear": Table("Small and large, with the whole completion at the end", linear_table(results)),
        "adding": Table("Of which: to add an event to the snapshot", table(rows)),
    }
    publish(f"Long streams; medians of {repeats}", tables, [*results, *sums], args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
