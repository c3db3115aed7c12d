"""CPU time per event of a client that streams chat completions: this library, its peers, and what a bare socket costs.

    python benchmarks/stream.py [--quick] [--json FILE] [--only NAME] [--repeats N] [--streams N] [--pace PACE] [--h11]

`benchmarks/README.md` says what is measured and how.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from _contenders import CONTENDERS, H11
from _machine import raise_file_limit
from _plan import PACES, Plan
from _report import comparison, failures, header, write_json
from _runner import available, run

_STREAMS = (1, 100, 1000)
_WRITES = ((1, "free"), (20, "free"), (1, "lockstep"))  # events a write, and the pace
_QUICK = [Plan(1, 200, 1, "lockstep"), Plan(50, 40, 20, "free")]


def events_each(streams: int) -> int:
    """Events of each stream: about 20,000 in all, so that a run stays within minutes."""
    return min(5000, max(20, 20_000 // streams))


def plans(streams: list[int], pace: str | None) -> list[Plan]:
    """All combinations, in the order of the table."""
    chosen = [(per_write, p) for per_write, p in _WRITES if pace in (None, p)]
    return [Plan(n, events_each(n), per_write, p) for per_write, p in chosen for n in streams]


def contenders(only: list[str], *, h11: bool) -> list[str]:
    """The contenders to measure. `only` are parts of their names."""
    names = [name for name, contender in CONTENDERS.items() if contender.loop and (h11 or name != H11)]
    chosen = [name for name in names if not only or any(part.lower() in name.lower() for part in only)]
    if not chosen:
        raise SystemExit(f"--only: nothing is named so; there are {', '.join(names)}")
    return available(chosen)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs, in some seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a part of a contender's name")
    parser.add_argument(
        "--repeats", type=int, default=None, metavar="N", help="measurements of each (3; 1 with --quick)"
    )
    parser.add_argument("--streams", type=int, action="append", metavar="N", help="streams at a time (1, 100, 1000)")
    parser.add_argument("--pace", choices=PACES, help="only this pace of the server")
    parser.add_argument("--h11", action="store_true", help="also this library with h11 for its HTTP parser")
    return parser.parse_args(argv)


def main() -> int:
    """The command; its status is 1 if a contender failed."""
    args = arguments()
    raise_file_limit()
    chosen = _QUICK if args.quick else plans(args.streams or list(_STREAMS), args.pace)
    repeats = args.repeats or (1 if args.quick else 3)
    results = run(contenders(args.only, h11=args.h11), chosen, repeats)
    print(f"CPU time of the client process per event; medians of {repeats}\n{header()}\n\n{comparison(results)}")
    if args.json:
        write_json(args.json, results)
    failed = failures(results)
    if failed:
        print(f"\n{failed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
