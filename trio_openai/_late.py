"""Names of a package that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any


def finder(package: dict[str, Any], modules: Sequence[str]) -> Callable[[str], object]:
    """A package's `__getattr__`, which finds the names in its `__all__`, and keeps what it has found.

    Args:
        package: its `globals()`.
        modules: of the package, in the order in which to look. What one has of another is the same object.
    """

    def find(name: str) -> object:
        for module in modules if name in package["__all__"] else ():
            found = getattr(importlib.import_module(f"{package['__name__']}.{module}"), name, None)
            if found is not None:
                package[name] = found
                return found
        raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")

    return find
