"""Loops over many small cases in one test, with the failing case named in the failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def case(name: object) -> Iterator[None]:
    """Add the name of a case to whatever is raised inside the block."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"in the case: {name}")
        raise
