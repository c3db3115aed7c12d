"""Every class of ours that an error message names can be imported from `trio_openai`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import trio_openai

PACKAGE = Path(trio_openai.__file__).parent
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
WORD = re.compile(r"(?<![\w.])[A-Z]\w+")
AMBIGUOUS = {"Chat", "Completions", "Responses", "Response", "Message", "File"}  # also words, or names of APIs


def ours() -> set[str]:
    """Return the names of all classes of the package that have no underscore."""
    return {
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name[0] != "_"
    }


def messages(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Find the texts of errors: the strings in a `raise`, and in calls that make an error."""
    for node in ast.walk(tree):
        is_error = isinstance(node, ast.Call) and re.search(
            r"(Error|Warning|refuse|no_attribute)$", ast.unparse(node.func)
        )
        if isinstance(node, ast.Raise) or is_error:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


def test_classes_in_messages_can_be_imported() -> None:
    names = ours() - AMBIGUOUS
    missing: set[str] = set()
    for path, tree in TREES.items():
        for line, text in messages(tree):
            for word in WORD.findall(text):
                if word in names and word not in dir(trio_openai):
                    missing.add(f"{path}:{line}: {word}")
    assert not missing, "\n".join(sorted(missing))
