"""The way of one call through several servers: where each of its attempts goes, and what an error leads to.

A client of several servers (`trio_openai/servers.py`) has a `ServersSession`. Its requests know their form for each
server (`PreparedRequest.at`): the path, the headers, the key and the name of the model may differ. An `Exchange` of
such a session has a `Route` instead of permits. Before each attempt, the route waits in the `ServerQueue` for a server.
Another server is asked only where one server would be asked again: before the first event.
"""

from __future__ import annotations

import functools
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import attrs
import trio

from trio_openai._http.lifetime import ClosedClientError
from trio_openai._limits.health import Blame, blame_for, stated_wait
from trio_openai._limits.limiter import Attempt, Limiter, Outcome, Permit
from trio_openai._limits.permits import Answered, describe
from trio_openai._wire.retries import RetryPolicy, delay, headers_of
from trio_openai._wire.usage import tokens_of_answer
from trio_openai.errors import APIConnectionError, APIError, APIStatusError

from .request import PreparedRequest
from .server_queue import Placement, ServerQueue, ServerState
from .session import Session

_AnsweredT = TypeVar("_AnsweredT", bound=Answered)


class Route:
    """The way of one call through the servers. An `Exchange` uses it as it uses `Permits`.

    Attributes:
        waited: the seconds that the latest attempt has waited for a server.
        tokens: the estimated tokens of an attempt.
        tries: how often each server was asked; infinity for one that need not be asked again.
        not_before: the time before which this call does not ask a server again.
        apart: how many contenders of the same race each server has; None outside of a race.
    """

    def __init__(
        self,
        queue: ServerQueue,
        members: Sequence[Session],
        request: PreparedRequest,
        *,
        max_retries: int,
        limiter: Limiter | None,
    ) -> None:
        self._queue = queue
        self._members = members
        self._max_retries = max_retries
        self._common = limiter  # of all servers together
        self._request = request
        self._about = describe(request.method, request.path, request.content)
        self._placement: Placement | None = None
        self._permits: list[Permit] = []
        self._outcome = Outcome()
        # A whole URL was checked to be at the first server. Its path may mean nothing to the others.
        self._only = None if request.path.startswith("/") else self._queue.servers[0]
        self._latest: ServerState | None = None
        self._stays = False  # the next attempt asks for the rest of an answer, which only one server has
        self._has_given_up = False
        self._failed_probes = self._queue.failed_probes
        self.waited = 0.0
        self.tokens = self._about.tokens
        self.tries: Counter[ServerState] = Counter()
        self.not_before: dict[ServerState, float] = {}
        self.apart: Counter[ServerState] | None = None

    # As `Permits`.

    async def attempt(
        self, send: Callable[[], Awaitable[_AnsweredT]], go_to: Callable[[Session, PreparedRequest], None]
    ) -> _AnsweredT:
        """Wait for a server and make an attempt there.

        A failed attempt is settled here. A successful one is settled by the caller, when its body is done.

        Args:
            send: makes the attempt.
            go_to: gets the server's session and the request in its form for that server, before the attempt.
        """
        asked_at = trio.current_time()
        self._placement, self._outcome = await self._queue.wait_for_server(self), Outcome()
        server = self._latest = self._placement.server
        if self._placement.permit is not None:
            self._permits.append(self._placement.permit)
        try:
            self.tries[server] += 1
            if self.apart is not None:
                self.apart[server] += 1
            about = self._about if self._stays else self._describe_at(server, go_to)
            if self._placement.permit is None:
                self._permits.append(await server.limiter.acquire(about))
            if self._common is not None:
                self._permits.append(await self._common.acquire(about))
            self.waited = trio.current_time() - asked_at
            opened = await send()
        except APIStatusError as error:
            self._outcome = Outcome(status=error.status_code, headers=error.response.headers)
            self._settle(None, error)
            raise
        except APIError as error:
            self._settle(None, error)
            raise
        except BaseException:
            server.health.give_up(probes=self._placement.probes)
            self._end(Outcome())
            raise
        self._outcome = Outcome(status=opened.status, headers=opened.response.headers)
        server.health.answered(probes=self._placement.probes)
        self._queue.wake()
        return opened

    def settle(self, tokens: int | None, error: APIError | None) -> None:
        """Record the end of the attempt. Idempotent.

        Args:
            tokens: how many tokens it used, or None if that is unknown.
            error: the error that it ended with, or None.
        """
        if self._placement is not None and error is not None:
            self._remember(error)
        self._settle(tokens, error)

    def _settle(self, tokens: int | None, error: APIError | None) -> None:
        if (placement := self._placement) is None:
            return
        server = placement.server
        if (blame := blame_for(error) if error is not None else None) is not None and error is not None:
            self._blame(placement, blame, error)
        elif self._outcome.status is not None:
            server.health.answered(probes=placement.probes)
            server.health.succeeded(began=placement.began)
            server.done += error is None
            server.failed += error is not None
        else:
            server.health.give_up(probes=placement.probes)
        self._end(attrs.evolve(self._outcome, tokens=tokens, code=(error.code or error.type) if error else None))

    def settle_plain(self, content: bytes | None) -> None:
        """Record the end of an attempt whose response is not a stream. `content` is None if it was not read whole."""
        if content is None:
            self._end(self._outcome)
        elif self._placement is not None:
            self.settle(tokens_of_answer(content), None)

    def ask_instead(self, path: str) -> None:
        """Send the next attempts to the same server, which is the only one that knows this answer."""
        self._only = self._latest
        self._stays = True
        self._about = attrs.evolve(self._about, method="GET", path=path, tokens=0)
        self.tokens = 0

    # For the queue.

    def candidates(self) -> list[ServerState]:
        """Return the servers that may be asked, whether they are free or not.

        Raises:
            APIConnectionError: all servers are down, and have been for as long as this call would have tried.
            trio.ClosedResourceError: all clients are closed.
        """
        left = self._left()
        if not left:
            raise ClosedClientError("the clients of all servers have been closed")
        up = [server for server in left if server.health.state == "up"]
        if not up and self._queue.failed_probes - self._failed_probes > self._max_retries:
            raise self._all_down(left)
        if self.apart is None:
            return left
        least = min(self.apart[server] for server in up or left)
        return [server for server in up or left if self.apart[server] == least]

    def ready_at(self, server: ServerState, now: float) -> float:
        """Return the time at which this call may ask a server."""
        return max(self._queue.ready_at(server, self.tokens, now), self.not_before.get(server, -math.inf))

    # For the policy.

    def may_go_on(self, error: APIError) -> bool:
        """Return whether another attempt may follow this error, at any server."""
        self._remember(error)
        if blame_for(error) is None or not (left := self._left()):
            return False
        if self._has_given_up:
            return False
        taken = self.apart
        # The other contenders of a race are asking the rest of the servers already.
        return taken is None or any(not taken[server] and server.health.state == "up" for server in left)

    # Inside.

    def _describe_at(self, server: ServerState, go_to: Callable[[Session, PreparedRequest], None]) -> Attempt:
        """Let the exchange send its request to a server, and describe the attempt for the limiter."""
        asked = self._request
        assert asked.at is not None
        request = asked.at(server)
        if (without_usage := asked.without_usage) is not None:
            request = attrs.evolve(request, without_usage=functools.partial(_without_usage, without_usage, server))
        go_to(self._members[server.number], request)
        return attrs.evolve(self._about, path=request.path, model=request.model)

    def _left(self) -> list[ServerState]:
        """Return the servers that this call may still ask."""
        servers = self._queue.servers if self._only is None else [self._only]
        return [server for server in servers if self._may_ask(server, self._members[server.number])]

    def _may_ask(self, server: ServerState, member: Session) -> bool:
        return not member.lifetime.is_closed and self.tries[server] <= member.options.max_retries

    def _remember(self, error: APIError) -> None:
        """Remember an error, whose message has no secrets any more, as the latest of its server."""
        if self._latest is not None and blame_for(error) is not None and not self._has_given_up:
            self._latest.last_error = f"{type(error).__name__}: {error}"

    def _blame(self, placement: Placement, blame: Blame, error: APIError) -> None:
        """Record a failure that is a reason to ask another server."""
        server, now, unix_time = placement.server, trio.current_time(), time.time()
        server.failed += 1
        wait = stated_wait(error, unix_time) if blame is Blame.BUSY else 0.0
        is_down = server.health.failed(
            blame, wait, began=placement.began, probes=placement.probes, now=now, random=random.random()
        )
        if is_down and placement.probes:
            self._queue.failed_probes += 1
            self._failed_probes += 1  # one's own are counted by `tries`
        if isinstance(error, APIStatusError) and error.status_code not in (408, 409):
            if blame in (Blame.ELSEWHERE, Blame.UNREACHABLE):
                self.tries[server] = _NEVER_AGAIN
        elif isinstance(error, APIConnectionError) and error.is_final:
            self.tries[server] = _NEVER_AGAIN
        again = delay(max(self.tries[server] - 1, 0), headers_of(error), random.random(), unix_time)
        self.not_before[server] = now + again
        if self.apart is not None:
            self.apart[server] -= 1
        if is_down:
            self._queue.wake_all()

    def _end(self, outcome: Outcome) -> None:
        """Release the place at the server. Idempotent."""
        placement, self._placement = self._placement, None
        permits, self._permits = self._permits, []
        if placement is not None:
            placement.server.in_flight -= 1
        try:
            for permit in permits:
                permit.settle(outcome)
        finally:
            self._queue.wake()

    def _all_down(self, servers: list[ServerState]) -> APIError:
        self._has_given_up = True
        said = [f"{server.name}: {(server.last_error or '').partition(': ')[2]}" for server in servers]
        error = APIConnectionError("all servers are down (" + "; ".join(said) + ")")
        error.is_final = True
        return error


def _without_usage(template: Callable[[], PreparedRequest], server: ServerState) -> PreparedRequest:
    at = template().at
    assert at is not None
    return at(server)


_NEVER_AGAIN = 1_000_000_000  # tries


class RoutePolicy(RetryPolicy):
    """The retry policy of a call that may go to several servers. Waits are the business of the queue."""

    __slots__ = ("_route",)

    def __init__(self, route: Route) -> None:
        super().__init__(0)
        self._route = route

    def allows(self, error: APIError, unix_time: float, *, after_headers: bool = False) -> bool:  # noqa: ARG002 - as in the base class
        """Return whether another attempt may follow this error, at any server."""
        return self._route.may_go_on(error)

    def plan(self, error: APIError, unix_time: float, random: float) -> float:  # noqa: ARG002 - as in the base class
        """Count another attempt. It goes to the queue at once, which knows when a server may be asked."""
        self.retries += 1
        return 0.0
