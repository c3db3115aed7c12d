"""Names of a package that are imported when they are first asked for (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any


def finder(package: dict[str, Any], modules: Sequence[str], hints: str | None = None) -> Callable[[str], object]:
    """A package's `__getattr__`, which finds the names in its `__all__`, and keeps what it has found.

    Args:
        package: its `globals()`.
        modules: of the package, in the order in which to look. What one has of another is the same object.
        hints: a module of the package whose `name_hint` says what to import in place of a name, or None.
    """

    def find(name: str) -> object:
        for module in modules if name in package["__all__"] else ():
            found = getattr(importlib.import_module(f"{package['__name__']}.{module}"), name, None)
            if found is not None:
                package[name] = found
                return found
        if hints is not None and not name.startswith("_"):
            known = importlib.import_module(f"{package['__name__']}.{hints}")
            if (hint := known.name_hint(name)) is not None:
                # An AttributeError here would become Python's own ImportError, which does not say this.
                raise ImportError(f"{package['__name__']} has no {name}: {hint}", name=package["__name__"])
        raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")

    return find
