"""The table "The path of a byte" in docs/design.md names the functions that are called, in the order of the calls."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
import trio
from net_helpers import CHAT, serve

import trio_openai
from trio_openai.testing import Reply

DESIGN = Path(__file__).parents[2] / "docs" / "design.md"
PACKAGE = Path(trio_openai.__file__).parent
ROW = re.compile(r"^\| \d+ \| `([\w/]+\.py)`: `(?:\w+\.)?(\w+)`", re.MULTILINE)


def documented_path() -> list[tuple[str, str]]:
    """Return the file and function of each row of the table."""
    section = DESIGN.read_text(encoding="utf-8").partition("## The path of a byte")[2].partition("\n## ")[0]
    return ROW.findall(section)


def place_of(code: CodeType) -> tuple[str, str] | None:
    """Return the file below the package and the function, or None for other code."""
    path = Path(code.co_filename)
    return (path.relative_to(PACKAGE).as_posix(), code.co_name) if path.is_relative_to(PACKAGE) else None


@pytest.mark.skipif(sys.platform == "win32", reason="sockets are read in another way there")
async def test_documented_path_of_a_byte_is_the_order_of_calls(nursery: trio.Nursery) -> None:
    calls: list[tuple[str, str]] = []

    def record(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (place := place_of(frame.f_code)) is not None:
            calls.append(place)

    server = await serve(nursery, Reply.chat("a b c d e f g h i j", pace=0.02), memory=False)
    async with server.client() as client, client.chat.completions.stream(**CHAT) as stream:
        await anext(stream)
        before = sys.getprofile()
        sys.setprofile(record)
        try:
            await stream.until_done()
        finally:
            sys.setprofile(before)
    remaining = iter(calls)
    missing = [step for step in documented_path() if step not in remaining]
    assert len(documented_path()) > 5
    assert not missing
