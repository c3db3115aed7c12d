"""What is secret in a request, and how it stays out of what a program may log: errors, responses, reprs.

A key travels in a header, in the query of a URL (`?key=...`), or in its user info. Once a request has been sent, nobody
needs any of these again, but every response and every exception of an HTTP client holds the request. So there a
`bare_request` takes its place. The request itself stays as it is: a program's own transport may have kept it. What a
server or a client says in words may repeat a secret too: `Secrets` finds it there.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, cast

import httpx

from trio_openai._wire.json import is_array, is_object
from trio_openai.errors import APIError

_SECRET_NAME = re.compile(
    r"(key|token|secret|password|passwd|signature|sig|auth|authorization|credentials?|cookie|^code)$", re.IGNORECASE
)
_NO_SECRETS = ("idempotency-key",)
_SHORTEST = 8  # characters; local servers are given keys such as "x" or "none", which occur in many an honest text
_MOST_OBJECTS = 2000  # of those that an exception of an HTTP client leads to; it mostly leads to a few dozen


@functools.lru_cache(1000)  # the same few names at every call
def is_secret_name(name: str | bytes) -> bool:
    """Return whether a header or a parameter of a URL has a name that a secret may have."""
    name = name if isinstance(name, str) else name.decode("latin-1")
    return _SECRET_NAME.search(name) is not None and name.lower() not in _NO_SECRETS


def shown_url(url: httpx.URL) -> httpx.URL:
    """Return a URL without its user info, and without the values of parameters that may be secret."""
    if url.userinfo:
        url = url.copy_with(userinfo=b"")
    items = url.params.multi_items() if url.query else []
    if any(is_secret_name(name) for name, _ in items):
        url = url.copy_with(params=[(name, "hidden" if is_secret_name(name) else value) for name, value in items])
    return url


def shown_text(url: str) -> str:
    """Return the text of what may not be a URL without what may be its user info, and without its query."""
    return re.sub(r"(//|^)[^/]*@", r"\1", url.partition("?")[0])


def bare_request(request: Any, *, keep_headers: bool = False) -> Any:
    """Return a request with the method and the URL of another one, and nothing that may be secret.

    Args:
        request: one of httpx's, or of a library of the same form.
        keep_headers: whether to keep the headers whose names are not those of secrets. Programs tell calls apart by
            them; an error is more likely to be logged, and does without.
    """
    url = request.url
    if url.userinfo or url.query:
        url = str(shown_url(httpx.URL(str(url))))
    headers = [pair for pair in request.headers.raw if not is_secret_name(pair[0])] if keep_headers else None
    return type(request)(request.method, url, headers=headers)


class Secrets:
    """The secrets of one request.

    Args:
        texts: the secrets. Short ones are left out.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        found = {text for text in texts if len(text) >= _SHORTEST}
        self._texts = sorted(found, key=len, reverse=True)  # a longer one may contain another

    def hidden(self, text: str) -> str:
        """Return a text without them."""
        for secret in self._texts:
            text = text.replace(secret, "***")
        return text

    def hidden_bytes(self, data: bytes) -> bytes:
        """Return bytes without them."""
        for secret in self._texts:
            data = data.replace(secret.encode("utf-8", "surrogatepass"), b"***")
        return data

    def hide_in(self, error: APIError) -> None:
        """Take them out of what a server said: some repeat the key in their errors."""
        for name in ("message", "code", "type", "param", "request_id"):
            if isinstance(value := getattr(error, name), str):
                setattr(error, name, self.hidden(value))
        error.args = (error.message,)
        try:
            error.body = self._hidden_in(error.body)
        except RecursionError:
            error.body = "(nested too deeply)"

    def _hidden_in(self, value: object) -> object:
        """Return a decoded JSON value without them."""
        if isinstance(value, str):
            return self.hidden(value)
        if is_array(value):
            return [self._hidden_in(item) for item in value]
        if is_object(value):
            return {self.hidden(name): self._hidden_in(item) for name, item in value.items()}
        return value

    def are_in(self, error: BaseException) -> bool:
        """Return whether a program that looks at an exception, or at those before it, can see one."""
        if not self._texts:
            return False
        return any(text is None or any(secret in text for secret in self._texts) for text in _texts_in(error))


def secrets_of(headers: Any, base_url: httpx.URL, query: Mapping[str, Any], *more: str) -> Secrets:
    """Return the secrets of a request: in its headers, its URL, and its query (name to text, or to a list of texts)."""
    found = [*more, base_url.password]
    for name, value in headers.multi_items() if headers is not None else ():
        if is_secret_name(name):
            found += [value, value.partition(" ")[2]]  # with and without "Bearer"
    for name, value in [*base_url.params.multi_items(), *query.items()]:
        if is_secret_name(name):
            found += value if is_array(value) else [str(value)]
    return Secrets(found)


def _texts_in(error: BaseException) -> Iterator[str | None]:
    """Yield all texts that an exception leads to by its attributes, and None if it leads to too much to look at.

    Tracebacks are left out: they lead to all of a program.
    """
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending and len(seen) < _MOST_OBJECTS:
        one = pending.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, str):
            yield one
        elif isinstance(one, bytes):
            yield one.decode("latin-1")
        elif isinstance(one, dict):
            pending += [*one.items()]
        elif isinstance(one, list | tuple | set | frozenset):
            pending += cast("Iterable[object]", one)
        elif not isinstance(one, type | ModuleType):
            pending += getattr(one, "__dict__", {}).values()
        if isinstance(one, BaseException):
            pending += [one.args, one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
            pending.append(_words_of(one))
    if pending:
        yield None


def _words_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception of another library or of a program
        return ""
