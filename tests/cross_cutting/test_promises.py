"""The map from promises to tests: each promise has tests, and `pytest --promises` prints them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from promises import PROMISES, promises_of

TESTS = Path(__file__).parents[1]
MARKER = re.compile(r"\bpytest\.mark\.promise\(n=(\d+)\)")


def test_every_promise_has_tests_and_every_marker_names_a_promise() -> None:
    modules = [path for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    marked = {int(number) for path in modules for number in MARKER.findall(path.read_text())}
    assert marked == set(PROMISES)


def pytest_says(*arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False).stdout


def test_the_command_prints_each_promise_with_its_tests_and_runs_none() -> None:
    printed = pytest_says("--promises", "tests/stream/test_scheduling.py", "tests/stream/test_fanout.py")
    for number, text in PROMISES.items():
        assert f"\n{number}. {text}\n" in printed
    assert re.search(r"^    tests/stream/test_scheduling\.py \(\d+ cases\)$", printed, re.MULTILINE)
    assert re.search(r"^    tests/stream/test_fanout\.py::test_\w+$", printed, re.MULTILINE)
    assert "no tests ran" in printed


@pytest.mark.parametrize("mark", [pytest.mark.promise(1), pytest.mark.promise(n=9), pytest.mark.promise])
def test_a_marker_without_a_known_number_is_refused(mark: pytest.MarkDecorator) -> None:
    item: Any = SimpleNamespace(nodeid="test_it", iter_markers=lambda name: [mark.mark])
    with pytest.raises(pytest.UsageError, match=r"test_it: mark it with `pytest\.mark\.promise\(n=\.\.\.\)`"):
        promises_of(item)
