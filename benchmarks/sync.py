"""CPU time per event of a program without an event loop: this library's `SyncOpenAI`, openai's, and `TrioOpenAI`.

    python benchmarks/sync.py [--quick] [--json FILE] [--repeats N]

As `benchmarks/stream.py`. The time is that of all threads of the process.
"""

from __future__ import annotations

import sys

from _contenders import LIBRARY, OPENAI_BLOCKING, SYNC
from _plan import Plan
from _report import Table, comparison, entries, failures, parser, publish
from _runner import available, run

_PLANS = [
    Plan(1, 5000, 1, "lockstep"),
    Plan(1, 5000, 20, "lockstep"),
    Plan(1, 5000, 20, "free"),
    Plan(20, 500, 1, "lockstep"),
    Plan(20, 500, 20, "free"),
]
_QUICK = [Plan(10, 100, 20, "free")]
_REPEATS = 3


def main() -> int:
    """The command; its status is 1 if a contender failed."""
    args = parser(__doc__, _REPEATS).parse_args()
    repeats = args.repeats or (1 if args.quick else _REPEATS)
    results = run(available([LIBRARY, SYNC, OPENAI_BLOCKING]), _QUICK if args.quick else _PLANS, repeats)
    title = f"CPU time of the client process per event, all threads; medians of {repeats}"
    table = Table("µs of CPU per event", comparison(results))
    publish(title, {"events": table}, entries(results), args.json)
    failed = failures(results)
    if failed:
        print(f"\n{failed}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
