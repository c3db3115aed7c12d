"""The README and the site's home page: short examples, links that lead somewhere, and a picture of the present demo."""

from __future__ import annotations

import html
import re
import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
HOME = ROOT / "docs" / "index.md"
EMBED = runpy.run_path(str(ROOT / "docs" / "embed.py"))
LINK = re.compile(r"\]\(([^)\s]+)\)")


def code_of(page: Path, name: str, part: str | None = None) -> str:
    (found,) = (mark[4] for mark in EMBED["MARK"].finditer(page.read_text()) if (mark[1], mark[2]) == (name, part))
    return found


@pytest.mark.parametrize("page", [README, HOME], ids=lambda page: page.name)
def test_first_example_has_at_most_twelve_lines(page: Path) -> None:
    code = code_of(page, "docs/examples/hello.py")
    assert len(code.splitlines()) <= 12
    assert code.splitlines()[-1] == "trio.run(main)"


@pytest.mark.parametrize("promise", ["time", "break", "many"])
def test_each_promise_is_shown_in_five_lines(promise: str) -> None:
    assert len(code_of(README, "docs/examples/promises.py", promise).splitlines()) == 5


def test_a_part_of_an_example_stands_without_its_indentation() -> None:
    text = EMBED["text_of"]("docs/examples/promises.py", "time")
    assert text.startswith("story = ")
    assert text.endswith("\n")
    with pytest.raises(ValueError, match="has no part nothing"):
        EMBED["text_of"]("docs/examples/promises.py", "nothing")


# --------------------------------------------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", [README, HOME, ROOT / "docs" / "comparison.md"], ids=lambda page: page.name)
def test_relative_links_lead_to_files_and_anchors(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert len(links) > 5
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_links_of_the_readme_on_pypi_are_absolute() -> None:
    """Check what the build makes of the links: PyPI shows the README without the files next to it."""
    hook = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"]
    shown = README.read_text()
    for substitution in hook["fancy-pypi-readme"]["substitutions"]:
        shown = re.sub(substitution["pattern"], substitution["replacement"], shown)
    links = LINK.findall(shown)
    assert len(links) == len(LINK.findall(README.read_text()))
    assert [link for link in links if not link.startswith("https://")] == []
    assert "https://raw.githubusercontent.com/trio-openai/trio-openai/main/docs/demo.svg" in links
    assert "https://github.com/trio-openai/trio-openai/blob/main/docs/quickstart.md" in links


# --------------------------------------------------------------------------------------------------------- the picture


def left_sides(svg: str) -> list[str]:
    """Return the parts of the picture that are the same in every run: the beginnings of lines, without numbers."""
    lines = re.findall(r'<text class="[\w-]+" x="0"[^>]*>([^<]+)</text>', svg)
    texts = (html.unescape(line).replace("\xa0", " ") for line in lines)
    return [re.sub(r"\d+(\.\d+)?", "N", text)[:30].rstrip() for text in texts]


def test_picture_of_the_demo_is_current() -> None:
    """Compare the picture with a new one. If this fails, run `python docs/picture.py`."""
    picture = runpy.run_path(str(ROOT / "docs" / "picture.py"))
    committed = picture["PICTURE"].read_text()
    assert left_sides(picture["draw"]()) == left_sides(committed)
    assert len(left_sides(committed)) >= 25
    assert len(committed.encode()) < 60_000
    assert "http" not in committed.replace("http://www.w3.org/2000/svg", "").replace("http://127.0.0.1", "")
