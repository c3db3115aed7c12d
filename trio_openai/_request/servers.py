"""The session of a client of several servers, which prepares a request for each of them.

`route.py` decides where each attempt of a call goes, and `server_queue.py` lets it wait for a server that is free.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from trio_openai._deadlines import NOT_GIVEN
from trio_openai._http.nursery import bare_nursery
from trio_openai._wire.encode import encode_json
from trio_openai._wire.json import decode_json, is_object

from .request import PreparedRequest
from .route import Route
from .server_queue import ServerQueue, ServerState
from .session import Session

if TYPE_CHECKING:
    from trio_openai._http.multipart import Form

    from .headers import HiddenHeaders


@attrs.frozen(kw_only=True, eq=False, repr=False, slots=False)
class ServersSession(Session):
    """The session of a client of several servers.

    Attributes:
        members: the session of each server's client.
        queue: the attempts that wait for a server.
    """

    members: tuple[Session, ...]
    queue: ServerQueue

    def route(self, request: PreparedRequest) -> Route:
        """Return the way of a call through the servers."""
        options = self.options
        return Route(self.queue, self.members, request, max_retries=options.max_retries, limiter=options.limiter)

    @property
    def most_at_once(self) -> float:
        """The number of requests that can be in flight at all servers together."""
        return sum(member.most_at_once for member in self.members)

    async def close(self) -> None:
        """Close every stream and connection, at all servers at the same time."""
        await self.lifetime.close(self._close_members, self.errors)

    async def _close_members(self) -> None:  # noqa: ASYNC910 - closing is a checkpoint
        async with bare_nursery() as nursery:
            for member in self.members:
                nursery.start_soon(member.close)

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        content: bytes | Form | None,
        accept: Mapping[str, str],
        extra_headers: HiddenHeaders,
        timeout: Any = NOT_GIVEN,
        *,
        stream: bool = False,
        endpoint: str | None = None,
        model: object = None,
    ) -> PreparedRequest:
        """Prepare a request that knows its form for each server. See `Session.request` for the arguments.

        Raises: as `Session.request`.
        """
        name = model if isinstance(model, str) else None
        template = endpoint or path

        def at(server: ServerState) -> PreparedRequest:
            there = self.members[server.number]
            here = server.models.get(name, name) if name is not None else None
            body = content if here == name else _renamed(content, here)
            where = there.options.path(path, {"model": here}) if method == "POST" else path
            return there.request(
                method, where, query, body, accept, extra_headers, timeout, stream=stream, endpoint=template, model=here
            )

        first = at(self.queue.servers[0])
        at_any = functools.partial(_with_total, first.deadlines.total, at)
        return attrs.evolve(first, path=path, content=content, model=name, at=at_any)


def _with_total(
    total: float | None, at: Callable[[ServerState], PreparedRequest], server: ServerState
) -> PreparedRequest:
    """Return a request for a server. The deadline of the whole call does not depend on the server."""
    request = at(server)
    return attrs.evolve(request, deadlines=attrs.evolve(request.deadlines, total=total))


def _renamed(content: bytes | Form | None, name: object) -> bytes | Form | None:
    """Return the body of a request with another name of the model."""
    if isinstance(content, bytes):
        body = decode_json(content)
        return encode_json({**body, "model": name}) if is_object(body) else content
    if content is None:
        return None
    return attrs.evolve(content, fields=[(key, str(name) if key == "model" else text) for key, text in content.fields])
