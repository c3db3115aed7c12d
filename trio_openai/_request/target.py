"""The target of a request to any endpoint: the path or URL that a program gives.

The API key goes with every request. So a whole URL has to be at the origin of the `base_url`, and a path is always
appended after a slash: without one, `@example.com` or `.example.com` would name another server.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from trio_openai._http.secrets import shown_text
from trio_openai._httpx import httpx


def target_of(base: httpx.URL, path: str) -> tuple[str, dict[str, Any]]:
    """Return the path after the `base_url`, or a whole URL, and the query that was part of it.

    Args:
        base: The `base_url`.
        path: What the program gave.

    Raises:
        TypeError: The path is not a string.
        ValueError: It is a URL of another server, has a fragment, or has `.` or `..` as a segment.
    """
    if not isinstance(path, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f'the path is a string such as "/files", not {type(path).__name__}')
    where, _, query = path.partition("?")
    if "#" in path:
        raise ValueError(f"the path {shown_text(path)!r} has a '#': quote it as %23, since a fragment is never sent")
    if not where.strip("/"):
        raise ValueError('the path is empty: give one such as "/files"')
    if _is_url(where):
        where = _at_same_origin(base, where)
    elif not where.startswith("/"):
        where = f"/{where}"
    if {".", ".."} & set(re.split(r"[/\\]|%2f|%5c", where.lower().replace("%2e", "."))):
        raise ValueError(f"the path {where!r} has '.' or '..' as a segment, which would lead to another endpoint")
    return where, _decoded_query(query)


def _is_url(where: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/|[/\\]{2}", where) is not None


def _at_same_origin(base: httpx.URL, where: str) -> str:
    """Return the path after the `base_url`, or the URL without user info if it is not below the `base_url`."""
    try:
        url = httpx.URL(where)
    except httpx.InvalidURL:
        url = httpx.URL()
    if _origin(url) != _origin(base):
        raise ValueError(
            f"{shown_text(where)!r} is not at {base.scheme}://{base.netloc.decode()}, and the API key must not go "
            "anywhere else: create another client with that base_url"
        )
    root, path = base.raw_path.partition(b"?")[0].rstrip(b"/") + b"/", url.raw_path
    return f"/{path[len(root) :].decode()}" if path.startswith(root) else str(url.copy_with(userinfo=b""))


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _decoded_query(query: str) -> dict[str, Any]:
    """Return the parameters of a query. A name that occurs several times gets a list."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}
