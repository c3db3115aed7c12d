"""CPU time per event of a program without an event loop: this library's `SyncOpenAI`, openai's, and `TrioOpenAI`.

    python benchmarks/sync.py [--quick] [--repeats N]

As `benchmarks/stream.py`. The time is that of all threads of the process.
"""

from __future__ import annotations

import argparse
import sys

from _contenders import LIBRARY, OPENAI_BLOCKING, SYNC
from _plan import Plan
from _report import comparison, failures, header
from _runner import available, run

_PLANS = [
    Plan(1, 5000, 1, "lockstep"),
    Plan(1, 5000, 20, "lockstep"),
    Plan(1, 5000, 20, "free"),
    Plan(20, 500, 1, "lockstep"),
    Plan(20, 500, 20, "free"),
]
_QUICK = [Plan(1, 200, 1, "lockstep"), Plan(10, 100, 20, "free")]


def main() -> int:
    """The command; its status is 1 if a contender failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs, in some seconds")
    parser.add_argument(
        "--repeats", type=int, default=None, metavar="N", help="measurements of each (5; 1 with --quick)"
    )
    args = parser.parse_args()
    repeats = args.repeats or (1 if args.quick else 5)
    results = run(available([LIBRARY, SYNC, OPENAI_BLOCKING]), _QUICK if args.quick else _PLANS, repeats)
    print(f"CPU time of the client process per event; medians of {repeats}\n{header()}\n\n{comparison(results)}")
    failed = failures(results)
    if failed:
        print(f"\n{failed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
