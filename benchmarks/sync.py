"""CPU time per event of a program without an event loop: `SyncOpenAI`, `openai.OpenAI`, and `TrioOpenAI`.

    python benchmarks/sync.py [--quick] [--json FILE] [--repeats N]

It works like `benchmarks/stream.py`. The CPU time includes all threads of the process.
"""

from __future__ import annotations

import sys

from _contenders import LIBRARY, OPENAI_BLOCKING, SYNC
from _plan import Plan
from _report import Table, comparison, parser, publish_comparison
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
    """Run the command. Return 1 if a contender failed."""
    args = parser(__doc__, _REPEATS).parse_args()
    repeats = args.repeats or (1 if args.quick else _REPEATS)
    results = run(available([LIBRARY, SYNC, OPENAI_BLOCKING]), _QUICK if args.quick else _PLANS, repeats)
    title = f"CPU time of the client process per event, all threads; medians of {repeats}"
    table = Table("µs of CPU per event", comparison(results))
    return publish_comparison(title, {"events": table}, results, args.json)


if __name__ == "__main__":
    sys.exit(main())
