"""Import the public names of a package when they are first asked for (PEP 562).

To make the classes of the whole API takes longer than to stream a hundred events, so a program pays for what it uses.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def import_name(
    package: dict[str, Any], module_of: Mapping[str, str], name: str, *, hints: str | None = None
) -> object:
    """Import one public name and keep it in the package.

    Args:
        package: the `globals()` of the package.
        module_of: for each public name, the module of the package that defines it.
        name: the name that was asked for.
        hints: a module of the package whose `name_hint` says what to import in place of a name, or None.

    Raises:
        AttributeError: the package has no such name.
        ImportError: it has none, and there is a hint. Python replaces an `AttributeError` by an error without the hint.
    """
    if name not in module_of:
        if hints is not None and not name.startswith("_"):
            known = importlib.import_module(f"{package['__name__']}.{hints}")
            if (hint := known.name_hint(name)) is not None:
                raise ImportError(f"{package['__name__']} has no {name}: {hint}", name=package["__name__"])
        raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{package['__name__']}.{module_of[name]}"), name)
    package[name] = found
    return found
