"""The queue for several servers: attempts wait in it until a server is free, and then choose one.

Rules that hold it together:

* There is one queue for all servers. Who is first takes the least loaded of the servers that are free. If the first
  can use none of them (it has just failed there), the turn is passed on.
* Nothing is handed from task to task. A task that is woken looks for itself, and wakes the next one when it leaves. So
  a cancellation loses nothing, and there is no background task. `_limits/limiter.py` works in the same way.
* A server that is down is asked again by an ordinary attempt. `_limits/health.py` decides when.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Protocol

import attrs
import trio

from trio_openai._limits.health import Health
from trio_openai._limits.limiter import Limiter, Permit, opened_limiter


@attrs.define(eq=False)
class ServerState:
    """One server of several, as all copies of the client share it.

    Attributes:
        name: identifies the server in statistics.
        number: its place in the list of servers.
        limiter: decides when an attempt may begin.
        models: the names of models at this server, by the names that the program uses.
        health: whether the server may be asked.
        in_flight: attempts that have begun and have not ended, including those that wait for a limiter of the program's
            own class.
        done, failed: attempts that have ended.
        last_used: the serial number of the latest attempt.
        last_error: the latest error for which another server was asked, in words. The error itself would keep
            the program's frames alive.
    """

    name: str
    number: int
    limiter: Limiter
    models: Mapping[str, str]
    health: Health = attrs.field(factory=Health)
    in_flight: int = 0
    done: int = 0
    failed: int = 0
    last_used: int = 0
    last_error: str | None = None


@attrs.frozen(eq=False)
class Placement:
    """An attempt that may begin at a server, until it is settled."""

    server: ServerState
    began: float
    probes: bool
    permit: Permit | None


class Asking(Protocol):
    """An attempt in the queue: a `Route`."""

    tokens: int
    tries: Counter[ServerState]
    not_before: dict[ServerState, float]

    def candidates(self) -> list[ServerState]:
        """Return the servers that may be asked, whether they are free or not."""
        ...

    def ready_at(self, server: ServerState, now: float) -> float:
        """Return the time at which the attempt may begin at a server."""
        ...


class _Turn:
    """A task in the queue."""

    __slots__ = ("has_come", "woken")

    def __init__(self) -> None:
        self.woken = trio.Event()
        self.has_come = False


class ServerQueue:
    """The attempts that wait for one of several servers, first come first served.

    Attributes:
        servers: the servers, in the order in which the program listed them.
        failed_probes: how many attempts have found a server still down.
    """

    def __init__(self, servers: list[ServerState]) -> None:
        self.servers = servers
        self.failed_probes = 0
        self._limiters = {server: opened_limiter(server.limiter, self.wake) for server in servers}
        self._waiting: OrderedDict[_Turn, None] = OrderedDict()
        self._serial = itertools.count(1)

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait_for_server(self, asking: Asking) -> Placement:
        """Wait until a server is free that the attempt can use, and count the attempt as begun there."""
        await trio.lowlevel.checkpoint_if_cancelled()
        now = trio.current_time()
        if not self._waiting and (server := self._best(asking, now)) is not None:
            placement = self._place(server, asking.tokens, now)
            # Shielded, since a cancellation now would lose an attempt that is counted as begun.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return placement
        return await self._wait(asking)

    async def _wait(self, asking: Asking) -> Placement:
        me = _Turn()
        self._waiting[me] = None
        try:
            if self._is_any_free(asking.tokens, trio.current_time()):  # which all before this one could not use
                self.wake()
            else:
                me.has_come = len(self._waiting) == 1
            while True:
                now = trio.current_time()
                if me.has_come:
                    me.has_come = False
                    if (server := self._best(asking, now)) is not None:
                        return self._place(server, asking.tokens, now)  # noqa: ASYNC910 - the caller had a checkpoint
                    self._pass_on(me, asking.tokens, now)
                with trio.move_on_at(self._next_look(me, asking, now)) as waiting:
                    await me.woken.wait()
                me.woken = trio.Event()
                if waiting.cancelled_caught:  # a time has come: all in the queue may look, in order
                    self.wake()
        finally:
            del self._waiting[me]
            self.wake()

    def _place(self, server: ServerState, tokens: int, now: float) -> Placement:
        """Count an attempt as begun at a server. Its limiter counts too, so that the next look finds less room."""
        server.in_flight += 1
        server.last_used = next(self._serial)
        limiter = self._limiters[server]
        permit = limiter.begin(tokens, now) if limiter is not None else None
        return Placement(server, now, server.health.begin(), permit)

    def wake(self) -> None:
        """Let the first task look, because something has changed."""
        if self._waiting:
            self._let_look(next(iter(self._waiting)))

    def wake_all(self) -> None:
        """Let every task look whether it still wants to wait."""
        for turn in self._waiting:
            turn.woken.set()
        self.wake()

    def _let_look(self, turn: _Turn) -> None:
        turn.has_come = True
        turn.woken.set()

    def _pass_on(self, me: _Turn, tokens: int, now: float) -> None:
        """Let the next task look if there is a free server that this one cannot use."""
        if self._is_any_free(tokens, now):
            behind = itertools.dropwhile(lambda turn: turn is not me, self._waiting)
            next(behind)
            if (following := next(behind, None)) is not None:
                self._let_look(following)

    # Which server.

    def _best(self, asking: Asking, now: float) -> ServerState | None:
        """Return the free server with the least load; among equals, the one that was used least recently."""
        free = [server for server in asking.candidates() if asking.ready_at(server, now) <= now]
        return min(free, key=lambda server: self._rank(server, asking, now), default=None)

    def _rank(self, server: ServerState, asking: Asking, now: float) -> tuple[float, float, int, int]:
        return asking.tries[server], self.load(server, now), server.in_flight, server.last_used

    def load(self, server: ServerState, now: float) -> float:
        """Return which part of a server's limit is in use, from 0 to 1."""
        if (limiter := self._limiters[server]) is not None:
            return limiter.load(now)
        return server.in_flight / (server.in_flight + 10.0)  # the limit is unknown; comparable with a part of one

    def _is_any_free(self, tokens: int, now: float) -> bool:
        return any(self.ready_at(server, tokens, now) <= now for server in self.servers)

    def ready_at(self, server: ServerState, tokens: int, now: float) -> float:
        """Return the time at which an attempt may begin at a server; infinity if something has to end first."""
        ready = server.health.ready_at(now)
        if (limiter := self._limiters[server]) is not None:
            ready = max(ready, limiter.ready_at(tokens, now))
        return ready

    def _next_look(self, me: _Turn, asking: Asking, now: float) -> float:
        """Return when a task has to look again without being woken. The first one looks for all behind it."""
        times = list(asking.not_before.values())
        if next(iter(self._waiting)) is me:
            times += [self.ready_at(server, asking.tokens, now) for server in self.servers]
        return min((at for at in times if at > now), default=math.inf)
