"""A client of several servers: a `TrioOpenAI` whose requests go to whichever server is free.

    async with Servers(["http://gpu1:8000/v1", "http://gpu2:8000/v1"]) as servers:
        async with servers.chat.completions.stream(model="qwen3", messages=[...]) as stream:
            ...

This file makes the clients and their common session. `_request/route.py` chooses a server for each attempt, and
`_limits/health.py` decides whether a server is down.
"""

# pyright: reportPrivateUsage=false
# A `Servers` is made of the sessions of its clients.

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Self, cast

import attrs
import trio

from trio_openai._httpx import httpx, is_url

from ._client import TrioOpenAI, keep_attributes
from ._http.secrets import shown_text, shown_url
from ._limits.limiter import AdaptiveLimiter, Limiter
from ._mistakes import check_limiter
from ._request.options import ClientOptions, hide_secrets
from ._request.server_queue import ServerQueue, ServerState
from ._request.servers import ServersSession
from ._request.session import Session
from ._statistics import ServersStatistics, ServerStatus, TransportStatistics, Usage
from .errors import OpenAIError

__all__ = ["Server", "Servers"]


def _models(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        names: dict[Any, Any] = dict(cast("Any", given))
        if all(isinstance(text, str) for pair in names.items() for text in pair):
            return names
    raise TypeError('models takes a dictionary from names to names at this server, as in {"qwen3": "Qwen/Qwen3-8B"}')


def _is_limiter(_: object, __: object, value: Any) -> None:
    if value is not None:
        check_limiter(value)


def _shown(server: object) -> str:
    return repr(server) if isinstance(server, TrioOpenAI) else repr(shown_text(str(server)))


def _is_client_or_url(_: object, __: object, value: Any) -> None:
    if isinstance(value, Servers):
        raise TypeError("a server of Servers cannot be a Servers: list all servers in one")
    if not (isinstance(value, str | TrioOpenAI) or is_url(value)):
        raise TypeError(f"a server is a base URL, a TrioOpenAI, or a Server, not {type(value).__name__}")


@attrs.frozen(eq=False)
class Server:
    """One server of a `Servers`, if a base URL or a client alone does not say enough.

    Args:
        server: The base URL, such as `http://gpu1:8000/v1`, or a client, such as a `TrioOpenAI` or an `AzureOpenAI`.
        name: The name in `statistics()`. By default the host and the port.
        api_key_env: The environment variable that has the key, for a base URL. By default `OPENAI_API_KEY`.
        limiter: The limiter of this server, for a base URL. By default a new `AdaptiveLimiter`.
        models: The names of models at this server, by the names that your calls use. Other names are sent as they are.

    Raises:
        TypeError: An argument has the wrong type, or a client is given together with an option that it has itself.
    """

    server: str | httpx.URL | TrioOpenAI = attrs.field(validator=_is_client_or_url, repr=_shown)
    name: str | None = attrs.field(default=None, kw_only=True)
    api_key_env: str | None = attrs.field(default=None, kw_only=True)
    limiter: Limiter | None = attrs.field(default=None, kw_only=True, validator=_is_limiter)
    models: Mapping[str, str] = attrs.field(default=None, kw_only=True, converter=_models)


class Servers(TrioOpenAI):
    """A client of several servers. It has everything that a `TrioOpenAI` has.

    Each attempt waits in one queue, and goes to the least loaded server whose limiter permits it. If servers are
    equally loaded, it goes to the one that was used least recently. A server that fails before the first event is
    replaced by another one at once: if it cannot be reached, passes a deadline, refuses the key, or answers 404, 408,
    409, 429 or 5xx. After the first event nothing is repeated. All other errors would be the same everywhere, so they
    are raised.

    A server that is down is not asked for half a second, and for longer each time, up to half a minute. Then one
    ordinary request tries it. If all servers are down, a request waits for one, and fails after `max_retries` such
    tries.

    Every client keeps its options: its key, headers, deadlines, observer and limiter. One call asks each server again
    at most `max_retries` times. It tells the observers of all clients. The deadline `total` is that of the first one.

    Stored objects, such as files and responses with `previous_response_id`, exist at one server only. Use that server's
    client for them: `servers.clients` has all.

    Args:
        servers: Base URLs, clients and `Server`s. Closing this client closes theirs. A client without a limiter gets an
            `AdaptiveLimiter`.
        options: Options of `TrioOpenAI` for the servers that are given as base URLs.

    Raises:
        OpenAIError: There is no key for a server.
        TypeError, ValueError: There are no servers, one is given twice, or an option is invalid.
    """

    _session: ServersSession

    def __init__(self, servers: Iterable[str | httpx.URL | TrioOpenAI | Server], **options: Any) -> None:
        hide_secrets(ClientOptions, options)  # a traceback shows the locals
        if isinstance(servers, str | TrioOpenAI | Server):
            raise TypeError(f"Servers takes a list of servers, not one {type(servers).__name__}")
        given = [one if isinstance(one, Server) else Server(one) for one in servers]
        if not given:
            raise ValueError("Servers needs at least one server")
        clients = tuple(_client_of(one, options) for one in given)
        if len(set(map(id, clients))) < len(clients):
            raise ValueError("a client is given twice; the limiter decides how much a server gets")
        names = _names([one.name or _host(client) for one, client in zip(given, clients, strict=True)])
        states = [
            ServerState(name=name, number=number, limiter=_limiter_of(client), models=one.models)
            for number, (name, one, client) in enumerate(zip(names, given, clients, strict=True))
        ]
        self.clients: tuple[TrioOpenAI, ...] = clients
        self._set_up_servers([client._session for client in clients], ServerQueue(states))

    def _set_up_servers(self, members: list[Session], queue: ServerQueue) -> None:
        options, errors = _common(members), {error for member in members for error in member.errors}
        session = ServersSession(
            options=options, http=members[0].http, errors=tuple(errors), members=tuple(members), queue=queue
        )
        self._set_up(options, session)

    def __repr__(self) -> str:
        names = [server.name for server in self._session.queue.servers] if hasattr(self, "clients") else []
        return f"<{type(self).__name__} {', '.join(names) or 'not initialized'}>"

    def statistics(self) -> ServersStatistics:
        """Return the state of every server, and how many attempts wait for one."""
        session = self._session
        servers = tuple(map(self._statistics_of, session.queue.servers))
        pools = [member.transport.statistics() for member in session.members if member.transport is not None]
        sums = [sum(column) for column in zip(*map(attrs.astuple, pools), strict=True)]
        return ServersStatistics(
            open_streams=len(session.lifetime.streams),
            transport=TransportStatistics(*sums) if sums else None,
            usage=sum((server.usage for server in servers), Usage()),
            waiting=len(session.queue),
            servers=servers,
        )

    def _statistics_of(self, server: ServerState) -> ServerStatus:
        now = trio.current_time()
        return ServerStatus(
            name=server.name,
            state=server.health.state,
            retry_in=max(server.health.retry_at() - now, 0.0),
            in_flight=server.in_flight,
            done=server.done,
            failed=server.failed,
            load=self._session.queue.load(server, now),
            last_error=server.last_error,
            usage=self._session.members[server.number].used.total.usage(),
        )

    def with_options(self, **options: Any) -> Self:
        """Return a client with other options for every server, which shares the servers' state and connections.

        Args:
            options: The options to change. A `limiter` is added: each attempt asks it after that of its server, so that
                it limits all servers together.

        Raises:
            TypeError, ValueError: An option is unknown, invalid, or belongs to a server.
        """
        if own := [name for name in ("base_url", "azure_endpoint") if name in options]:
            raise TypeError(f"each server has its own {own[0]}, so with_options() cannot change it for all")
        session = self._session
        limiter = options.pop("limiter", session.options.limiter)
        changed = [attrs.evolve(one, options=one.options.changed(dict(options))) for one in session.members]
        copy = object.__new__(type(self))
        common = _common(changed, limiter)
        copy._set_up(common, attrs.evolve(session, options=common, members=tuple(changed)))
        keep_attributes(self, copy)
        return copy


def _client_of(given: Server, options: Mapping[str, Any]) -> TrioOpenAI:
    """Return the client of one server, with a limiter."""
    where = given.server
    if isinstance(where, TrioOpenAI):
        if given.api_key_env is not None or given.limiter is not None:
            raise TypeError("a client has its own key and limiter: pass them to the client and not to its Server")
        return where
    mine: dict[str, Any] = {**options, "base_url": where}
    if (name := given.api_key_env) is not None:
        if not os.environ.get(name):
            raise OpenAIError(f"there is no API key for {given.name or shown_text(str(where))}: {name} is not set")
        mine["api_key"] = os.environ[name]
        hide_secrets(ClientOptions, mine)
    if given.limiter is not None:
        mine["limiter"] = given.limiter
    return TrioOpenAI(**mine)


def _limiter_of(client: TrioOpenAI) -> Limiter:
    limiter = client._session.options.limiter
    return limiter if limiter is not None else AdaptiveLimiter()


def _host(client: TrioOpenAI) -> str:
    url = httpx.URL(shown_url(client.base_url))
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port}" if url.port else host


def _names(wanted: list[str]) -> list[str]:
    """Return names that differ: the second `gpu1` becomes `gpu1 (2)`."""
    seen: Counter[str] = Counter()
    names: list[str] = []
    for name in wanted:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _common(members: list[Session], limiter: Limiter | None = None) -> ClientOptions:
    """Return the options of calls that may go to any of the servers."""
    first = members[0].options
    observers = {id(one): one for member in members for one in member.options.observer}
    return ClientOptions(
        api_key=first.key,
        base_url=first.url,
        webhook_secret=first.webhook_secret,
        timeout=first.timeout,
        max_retries=max(member.options.max_retries for member in members),
        observer=tuple(observers.values()),
        limiter=limiter,
        max_event_bytes=min(member.options.max_event_bytes for member in members),
    )
