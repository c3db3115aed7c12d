"""Show the real signatures in the reference: a griffe extension, used by mkdocs.yml.

griffe reads the source. A client's constructor takes one `options` object there, an attrs class has no constructor, and
a default may be the name of a private constant. `inspect.signature` shows what `help()` shows: every option with its
type, and defaults as values.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import griffe

PRIVATE_NAME = re.compile(r"_?[A-Z][A-Z_]+")
CONSTRUCTED_BY_PROGRAMS = {"Server", "Deadlines", "Attempt", "Outcome", "RawResponse", "ServerSentEvent"}
"""The attrs classes whose constructor is shown. The library makes the objects of the others."""


class RuntimeSignatures(griffe.Extension):
    """Replace what griffe cannot know from the source by what the running program has."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Look at a function that griffe has read."""
        if any("takes_options" in str(decorator.value) for decorator in func.decorators):
            func.parameters = griffe.Parameters(*map(_parameter, _signature_of(func).parameters.values()))
            return
        if "._endpoints." in func.path:
            return  # `reference_pages.py` writes their pages
        for parameter in func.parameters:
            if PRIVATE_NAME.fullmatch(str(parameter.default)):
                parameter.default = repr(_signature_of(func).parameters[parameter.name].default)

    def on_module(self, *, mod: griffe.Module, **kwargs: Any) -> None:
        """Remove what the docstring of a module tells maintainers. The page has an introduction of its own."""
        if mod.path.startswith(("trio_openai.types", "trio_openai.testing", "trio_openai.local", "trio_openai._sync")):
            mod.docstring = None

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Look at a class that griffe has read."""
        if cls.path.startswith("trio_openai.types."):
            _list_fields(cls)
        if cls.name in CONSTRUCTED_BY_PROGRAMS and "__init__" not in cls.members:
            parameters = inspect.signature(_found(cls).__init__).parameters.values()
            made = griffe.Function("__init__", parameters=griffe.Parameters(*map(_parameter, parameters)))
            made.runtime = True
            cls.set_member("__init__", made)


def _list_fields(cls: griffe.Class) -> None:
    """Add the fields to the docstring of an object or dictionary of the API. They have no docstrings of their own."""
    fields = []
    for name, member in list(cls.members.items()):
        if name[0] == "_" or not isinstance(member, griffe.Attribute) or "ClassVar" in str(member.annotation):
            continue
        default = "" if member.value is None or "attrs.field" in str(member.value) else f" = {member.value}"
        fields.append(f"{name}: {member.annotation}{default}")
        del cls.members[name]
    if fields:
        text = cls.docstring.value if cls.docstring else ""
        listed = "\n".join(fields)
        cls.docstring = griffe.Docstring(f"{text}\n\n```python\n{listed}\n```", parent=cls)


def _found(named: griffe.Object) -> Any:
    found: Any = importlib.import_module(named.module.path)
    for name in named.path.removeprefix(named.module.path + ".").split("."):
        found = getattr(found, name)
    return found


def _signature_of(func: griffe.Function) -> inspect.Signature:
    return inspect.signature(_found(func))


def _parameter(given: inspect.Parameter) -> griffe.Parameter:
    is_bare = given.name == "self"
    by_name = given.kind is inspect.Parameter.KEYWORD_ONLY
    return griffe.Parameter(
        given.name,
        annotation=None if is_bare else str(given.annotation),
        kind=griffe.ParameterKind.keyword_only if by_name else griffe.ParameterKind.positional_or_keyword,
        default=None if given.default is inspect.Parameter.empty else repr(given.default),
    )
