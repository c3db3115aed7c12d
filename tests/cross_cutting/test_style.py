"""A lint for the rules of style that a program can check: docstring openings, and the length of functions and files.

A function's docstring starts with a verb and says what the function does. The docstring of a class, a module or a
property names the thing. The two patterns below match openings that make a reader start twice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("trio_openai", "tests", "docs", "benchmarks", "scripts")
MAX_FUNCTION = 70  # lines
MAX_FILE = 500  # lines
MAX_TEST_FILE = 1000  # lines: the tests of one subject are read one by one

UNCLEAR = re.compile(
    r"(What|Whether|Who|Whose|Whom|Where|When|Of|As|That|How|Why|Those|The same|There|It|Its|Nor?|And|But|Also|Still"
    r"|Not)\b"
)
NO_VERB = re.compile(
    r"(The|A|An|One|Every|Each|All|Any|This|These|If|In|By|For|From|With|To|On|At|Some|Only|Both|Two|Three)\b"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def mistakes_in(text: str, path: Path) -> Iterator[str]:
    """Yield a sentence for each mistake in a file, with its place."""
    length, most = text.count("\n"), MAX_TEST_FILE if path.parts[0] == "tests" else MAX_FILE
    if length > most and "types" not in path.parts:  # a catalogue of types may be longer
        yield f"{path}: the file has {length} lines (at most {most})"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function) and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION:
            yield f"{path}:{node.lineno}: {node.name} has {lines} lines (at most {MAX_FUNCTION})"
        opening = ast.get_docstring(node) if isinstance(node, ast.Module | ast.ClassDef | Function) else None
        if opening and (UNCLEAR.match(opening) or (is_action(node) and NO_VERB.match(opening))):
            advice = "start the docstring with a verb, or name the thing"
            yield f"{path}:{getattr(node, 'lineno', 1)}: {advice}: {opening.splitlines()[0]!r}"


def is_action(node: ast.AST) -> bool:
    """Return whether a node is a function that somebody calls, not a property or a fixture, which name a thing."""
    if not isinstance(node, Function):
        return False
    return not any("property" in (name := ast.unparse(mark)) or "fixture" in name for mark in node.decorator_list)


def test_docstrings_open_plainly_and_nothing_is_too_long() -> None:
    mistakes = [line for path in python_files() for line in mistakes_in(path.read_text(), path.relative_to(ROOT))]
    assert not mistakes, "\n".join(mistakes)


def test_the_lint_finds_each_kind_of_mistake() -> None:
    long_function = "def f():\n" + "    pass\n" * 70
    code = '"""What it is."""\n\ndef f():\n    """The result."""\n\n@property\ndef g():\n    """The size."""\n\n'
    found = list(mistakes_in(code + long_function + "\n" * 500, Path("trio_openai/x.py")))
    assert len(found) == 4
    assert found[0].startswith("trio_openai/x.py: the file has ")
    assert sum("start the docstring" in line for line in found) == 2
    assert sum("f has 71 lines" in line for line in found) == 1
