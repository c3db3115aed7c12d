"""CPU time of a socket read that has to wait: trio's `receive_some`, and both readers of this library.

    python benchmarks/reads.py [--quick] [--json FILE] [--repeats N]

It uses socket pairs in one process. Every reader sleeps before a piece is written to its socket, as it does between a
model's tokens. The clock runs from the last write of a round until all readers have read.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

import trio
import trio.testing
from _machine import cores, pin
from _report import Table, parser, publish, table

from trio_openai._http.byte_streams import reader_of
from trio_openai._http.shared_epoll import SharedReader

_PIECE = b"x" * 330
_READ_SIZE = 64 * 1024
_STREAMS = (1, 100, 1000)
_READS, _QUICK_READS = 5000, 200
_REPEATS = 7

Read = Callable[[], Awaitable[object]]


def _trios(stream: trio.SocketStream) -> Read:
    return lambda: stream.receive_some(_READ_SIZE)


def _shared(stream: trio.SocketStream) -> Read:
    return SharedReader(stream.socket).read


_KINDS: dict[str, Callable[[trio.SocketStream], Read]] = {
    "SocketStream.receive_some": _trios,
    "wait_readable, then os.read": reader_of,
    "one epoll descriptor for all": _shared,
}


class _Readers:
    """The tasks that read, one for each socket."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self, read: Read, rounds: int) -> None:
        for _ in range(rounds):
            await read()
            self.count += 1


async def cpu_us(kind: str, streams: int, reads: int) -> float:
    """Return the CPU time per read in microseconds."""
    rounds, seconds, readers = max(1, reads // streams), 0.0, _Readers()
    pairs = [socket.socketpair() for _ in range(streams)]
    ends = [trio.SocketStream(trio.socket.from_stdlib_socket(end)) for _, end in pairs]
    async with trio.open_nursery() as nursery:
        for end in ends:
            nursery.start_soon(readers.run, _KINDS[kind](end), rounds)
        for number in range(1, rounds + 1):
            await trio.testing.wait_all_tasks_blocked()
            for ours, _ in pairs:
                ours.send(_PIECE)
            began = time.process_time()
            while readers.count < number * streams:
                await trio.lowlevel.checkpoint()
            seconds += time.process_time() - began
    for (ours, _), end in zip(pairs, ends, strict=True):
        ours.close()
        await end.aclose()
    return seconds / (rounds * streams) * 1e6


def main() -> int:
    """Run the command."""
    args = parser(__doc__, _REPEATS).parse_args()
    pin(cores()[0])
    reads, repeats = (_QUICK_READS, 1) if args.quick else (_READS, _REPEATS)
    figures: dict[tuple[str, int], list[float]] = {(kind, n): [] for n in _STREAMS for kind in _KINDS}
    for _ in range(args.repeats or repeats):
        for (kind, streams), values in figures.items():
            values.append(trio.run(cpu_us, kind, streams, reads))
    rows = [["", *(f"{n} stream{'s' * (n > 1)}" for n in _STREAMS)]]
    rows += [[kind, *(f"{median(figures[kind, n]):.1f}" for n in _STREAMS)] for kind in _KINDS]
    results = [{"reader": kind, "streams": n, "cpu_us": values} for (kind, n), values in figures.items()]
    tables = {"reads": Table("µs of CPU per read of one piece, the next pass of trio's run loop included", table(rows))}
    publish("Reading a socket", tables, results, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
