"""The files that serve the repository agree with the code and with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import trio_openai
from trio_openai import TrioOpenAI
from trio_openai._endpoints._endpoint import Endpoint
from trio_openai.sync import SyncOpenAI

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
in_a_checkout = pytest.mark.skipif(not WORKFLOWS, reason="the sdist has no workflows")


def test_citation_has_the_version_of_the_package() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {trio_openai.__version__}\n" in citation
    assert PROJECT["description"] in citation
    assert PROJECT["urls"]["Source"] in citation


def test_files_that_the_guide_names_exist() -> None:
    named = re.findall(r"`([\w./]+/(?:[\w.]+)?|[\w./]+\.(?:py|md|yml|cff))`", GUIDE)
    assert len(named) > 30
    folders = [ROOT, ROOT / "trio_openai", ROOT / "trio_openai/types", ROOT / "benchmarks", ROOT / ".github/workflows"]
    missing = {name for name in named if not any((folder / name).exists() for folder in folders)}
    assert missing <= {"docs/examples/NAME.py"} or not WORKFLOWS


def test_folder_tree_of_the_guide_has_every_part_of_the_package() -> None:
    package = ROOT / "trio_openai"
    parts = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    parts |= {path.name for path in package.glob("[a-z]*.py")}
    tree = GUIDE.split("```text\n")[1].split("```")[0]
    assert {part for part in parts if not re.search(rf"(?<!\w){re.escape(part)}", tree)} == set()


def test_links_of_the_guides_lead_to_files() -> None:
    for name in ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"):
        for link in re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text("utf-8")):
            assert link.startswith("https://") or (ROOT / link).exists(), link


@in_a_checkout
def test_every_supported_python_is_tested() -> None:
    classified = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)}
    ci = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    nox = (ROOT / "noxfile.py").read_text("utf-8")
    assert PROJECT["requires-python"] == f">={min(classified)}"
    for version in classified:
        assert f'"{version}"' in ci
        assert f'"{version}"' in nox


@in_a_checkout
def test_every_action_is_pinned_by_its_hash() -> None:
    for path in WORKFLOWS:
        text = path.read_text("utf-8")
        assert "\npermissions: {}\n" in text
        for action in re.findall(r"uses: (.*)", text):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


def test_both_clients_have_the_same_endpoints() -> None:
    clients = TrioOpenAI(api_key="k"), SyncOpenAI(api_key="k")
    theirs = [
        {name for name in dir(client) if name[0] != "_" and isinstance(getattr(client, name), Endpoint)}
        for client in clients
    ]
    assert len(theirs[0]) > 8
    assert theirs[0] == theirs[1]
