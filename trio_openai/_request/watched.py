"""Observe the calls of a client: what is needed only if there are observers, or if the log wants a line a call."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import attrs
import trio

from trio_openai._http.secrets import shown_text, shown_url
from trio_openai._httpx import httpx
from trio_openai._observers.log import LogObserver
from trio_openai._observers.watch import Watch

from .headers import HiddenHeaders, add_headers
from .request import PreparedRequest
from .session import Session

log = logging.getLogger("trio_openai")
_LOG = LogObserver(log)


def watch_of(session: Session, request: PreparedRequest) -> Watch:
    """Return what tells the observers of a session about a request."""
    path = _shown(request.path)
    observers = session.options.observer
    return Watch(
        (*observers, _LOG) if log.isEnabledFor(logging.INFO) else observers,
        trio.current_time,
        method=request.method,
        endpoint=path if request.endpoint == request.path else request.endpoint,
        path=path,
        model=request.model,
        server=server_of(session),
        is_stream=request.is_stream,
    )


def server_of(session: Session) -> str:
    """Return the host and the port of a session."""
    url = session.options.url
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port or (443 if url.scheme == 'https' else 80)}"


def _shown(path: str) -> str:
    """Return a path, or the path of a whole URL, without anything that may be secret."""
    if path.startswith("/") and "?" not in path:
        return path
    try:
        url = shown_url(httpx.URL(path))
    except httpx.InvalidURL:
        return shown_text(path)
    return url.raw_path.decode("ascii")


def with_headers(request: PreparedRequest, extra: Mapping[str, str]) -> PreparedRequest:
    """Return a request with the headers that observers add. One that cannot be sent is logged and left out."""
    headers = request.headers.copy()
    for name, value in extra.items():
        try:
            add_headers(headers, HiddenHeaders({name: value}))
        except (AttributeError, TypeError, ValueError) as error:  # an observer's mistake must not end somebody's call
            log.error("an observer added a header that cannot be sent: %s", error)
    return attrs.evolve(request, headers=headers)
