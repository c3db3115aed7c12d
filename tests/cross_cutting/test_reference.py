"""The reference: it describes every public name, every method and every parameter, as the code has them."""

from __future__ import annotations

import inspect
import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import trio_openai
from trio_openai import SyncOpenAI, TrioOpenAI, types
from trio_openai._endpoints._descriptions import all_described
from trio_openai._endpoints._endpoint import Endpoint

ROOT = Path(__file__).parents[2]
PAGES = {page.stem: page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md")}
CLIENTS = {"client": TrioOpenAI(api_key="k"), "sync": SyncOpenAI(api_key="k")}


def methods(owner: Any, path: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Find the methods of a client's endpoints, and endpoints that are themselves called."""
    for name in sorted(dir(owner)):
        if name[0] == "_" or name == "with_raw_response":
            continue
        value = getattr(owner, name)
        if isinstance(value, Endpoint) or name == "webhooks":
            if callable(value):
                yield f"{path}.{name}", value.__call__
            yield from methods(value, f"{path}.{name}")
        elif inspect.isroutine(value) and path not in CLIENTS:
            yield f"{path}.{name}", value


METHODS = dict(pair for name, client in CLIENTS.items() for pair in methods(client, name))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_docstring_describes_every_parameter(method: Any) -> None:
    described = set(re.findall(r"^ +(\w+): \S", inspect.getdoc(method) or "", re.MULTILINE))
    assert described >= set(inspect.signature(method).parameters)


def test_no_description_is_left_over() -> None:
    known = {name for method in METHODS.values() for name in inspect.signature(method).parameters}
    assert all_described() <= known


def test_descriptions_are_one_line_each() -> None:
    lines = [line for method in METHODS.values() for line in (inspect.getdoc(method) or "").splitlines()]
    assert [line for line in lines if len(line) > 140] == []


def test_reference_has_every_method_and_its_parameters() -> None:
    for path, method in METHODS.items():
        client, _, name = path.partition(".")
        if client == "sync":
            continue
        pages = [text for text in PAGES.values() if re.search(rf"^#+ (Call )?{re.escape(name)}$", text, re.MULTILINE)]
        assert len(pages) == 1, name
        shown = set(re.findall(r"^\| `(\w+)` \|", pages[0], re.MULTILINE))
        assert shown >= set(inspect.signature(method).parameters), name


def test_pages_about_endpoints_match_the_docstrings() -> None:
    """Run `python docs/reference_pages.py` if this fails."""
    pytest.importorskip("griffe")
    assert list(runpy.run_path(str(ROOT / "docs" / "reference_pages.py"))["out_of_date"]()) == []


def shown_by_mkdocstrings() -> set[str]:
    return {name for text in PAGES.values() for name in re.findall(r"^::: trio_openai\.([\w.]+)$", text, re.MULTILINE)}


def test_every_public_name_is_in_the_reference() -> None:
    names = {name for name in vars(trio_openai)["__all__"] if name != "__version__" and not name.endswith("Error")}
    assert shown_by_mkdocstrings() >= names | {"errors", "testing", "local"}


def test_every_class_of_the_api_is_in_the_reference() -> None:
    modules = {f"types.{module}" for module in types.NAMES if module[0] != "_"}
    assert modules - {"types.parsed"} <= shown_by_mkdocstrings()  # those have pages of their own
    assert {f"types.{name}" for name in types.NAMES["parsed"].split() if name.startswith("Parsed")} <= (
        shown_by_mkdocstrings()
    )
