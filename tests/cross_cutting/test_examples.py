"""The documentation: run its examples, which must print exactly what the page shows.

An example is `docs/examples/NAME.py`. Its output against the scripted server is `NAME.out` next to it. The examples
in `docs/examples/openai_python` are the programs of the porting guide that use `openai`. They must print the same as
ours of the same name. They are skipped if that package is not installed.
"""

from __future__ import annotations

import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from example_scripts import SCRIPTS

from trio_openai.local import LocalServer

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
APPS = {EXAMPLES / "sse_quart.py"}
"""Programs that run until they are stopped. Each has tests of its own."""
OURS = sorted(set(EXAMPLES.glob("*.py")) - APPS)
OPENAI = sorted((EXAMPLES / "openai_python").glob("*.py"))
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
EMBED = runpy.run_path(str(ROOT / "docs" / "embed.py"))
"""What copies the examples into the pages."""
RUN = runpy.run_path(str(ROOT / "docs" / "run.py"))
"""What runs an example for a reader."""
QUICKSTART = [Path(name).stem for name in EMBED["shown_on"]((ROOT / "docs" / "quickstart.md").read_text())]


def name_of(path: Path) -> str:
    return path.stem


# ---------------------------------------------------------------------------------------------------------- the tests


async def run(example: Path, base_url: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Run an example in a separate process."""
    env = RUN["environment"](base_url)
    command = [sys.executable, *options, str(example)]
    with trio.fail_after(300):  # a model on a busy machine is slow
        return await trio.run_process(command, env=env, capture_stdout=True, capture_stderr=True, check=False)


async def run_scripted(example: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    server = RUN["server_for"](example.stem)
    async with trio.open_nursery() as nursery:
        await server.start(nursery)
        done = await run(example, server.base_url, *options)
        nursery.cancel_scope.cancel()
    return done


def output(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what a program printed. Check that it succeeded and wrote nothing to stderr."""
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


@pytest.mark.parametrize("example", OURS, ids=name_of)
async def test_example_prints_what_its_page_shows(example: Path) -> None:
    assert output(await run_scripted(example, "-W", "error")) == example.with_suffix(".out").read_text()


async def test_a_reader_can_run_an_example_by_its_name() -> None:
    command = [sys.executable, str(ROOT / "docs" / "run.py"), "first_stream"]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    assert output(done) == (EXAMPLES / "first_stream.out").read_text()


async def test_the_tests_on_the_page_about_testing_pass() -> None:
    command = [sys.executable, "-m", "pytest", "-q", str(EXAMPLES / "testing")]
    done = await trio.run_process(command, cwd=ROOT, capture_stdout=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="openai is not installed")
@pytest.mark.parametrize("example", OPENAI, ids=name_of)
async def test_openai_example_prints_the_same(example: Path) -> None:
    assert output(await run_scripted(example)) == (EXAMPLES / f"{example.stem}.out").read_text()


def test_every_example_is_on_a_page() -> None:
    shown = {name for page in PAGES for name in EMBED["shown_on"](page.read_text())}
    files = {str(path.relative_to(ROOT)) for pattern in ("*.py", "*.out") for path in EXAMPLES.rglob(pattern)}
    assert shown == files


def test_pages_show_the_examples_as_they_are() -> None:
    """Compare the pages with the files. If this fails, run `python docs/embed.py`."""
    assert list(EMBED["out_of_date"]()) == []


def test_code_on_a_page_is_at_most_78_columns_wide() -> None:
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"^```\w*\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    assert [line for block in blocks for line in block.splitlines() if len(line) > 78] == []


def test_every_server_script_belongs_to_an_example() -> None:
    assert set(SCRIPTS) <= {example.stem for example in OURS}


def test_python_code_on_the_first_pages_is_part_of_an_example() -> None:
    for page in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        marked = [mark[0] for mark in EMBED["MARK"].finditer(page.read_text())]
        assert len(re.findall("```python", page.read_text())) == sum("```python" in fence for fence in marked)


def test_every_page_is_in_the_menu() -> None:
    menu = set(re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    docs = ROOT / "docs"
    assert menu == {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}


# ------------------------------------------------------------------------------------------------- with a real model

FROM_A_MODEL = {
    "first_stream": r".+\n\[done by \[DONE\] \((stop|length)\)\]\n",
    "events": r"""(('.*'|".*") None\n|None None\n)+.*(stop|length)\n('.+'|".+")\n\d+ tokens\n""",
    "whole_answer": r".+\n\d+ tokens\n",
    "deadline": r"(The time is up. This much arrived:\n.+\n\[closed\]|.+\n\[done by \[DONE\] \(\w+\)\])\n",
    "early_break": r".*\..*\n\[(closed|done by \[DONE\] \(\w+\))\]\n",
    "partial_work": r".+\n",
    "deadlines": r".+",
    "many_streams": r"What is a nursery\? .+What is a cancel scope\? .+What is a checkpoint\? .+",
}
"""What the quickstart's examples print, whatever the model says: regular expressions for the whole."""


def test_every_example_of_the_quickstart_is_run_with_a_model() -> None:
    assert set(QUICKSTART) <= set(FROM_A_MODEL)


@pytest.mark.local_model
async def test_quickstart_with_a_model_on_this_machine() -> None:
    async with LocalServer(parallel=3) as server:
        for name, expected in FROM_A_MODEL.items():
            printed = output(await run(EXAMPLES / f"{name}.py", server.base_url, "-W", "error"))
            assert re.fullmatch(expected, printed, re.DOTALL), (name, printed)
