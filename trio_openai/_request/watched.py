"""Observe the calls of a client: what is needed only if there are observers, or if the log wants a line a call."""

from __future__ import annotations

import logging

import trio

from trio_openai._observers.log import LogObserver
from trio_openai._observers.watch import Watch

from .request import PreparedRequest
from .session import Session

log = logging.getLogger("trio_openai")
_LOG = LogObserver(log)


def watch_of(session: Session, request: PreparedRequest) -> Watch:
    """Return what tells the observers of a session about a request."""
    url = session.options.url
    observers = session.options.observer
    return Watch(
        (*observers, _LOG) if log.isEnabledFor(logging.INFO) else observers,
        trio.current_time,
        method=request.method,
        endpoint=request.endpoint,
        path=request.path,
        model=request.model,
        server=f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)}",
        is_stream=request.is_stream,
    )
