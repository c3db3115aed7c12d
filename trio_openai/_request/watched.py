"""Observe the calls of a client: what is needed only if there are observers, or if the log wants a line a call."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import attrs
import trio

from trio_openai._http.secrets import shown_text, shown_url
from trio_openai._httpx import httpx
from trio_openai._observers.log import DebugLogObserver, LogObserver
from trio_openai._observers.watch import Watch

from .headers import HiddenHeaders, add_headers
from .request import PreparedRequest
from .session import Session

log = logging.getLogger("trio_openai")
_INFO, _DEBUG = LogObserver(log), DebugLogObserver(log)


def watch_of(session: Session, request: PreparedRequest) -> Watch:
    """Return what tells the observers of a session about a request."""
    observers = session.options.observer
    if log.isEnabledFor(logging.INFO):
        observers = (*observers, _DEBUG if log.isEnabledFor(logging.DEBUG) else _INFO)
    return Watch(
        observers,
        trio.current_time,
        **place_of(session, request),
        model=request.model,
        is_stream=request.is_stream,
    )


def place_of(session: Session, request: PreparedRequest) -> dict[str, str]:
    """Return what a request asks for, as the attributes of a record."""
    path = _shown(request.path)
    return {
        "method": request.method,
        "endpoint": path if request.endpoint == request.path else request.endpoint,
        "path": path,
        "url": _shown_url(session, request.path),
        "server": _server_of(session),
    }


def _server_of(session: Session) -> str:
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


def _shown_url(session: Session, path: str) -> str:
    """Return the URL of a request without its query, and without anything else that may be secret."""
    try:
        return shown_text(session.url(path, {}))
    except httpx.InvalidURL:
        return shown_text(path)


def with_headers(request: PreparedRequest, extra: Mapping[str, str]) -> PreparedRequest:
    """Return a request with the headers that observers add. One that cannot be sent is logged and left out."""
    headers = request.headers.copy()
    for name, value in extra.items():
        try:
            add_headers(headers, HiddenHeaders({name: value}))
        except (AttributeError, TypeError, ValueError) as error:  # an observer's mistake must not end somebody's call
            log.error("an observer added a header that cannot be sent: %s", error)
    return attrs.evolve(request, headers=headers)
