"""The table "The life of a stream" in docs/design.md has the states of the lifecycle, and where each can lead."""

from __future__ import annotations

import re
from pathlib import Path

from trio_openai._wire.lifecycle import _NEXT_STATE, State

PAGE = Path(__file__).parents[2] / "docs" / "design.md"


def test_documented_states_are_those_of_the_lifecycle() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## The life of a stream")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z]+)` \| [^|]+ \|([^|]*)\|$", section, re.MULTILINE)
    documented = {state: set(re.findall(r"`([A-Z]+)`", successors)) for state, successors in rows}
    assert documented == {
        state.name: {successor.name for successor in _NEXT_STATE[state].values()} - {state.name} for state in State
    }
