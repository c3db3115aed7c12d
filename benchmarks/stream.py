"""CPU time per event of a streaming client: this library, its peers, and a bare socket.

    python benchmarks/stream.py [--api chat|responses] [--quick] [--json FILE] [--only NAME] [--repeats N] [--streams N]
                                [--pace PACE] [--h11] [--asyncio]

`benchmarks/README.md` explains what is measured and how.
"""

from __future__ import annotations

import argparse
import sys

from _contenders import ASYNCIO, CONTENDERS, H11
from _machine import raise_file_limit
from _plan import Plan
from _report import Table, comparison, parser, publish_comparison
from _runner import available, run
from _wire import WIRES

_STREAMS = (1, 100, 1000)
_WRITES = {  # events per write, and the pace
    "chat": ((1, "lockstep"), (1, "free"), (20, "free")),
    "responses": ((1, "lockstep"), (20, "free")),
}
_REPEATS = 3


def events_each(streams: int, pace: str) -> int:
    """Return the number of events of each stream: 10,000 divided by the streams, so that a run takes minutes.

    At full speed each stream has at least 50 events. With 10, which would be one read, the figure would mostly show the
    cost of ending a stream.
    """
    return max(50 if pace == "free" else 10, 10_000 // streams)


def plans(api: str, streams: list[int], pace: str | None) -> list[Plan]:
    """Return all combinations, in the order of the table."""
    chosen = [(per_write, p) for per_write, p in _WRITES[api] if pace in (None, p)]
    return [Plan(n, events_each(n, p), per_write, p, api) for per_write, p in chosen for n in streams]


def quick(api: str) -> list[Plan]:
    """Return a small plan that proves that the benchmark runs."""
    return [Plan(1, 100, 1, "lockstep", api) if api == "chat" else Plan(100, 5, 5, "free", api)]


def contenders(only: list[str], extra: set[str]) -> list[str]:
    """Return the contenders to measure.

    Args:
        only: parts of the names of the wanted contenders; empty for all.
        extra: optional contenders to include.
    """
    left_out = {H11, ASYNCIO} - extra
    names = [name for name, contender in CONTENDERS.items() if contender.loop and name not in left_out]
    chosen = [name for name in names if not only or any(part.lower() in name.lower() for part in only)]
    if not chosen:
        raise SystemExit(f"--only matches no contender; choose from: {', '.join(names)}")
    return available(chosen)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    options = parser(__doc__, _REPEATS)
    options.add_argument("--api", choices=list(WIRES), default="chat", help="the API to stream (chat)")
    options.add_argument("--only", action="append", default=[], metavar="NAME", help="a part of a contender's name")
    options.add_argument("--streams", type=int, action="append", metavar="N", help="streams at a time (1, 100, 1000)")
    options.add_argument("--pace", choices=("lockstep", "free"), help="measure only this pace of the server")
    options.add_argument("--h11", action="store_true", help="also measure this library with h11 as its HTTP parser")
    options.add_argument("--asyncio", action="store_true", help="also measure AsyncOpenAI on asyncio")
    return options.parse_args(argv)


def main() -> int:
    """Run the command. Return 1 if a contender failed."""
    args = arguments()
    raise_file_limit()
    chosen = quick(args.api) if args.quick else plans(args.api, args.streams or list(_STREAMS), args.pace)
    repeats = args.repeats or (1 if args.quick else _REPEATS)
    extra = ((H11, args.h11), (ASYNCIO, args.asyncio))
    results = run(contenders(args.only, {name for name, wanted in extra if wanted}), chosen, repeats)
    table = Table("µs of CPU per event", comparison(results))
    title = f"CPU time of the client process per event; medians of {repeats} (of 2 at the most for openai)"
    return publish_comparison(title, {"events": table}, results, args.json)


if __name__ == "__main__":
    sys.exit(main())
