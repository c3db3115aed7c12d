"""Long streams, large ones, and large events: whether the cost stays linear, and what adding up costs.

    python benchmarks/long_streams.py [--quick] [--json FILE] [--repeats N]

One process; the bytes come from memory, a piece a read.
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
_EVENT_SIZE = 16 * 1024  # of a large stream's
_PIECE_SIZE = 1024  # of a large event
_PROTOCOLS: dict[str, Callable[[], Any]] = {"chat": ChatProtocol, "responses": ResponseProtocol}
_REPEATS = 3


def many_events(per_read: int) -> Callable[[int], list[bytes]]:
    """The pieces of a stream with so many events."""
    return lambda count: CHAT.writes(count, per_read)


def many_bytes(count: int) -> list[bytes]:
    """The pieces of a stream with so many bytes of text, in events of 16 KiB."""
    event = chunked(CHAT.event(0, "x" * _EVENT_SIZE))
    data = event * (count // _EVENT_SIZE)
    return [data[i : i + _READ_SIZE] for i in range(0, len(data), _READ_SIZE)]


def one_event(count: int) -> list[bytes]:
    """One event with so many bytes of text, in pieces of 1 KiB, each a chunk."""
    event = CHAT.event(0, "x" * count)
    return [chunked(event[i : i + _PIECE_SIZE]) for i in range(0, len(event), _PIECE_SIZE)]


@attrs.frozen
class Case:
    """One row: a small and a large stream of a kind.

    Attributes:
        pieces: makes the reads of a stream of that size.
        sizes: the small and the large one.
        unit: what the cost is given by, and how many of the size it is.
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
_DISTINCT = 100  # events
_QUICK_DIVISOR = 100


async def cpu_seconds(pieces: list[bytes]) -> float:
    """What it takes to read a stream to its end, and to look at what it adds up to."""
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
    """µs of CPU per unit, of the small and the large stream."""
    costs: list[list[float]] = [[], []]
    sizes = [size // divisor for size in case.sizes]
    for size, values in zip(sizes, costs, strict=True):
        pieces = case.pieces(size)
        for _ in range(repeats):
            values.append(trio.run(cpu_seconds, pieces) * 1e6 / (size / case.unit[1]))
    return {"case": case.name, "sizes": sizes, "unit": case.unit[0], "cpu_us": costs}


def linear_table(results: list[dict[str, Any]]) -> str:
    """A row for each case."""
    rows = [["", "sizes", "µs of CPU", "per", "large / small"]]
    units = dict(case.unit for case in CASES)
    for result in results:
        small, large = (median(values) for values in result["cpu_us"])
        sizes = " and ".join(f"{round(size / units[result['unit']], 2):,g}" for size in result["sizes"])
        costs = f"{small:,.1f} and {large:,.1f}"
        rows.append([result["case"], sizes, costs, result["unit"], f"{large / small:.2f}"])
    return table(rows)


def adding_us(api: str, together: int, count: int) -> float:
    """µs of CPU to add an event up, when so many come in one read.

    They are few and added again and again: an event is added up right after it was made, when it is in the cache.
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
    """Both APIs, one by one and 20 together."""
    cases = [(api, together) for api in WIRES for together in (1, 20)]
    return [
        {"api": api, "together": n, "cpu_us": [adding_us(api, n, count) for _ in range(repeats)]} for api, n in cases
    ]


def main() -> int:
    """The command."""
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
