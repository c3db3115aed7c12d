"""Both type checkers accept the programs in this folder, and find the mistakes in them.

Each mistake has a comment that ignores its error. mypy reports a comment that ignores nothing, so a mistake that goes
unnoticed fails this test.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
PROGRAMS = sorted(str(path) for path in FOLDER.glob("*_types.py"))


def checker(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip(name)
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", name, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_mypy_accepts_the_programs_and_finds_each_mistake() -> None:
    done = checker("mypy", "--strict", *PROGRAMS)
    assert done.returncode == 0, done.stdout


def test_pyright_accepts_the_programs() -> None:
    done = checker("pyright", "--pythonpath", sys.executable, *PROGRAMS)
    assert done.returncode == 0, done.stdout
