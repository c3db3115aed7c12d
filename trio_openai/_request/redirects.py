"""Decide whether to follow a redirect. It sends the prompt elsewhere, so by default it has to stay at its origin.

* A redirect to another origin is followed only if the program has opted in, and then without the key and without the
  headers of the program.
* A redirect from https to http is never followed: others could read the request.
* One attempt follows at most 20 redirects. The error says whether the server redirects in a loop.
"""

from __future__ import annotations

from typing import Any

import attrs

from trio_openai._httpx import httpx

_MOST = 20
_DESCRIBES_THE_REQUEST = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length"}
    | {"transfer-encoding", "user-agent"}
)


@attrs.define
class Redirects:
    """The redirects of one attempt.

    Args:
        may_leave: Whether the program has opted in to redirects to other origins.

    Attributes:
        have_left: Whether a redirect has led to another origin. It stays true after a redirect back, since the other
            origin has chosen that URL.
    """

    may_leave: bool
    have_left: bool = attrs.field(default=False, init=False)
    _seen: list[tuple[str, str]] = attrs.field(factory=list[tuple[str, str]])

    def problem(self, response: httpx.Response) -> str | None:
        """Return why not to follow the redirect of a response, or None to follow it. The text names the target."""
        source, target = response.url, response.next_request
        assert target is not None
        where = shown(target.url)
        self._seen.append((response.request.method, str(source)))
        if source.scheme == "https" and target.url.scheme != "https":
            return (
                f"the server redirects from https to {where}, where others could read the request; use an https:// URL"
            )
        is_elsewhere = origin_of(source) != origin_of(target.url)
        self.have_left = self.have_left or is_elsewhere
        if is_elsewhere and not self.may_leave:
            return (
                f"the server redirects to another origin, {where}, and the request was not sent there; make that the "
                "base_url, or give the client follow_cross_origin_redirects=True"
            )
        if len(self._seen) <= _MOST:
            return None
        if (target.method, str(target.url)) in self._seen:
            return f"this is a redirect loop: after {_MOST} redirects the server leads to {where} again"
        return f"the server redirects too often: after {_MOST} redirects it leads on to {where}"


def keep_what_describes(request: Any) -> None:
    """Remove every header from a request to another origin that does not describe the request itself."""
    for name in list(request.headers):
        if name.lower() not in _DESCRIBES_THE_REQUEST:
            request.headers.pop(name, None)


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Return the scheme, host and port of a URL. httpx gives None for the default port of the scheme."""
    return url.scheme, url.host, url.port


def shown(url: httpx.URL) -> str:
    """Return a URL without a password and without its query, which may be secret."""
    path = url.raw_path.partition(b"?")[0]
    return (url.raw_scheme + b"://" + url.netloc + path).decode("ascii", "replace")


def with_next_request(response: httpx.Response, request: httpx.Request) -> httpx.Response:
    """Return a response with the request that it leads to, if it is a redirect, as an `httpx.AsyncClient` makes it.

    An `AsyncClient` would also log the URL, whose query may be secret. An invalid target leaves `next_request` None.
    """
    response.request = request
    if response.has_redirect_location and (url := _target(response)) is not None:
        method = _method(request.method, response.status_code)
        headers = _headers(request, url, method)
        stream = request.stream if method == request.method else None
        response.next_request = httpx.Request(
            method, url, headers=headers, stream=stream, extensions=request.extensions
        )
    return response


def _target(response: httpx.Response) -> httpx.URL | None:
    """Return the URL that a redirect leads to; None if it is invalid."""
    source = response.request.url
    try:
        url = httpx.URL(response.headers["location"])
        if url.scheme and not url.host:  # some servers write `https:/path`
            url = url.copy_with(host=source.host)
        return source.join(url) if url.is_relative_url else url
    except httpx.InvalidURL:
        return None


def _method(method: str, status: int) -> str:
    """Return the method of the next request. Like browsers, a POST becomes a GET with 301, 302 and 303."""
    becomes_get = (status == 301 and method == "POST") or (status in (302, 303) and method != "HEAD")
    return "GET" if becomes_get else method


def _headers(request: httpx.Request, url: httpx.URL, method: str) -> httpx.Headers:
    """Return the headers of the next request. Those with the key do not go to another origin."""
    headers = httpx.Headers(request.headers)
    if origin_of(url) != origin_of(request.url):
        headers.pop("authorization", None)
        headers["Host"] = url.netloc.decode("ascii")
    if method != request.method:
        headers.pop("content-length", None)
        headers.pop("transfer-encoding", None)
    headers.pop("cookie", None)
    return headers
