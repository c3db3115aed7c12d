"""Links of the pages to tests, such as those of the page about security: every test that a page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r'(?:blob/main/|\()(tests/[\w/]+\.py)(?: "(\w+)")?')


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_a_page_links_to_exist(page: Path) -> None:
    for file, name in LINK.findall(page.read_text(encoding="utf-8")):
        wanted = f"def {name}(" if name else "def test_"
        assert wanted in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {name}"


def test_page_about_security_links_to_tests() -> None:
    assert len(LINK.findall((ROOT / "docs" / "security.md").read_text(encoding="utf-8"))) > 30
