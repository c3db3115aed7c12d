"""Show the real signatures of constructors in the reference: a griffe extension, used by mkdocs.yml.

griffe reads the source, where a client's constructor takes one `options` object. At run time it takes each option by
name, and `inspect.signature` shows them all with their types and defaults.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import griffe


class RuntimeSignatures(griffe.Extension):
    """Replace the parameters of functions that define `__signature__`."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Look at a function that griffe has read."""
        if not any("takes_options" in str(decorator.value) for decorator in func.decorators):
            return
        found: Any = importlib.import_module(func.module.path)
        for name in func.path.removeprefix(func.module.path + ".").split("."):
            found = getattr(found, name)
        func.parameters = griffe.Parameters(*map(_parameter, inspect.signature(found).parameters.values()))


def _parameter(given: inspect.Parameter) -> griffe.Parameter:
    is_bare = given.name == "self"
    return griffe.Parameter(
        given.name,
        annotation=None if is_bare else str(given.annotation),
        kind=griffe.ParameterKind.positional_or_keyword if is_bare else griffe.ParameterKind.keyword_only,
        default=None if given.default is inspect.Parameter.empty else repr(given.default),
    )
