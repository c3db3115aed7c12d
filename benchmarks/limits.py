"""A simulation of AdaptiveLimiter against servers with hidden limits and faults: `python benchmarks/limits.py`.

Everything runs in virtual time, so the figures are the same on every machine. They are shown in `docs/rate-limits.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/helpers"))

from hidden_limits import Concurrency, FixedMinutes, HiddenLimit, NoLimit, TokenBucket, at_random, outages
from window_simulation import LENGTHS, SECONDS, Simulation

LIMITS: dict[str, Callable[[], HiddenLimit]] = {
    "5 at a time": lambda: Concurrency(5),
    "50 at a time": lambda: Concurrency(50),
    "600 a minute, bursts of 10, with retry-after": lambda: TokenBucket(600, 10, told="retry-after"),
    "600 a minute, bursts of 60": lambda: TokenBucket(600, 60, told=""),
    "600 in each minute, with retry-after": lambda: FixedMinutes(600, told="retry-after"),
    "60 a minute, strictly spaced": lambda: TokenBucket(60, 1, told=""),
    "600 a minute, strictly spaced": lambda: TokenBucket(600, 1, told=""),
    "3000 a minute, strictly spaced": lambda: TokenBucket(3000, 1, told=""),
}
FAULTS: dict[str, Callable[[], NoLimit]] = {
    "0.5 % refused at random": lambda: at_random(0.005, 1),
    "1 % refused at random": lambda: at_random(0.01, 1),
    "2 % refused at random": lambda: at_random(0.02, 1),
    "3 % refused at random": lambda: at_random(0.03, 1),
    "half a second of outage every 9 s": lambda: outages(*((at, at + 0.5) for at in range(8, 200, 9))),
}


def main() -> None:
    """Print both tables."""
    print("a hidden limit, from the second minute on: used, refused\n")
    for name, make in LIMITS.items():
        cells = []
        for length, seconds in LENGTHS.items():
            simulation = Simulation(make(), seconds, workers=300, seed=1)
            simulation.run(360.0)
            used, refused = simulation.score(60.0, 360.0, SECONDS[length])
            cells.append(f"{length} {used:4.0%} {refused:5.1%}")
        print(f"{name:46}", "   ".join(cells))
    print("\nno limit, 60 requests at a time, half a second each: answers a second\n")
    print(f"{'nothing refused':46}", f"{answers_a_second(NoLimit()):.0f}")
    for name, fault in FAULTS.items():
        print(f"{name:46}", f"{answers_a_second(fault()):.0f}")


def answers_a_second(hidden: NoLimit) -> float:
    """Return the responses per second, after the first half minute."""
    simulation = Simulation(hidden, lambda _: 0.48, workers=60, seed=1)
    simulation.run(180.0)
    return simulation.throughput(30.0, 180.0)


if __name__ == "__main__":
    main()
