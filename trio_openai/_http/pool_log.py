"""Log lines about connections, for the level DEBUG: opened, reused, kept, closed, and requests that wait for a slot.

Every function here first asks whether the level is on, which costs a tenth of a microsecond while it is not.
A line names the server and a number of the connection, and nothing of the request.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from trio_openai._observers.lines import write_line

if TYPE_CHECKING:
    from .connection import Connection

_log = logging.getLogger("trio_openai")


def is_logged() -> bool:
    """Return whether anybody wants to know about connections."""
    return _log.isEnabledFor(logging.DEBUG)


def log_slot(what: str, *, slots: int, waiting: int, seconds: float | None = None) -> None:
    """Write a line about a request that needs a slot.

    Args:
        what: `waiting for a slot` or `got a slot`.
        slots: how many slots there are.
        waiting: how many other requests wait.
        seconds: how long the request has waited.
    """
    write_line(_log, logging.DEBUG, what, slots=slots, waiting=waiting, waited_ms=seconds)


def log_connection(what: str, connection: Connection, *, seconds: float | None = None, why: str | None = None) -> None:
    """Write a line about a connection.

    Args:
        what: `connection opened`, `connection reused` and so on.
        connection: the connection.
        seconds: how long it took to open it.
        why: why it was closed.
    """
    if not is_logged():
        return
    _, host, port = connection.origin
    name = host.decode("ascii", "replace")
    write_line(
        _log,
        logging.DEBUG,
        what,
        connection=connection.number,
        server=f"[{name}]:{port}" if ":" in name else f"{name}:{port}",
        proxy=connection.proxy and connection.proxy.name.removeprefix("the proxy "),
        open_ms=seconds,
        why=why,
    )
