"""The promises of the library, and which tests hold it to each of them.

A test module or a test says which promise it is about: `pytest.mark.promise(n=1)`. `pytest -m "promise(n=1)"` runs the
tests of one promise. `pytest --promises` runs nothing, and prints the map from promises to tests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest

PROMISES = {
    1: "Nothing outlives its scope.",
    2: "User exceptions are never wrapped.",
    3: "Every failure is a library error that keeps the work.",
    4: "A truncated stream is never reported as complete.",
    5: "Events are delivered exactly as sent, once, in order.",
    6: "Backpressure reaches the server.",
    7: "Other tasks keep running.",
    8: "It is fast: work is linear, and what is idle is small. benchmarks/stream.py measures the rest.",
}


def promises_of(item: pytest.Item) -> set[int]:
    """Return the numbers of the promises that a test is marked with.

    Raises:
        pytest.UsageError: the marker has no number, or there is no such promise.
    """
    numbers = set()
    for marker in item.iter_markers("promise"):
        number = marker.kwargs.get("n")
        if marker.args or number not in PROMISES:
            known = f"1-{len(PROMISES)}"
            raise pytest.UsageError(f"{item.nodeid}: mark it with `pytest.mark.promise(n=...)`, where n is {known}")
        numbers.add(number)
    return numbers


def promise_map(items: Iterable[pytest.Item]) -> dict[int, dict[str, int]]:
    """Map each promise to its tests, each with its number of parametrized cases.

    A module that is marked as a whole is one entry, with the number of all its cases.
    """
    found: dict[int, dict[str, int]] = {number: defaultdict(int) for number in PROMISES}
    for item in items:
        module = item.getparent(pytest.Module)
        of_module = {mark.kwargs.get("n") for mark in module.own_markers if mark.name == "promise"} if module else set()
        for number in promises_of(item):
            name = module.nodeid if module and number in of_module else item.nodeid.partition("[")[0]
            found[number][name] += 1
    return found


def lines_of(found: dict[int, dict[str, int]]) -> Iterator[str]:
    """Yield the lines of the printed map."""
    for number, text in PROMISES.items():
        yield f"{number}. {text}"
        for name, cases in found[number].items():
            yield f"    {name}" + (f" ({cases} cases)" if cases > 1 else "")
