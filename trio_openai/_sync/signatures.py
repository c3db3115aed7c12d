"""Names, docstrings and signatures of blocking methods, taken from their async counterparts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import attrs

from trio_openai._client import TrioOpenAI
from trio_openai._endpoints._signatures import LazySignature

_STREAM = re.compile(r"\b(\w*Stream\b|StreamManager\b|Page\b|\w+ToolRun\b|ToolRunManager\b)")


@attrs.frozen(eq=False)
class Description:
    """The description that `help()` shows of a blocking method.

    Attributes:
        name: The name of the method.
        qualname: The name with that of the endpoint's class.
        doc: The docstring.
        bound: The signature of the method of an object.
        unbound: The signature of the method of a class, with `self`.
    """

    name: str
    qualname: str
    doc: str | None
    bound: inspect.Signature
    unbound: inspect.Signature


def counterpart(find: Callable[[TrioOpenAI], Any]) -> Description:
    """Describe a blocking method by its async counterpart.

    Args:
        find: Returns the counterpart, of a client that is never used.
    """
    client: Any = object.__new__(TrioOpenAI)
    client._session = None
    found: Any = find(client)
    method = found if inspect.isroutine(found) else type(found).__call__  # an endpoint that is itself called
    return Description(
        name=method.__name__,
        qualname=f"Sync{method.__qualname__}",
        doc=_blocking(method.__doc__),
        bound=LazySignature(lambda: _signature(found)),
        unbound=LazySignature(lambda: _with_self(_signature(found))),
    )


def _signature(method: Any) -> inspect.Signature:
    signature = inspect.signature(method)
    returns = re.sub(r"\bListing\b", "Page", str(signature.return_annotation))
    returns = returns.replace("AbstractAsyncContextManager[", "ToolRunManager[")  # only `run_tools` has this type
    return signature.replace(return_annotation=_STREAM.sub(r"Sync\1", returns))


def _with_self(signature: inspect.Signature) -> inspect.Signature:
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return signature.replace(parameters=[own, *signature.parameters.values()])


def _blocking(doc: str | None) -> str | None:
    return doc and doc.replace("an `async with`", "a `with`").replace("`async with`", "`with`").replace(
        "`async for`", "`for`"
    )
