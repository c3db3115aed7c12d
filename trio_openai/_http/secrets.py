"""Keep the secrets of a request out of everything that a program may log: errors, responses, reprs.

An API key travels in a header, in the query of a URL (`?key=...`), or in its user info. Once the request has been sent,
nobody needs them any more, but every response and every exception of an HTTP client refers to its request. So there
the request is replaced by a copy without secrets (`bare_request`). The request itself is not changed, because a
program's own transport may still use it.

The text of an error may repeat a secret too: some servers quote the key that they refuse. `Secrets` finds and replaces
it in messages and error bodies, and `are_in` decides whether a foreign exception is safe to keep as the cause.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, cast

from trio_openai._httpx import httpx
from trio_openai._wire.json import is_array, is_object
from trio_openai.errors import APIError

_SECRET_NAME = re.compile(
    r"(key|token|secret|password|passwd|signature|sig|auth|authorization|credentials?|cookie|^code)$", re.IGNORECASE
)
_NO_SECRETS = ("idempotency-key",)
_SHORTEST = 8  # characters; keys for local servers, such as "x" or "none", occur in ordinary text as well
_MOST_OBJECTS = 2000  # objects to search; an HTTP client's exception usually refers to a few dozen


@functools.lru_cache(1000)  # every call has the same few names
def is_secret_name(name: str | bytes) -> bool:
    """Return whether the value of a header or URL parameter with this name may be secret."""
    name = name if isinstance(name, str) else name.decode("latin-1")
    return _SECRET_NAME.search(name) is not None and name.lower() not in _NO_SECRETS


def shown_url(url: httpx.URL) -> httpx.URL:
    """Return a URL without user info, and with the values of possibly secret parameters replaced by `hidden`."""
    if url.userinfo:
        url = url.copy_with(userinfo=b"")
    items = url.params.multi_items() if url.query else []
    if any(is_secret_name(name) for name, _ in items):
        url = url.copy_with(params=[(name, "hidden" if is_secret_name(name) else value) for name, value in items])
    return url


def shown_text(url: str) -> str:
    """Return the text of an invalid URL without its query and without what may be its user info."""
    return re.sub(r"(//|^)[^/]*@", r"\1", url.partition("?")[0])


def bare_request(request: Any, *, keep_headers: bool = False) -> Any:
    """Return a request with the same method and URL, but without anything that may be secret.

    Args:
        request: a request of httpx, or of a library with the same interface.
        keep_headers: keep the headers whose names are not secret. A response keeps them, because programs tell calls
            apart by them. An error does not, because it is more likely to be logged.
    """
    url = request.url
    if url.userinfo or url.query:
        url = str(shown_url(httpx.URL(str(url))))
    headers = [pair for pair in request.headers.raw if not is_secret_name(pair[0])] if keep_headers else None
    return type(request)(request.method, url, headers=headers)


class Secrets:
    """The secrets of one request.

    Args:
        texts: the secrets. Texts of fewer than eight characters are ignored.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        found = {text for text in texts if len(text) >= _SHORTEST}
        self._texts = sorted(found, key=len, reverse=True)  # a longer one may contain another

    def hidden(self, text: str) -> str:
        """Return a text with every secret replaced by `***`."""
        for secret in self._texts:
            text = text.replace(secret, "***")
        return text

    def hidden_bytes(self, data: bytes) -> bytes:
        """Return bytes with every secret replaced by `***`."""
        for secret in self._texts:
            data = data.replace(secret.encode("utf-8", "surrogatepass"), b"***")
        return data

    def hide_in(self, error: APIError) -> None:
        """Replace the secrets in an error, since some servers repeat the key in their error messages."""
        for name in ("message", "code", "type", "param", "request_id"):
            if isinstance(value := getattr(error, name), str):
                setattr(error, name, self.hidden(value))
        error.args = (error.message,)
        try:
            error.body = self._hidden_in(error.body)
        except RecursionError:
            error.body = "(nested too deeply)"

    def _hidden_in(self, value: object) -> object:
        """Return a decoded JSON value with every secret replaced."""
        if isinstance(value, str):
            return self.hidden(value)
        if is_array(value):
            return [self._hidden_in(item) for item in value]
        if is_object(value):
            return {self.hidden(name): self._hidden_in(item) for name, item in value.items()}
        return value

    def are_in(self, error: BaseException) -> bool:
        """Return whether a program could find a secret by inspecting an exception or its chain."""
        if not self._texts:
            return False
        return any(text is None or any(secret in text for secret in self._texts) for text in _texts_in(error))


def secrets_of(headers: Any, base_url: httpx.URL, query: Mapping[str, Any], *more: str) -> Secrets:
    """Return the secrets of a request.

    Args:
        headers: the headers that were sent, or None.
        base_url: the client's base URL.
        query: the query parameters: a text, or a list of texts, for each name.
        more: further secrets.
    """
    found = [*more, base_url.password]
    for name, value in headers.multi_items() if headers is not None else ():
        if is_secret_name(name):
            found += [value, value.partition(" ")[2]]  # with and without the scheme, such as "Bearer"
    for name, value in [*base_url.params.multi_items(), *query.items()]:
        if is_secret_name(name):
            found += value if is_array(value) else [str(value)]
    return Secrets(found)


def _texts_in(error: BaseException) -> Iterator[str | None]:
    """Yield every text that an exception's attributes lead to, and None if there are too many objects to search.

    Tracebacks are skipped: they lead to the entire program.
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
    """Return the exception's message, or an empty string if its `__str__` raises."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the class belongs to another library, so anything may happen
        return ""
