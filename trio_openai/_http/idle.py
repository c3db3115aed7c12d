"""The idle connections of a pool: in the order in which they were parked, and by their servers."""

from __future__ import annotations

from collections.abc import Iterator

from .byte_streams import Origin
from .connection import Connection


class IdleConnections:
    """Open connections that carry no request. Iterating gives them in the order in which they were parked."""

    def __init__(self) -> None:
        self._all: dict[Connection, None] = {}  # an ordered set
        self._by_origin: dict[Origin, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._all)

    def add(self, connection: Connection) -> None:
        """Park a connection."""
        self._all[connection] = None
        self._by_origin.setdefault(connection.origin, {})[connection] = None

    def remove(self, connection: Connection) -> None:
        """Remove a connection, without closing it."""
        del self._all[connection]
        same = self._by_origin[connection.origin]
        del same[connection]
        if not same:
            del self._by_origin[connection.origin]

    def latest(self, origin: Origin) -> Connection | None:
        """Return the connection to a server that was parked last, or None."""
        same = self._by_origin.get(origin)
        return next(reversed(same)) if same else None

    def oldest(self) -> Connection:
        """Return the connection that was parked first. There has to be one."""
        return next(iter(self._all))

    def take_oldest(self) -> Connection:
        """Remove the connection that was parked first, and return it. There has to be one."""
        oldest = self.oldest()
        self.remove(oldest)
        return oldest

    def clear(self) -> None:
        """Remove all connections, without closing them."""
        self._all.clear()
        self._by_origin.clear()
