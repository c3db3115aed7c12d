"""Hidden limits of many kinds in a simulation: the window finds each limit and keeps it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hidden_limits import Concurrency, FixedMinutes, HiddenLimit, TokenBucket
from window_simulation import LENGTHS, SECONDS, Simulation

# Hidden limits in a simulation.


HIDDEN: dict[str, Callable[[], HiddenLimit]] = {
    "1 at a time": lambda: Concurrency(1),
    "5 at a time": lambda: Concurrency(5),
    "5 at a time, with retry-after": lambda: Concurrency(5, wait="1"),
    "20 at a time, with a long retry-after": lambda: Concurrency(20, wait="5"),
    "50 at a time": lambda: Concurrency(50),
    "200 at a time": lambda: Concurrency(200),
    "600 a minute, bursts of 10, with retry-after": lambda: TokenBucket(600, 10, told="retry-after"),
    "600 a minute, bursts of 60": lambda: TokenBucket(600, 60, told=""),
    "600 a minute, bursts of 600": lambda: TokenBucket(600, 600, told=""),
    "600 a minute, bursts of 600, with x-ratelimit": lambda: TokenBucket(600, 600, told="x-ratelimit"),
    "3000 a minute, bursts of 50": lambda: TokenBucket(3000, 50, told=""),
    "60 a minute, bursts of 5, with retry-after": lambda: TokenBucket(60, 5, told="retry-after"),
    "600 in each minute, with retry-after": lambda: FixedMinutes(600, told="retry-after"),
    "600 in each minute, with x-ratelimit": lambda: FixedMinutes(600, told="x-ratelimit"),
    "60 in each minute, with x-ratelimit": lambda: FixedMinutes(60, told="x-ratelimit"),
}

HARD = [
    (
        "60 a minute, bursts of 5, with retry-after",
        "wild",
    ),  # one or two at a time, or a rate limit: this cannot be told apart
]

TOO_MANY = [("50 at a time", "short"), ("200 at a time", "short")]  # attempts to simulate

CASES = [case for case in itertools.product(HIDDEN, LENGTHS) if case not in HARD + TOO_MANY]


@pytest.mark.parametrize(("hidden", "length"), CASES)
def test_hidden_limit_is_found_and_kept(hidden: str, length: str) -> None:
    """After the first minute, use four fifths of the limit, with less than two in a hundred refused."""
    simulation = Simulation(HIDDEN[hidden](), LENGTHS[length], workers=300, seed=1)
    simulation.run(360.0)
    used, refused = simulation.score(60.0, 360.0, SECONDS[length])
    assert used > 0.8
    assert refused < 0.02


@pytest.mark.parametrize(("hidden", "length"), HARD)
def test_difficult_limit_is_partly_used_and_rarely_exceeded(hidden: str, length: str) -> None:
    simulation = Simulation(HIDDEN[hidden](), LENGTHS[length], workers=300, seed=1)
    simulation.run(660.0)
    used, refused = simulation.score(60.0, 660.0, SECONDS[length])
    assert used > 0.5
    assert refused < 0.03


CHANGING: dict[str, Callable[[], HiddenLimit]] = {
    "50, 25 and again 50 at a time": lambda: Concurrency(50, {240.0: 25, 480.0: 50}),
    "600, 300 and again 600 a minute": lambda: TokenBucket(600, 10, {240.0: 300, 480.0: 600}, told="retry-after"),
    "600, 300 and again 600 in each minute": lambda: FixedMinutes(600, {240.0: 300, 480.0: 600}, told="retry-after"),
}


@pytest.mark.parametrize("length", ["even", "spread", "wild"])
@pytest.mark.parametrize("hidden", CHANGING)
def test_hidden_limit_that_halves_and_recovers_is_followed(hidden: str, length: str) -> None:
    simulation = Simulation(CHANGING[hidden](), LENGTHS[length], workers=300, seed=1)
    simulation.run(780.0)
    for since, until in ((60.0, 240.0), (300.0, 480.0), (600.0, 780.0)):
        assert simulation.score(since, until, SECONDS[length])[0] > 0.8
    assert simulation.score(60.0, 780.0, SECONDS[length])[1] < 0.02
