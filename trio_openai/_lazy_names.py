"""Lazy imports of a package's public names, by the module-level `__getattr__` of PEP 562.

Creating the classes of the whole API takes longer than streaming a hundred events, so a program only pays for those
that it uses. Each package has one explicit table, from the name to the module that defines it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def import_name(
    package: dict[str, Any], module_of: Mapping[str, str], name: str, *, hints: str | None = None
) -> object:
    """Import a public name and keep it as an attribute of the package, so that this is called once per name.

    Args:
        package: The `globals()` of the package.
        module_of: The table of the package's public names.
        name: The name that a program uses.
        hints: A module of the package with a function `name_hint`, which returns a replacement for a name of
            openai-python, or None.

    Raises:
        AttributeError: The package has no such name.
        ImportError: The package has no such name, and there is a hint. An `AttributeError` would not do: in
            `from trio_openai import X`, Python replaces it by an `ImportError` of its own, without the hint.
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
