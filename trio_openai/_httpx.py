"""The border to httpx: every other module takes `httpx` from here.

Either of two packages is enough: httpx, or httpx2, which has the same interface. If both are installed, this library
uses httpx for what it makes itself. Type checkers always see httpx.

A program may use the other package for its own HTTP client. Each package checks that requests, responses and bodies are
instances of its own classes. `package_of` says which package a request belongs to, so that it gets a response of the
same package, and `error_of` does the same for exceptions.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import httpx
else:
    try:
        import httpx
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise  # it is installed, but lacks something
        try:
            import httpx2 as httpx
        except ModuleNotFoundError as error2:
            if error2.name != "httpx2":
                raise
            raise ModuleNotFoundError("trio_openai needs httpx or httpx2: pip install httpx", name="httpx") from None

__all__ = ["error_of", "httpx", "is_in_memory", "is_url", "package_of"]


def _packages() -> list[Any]:
    """Return the packages that are in use, ours first."""
    other = sys.modules.get("httpx2")
    return [httpx] if other is None or other is cast("Any", httpx) else [httpx, other]


def package_of(request: httpx.Request) -> Any:
    """Return the package, httpx or httpx2, to which a request belongs."""
    given = cast("object", request)  # type checkers know only httpx's class
    if isinstance(given, httpx.Request):
        return httpx
    return next((package for package in _packages() if isinstance(given, package.Request)), httpx)


def is_in_memory(request: httpx.Request) -> bool:
    """Return whether the body of a request is bytes, and not produced while it is sent."""
    return isinstance(request.stream, package_of(request).ByteStream)


def is_url(given: object) -> bool:
    """Return whether an object is a URL of httpx or httpx2."""
    return any(isinstance(given, package.URL) for package in _packages())


def error_of(package: Any, error: httpx.TransportError) -> Exception:
    """Return an exception of httpx as the same exception of another package, with the same cause and traceback."""
    names = [cls.__name__ for cls in type(error).__mro__]
    same: Any = next(getattr(package, name) for name in names if hasattr(package, name))(str(error))
    is_final: bool | None = getattr(error, "is_final", None)  # only our own subclasses have it
    if is_final is not None:
        same.is_final = is_final
    same.__cause__ = error.__cause__
    return cast("Exception", same.with_traceback(error.__traceback__))
