"""The client of a job: the program's, or several of them as one, with a limiter that stops with the job."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_openai._client import TrioOpenAI
from trio_openai._limits.limiter import RateLimiter
from trio_openai.servers import Servers

from .limits import Gate, JobLimiter, SeededLimiter, Unlimited
from .results import BatchResult
from .rows import BatchRow
from .send import send_row


class ClientsOfJob:
    """The clients of a job. Several are one `Servers`, so a request goes to whichever is free.

    Args:
        clients: The program's clients.
        gate: Closed when the job stops.
        max_concurrent: The number of requests at a time.
        rpm: Requests per minute over all clients, or None.
        tpm: Tokens per minute over all clients, or None.
    """

    def __init__(
        self, clients: Sequence[TrioOpenAI], gate: Gate, max_concurrent: int, rpm: float | None, tpm: float | None
    ) -> None:
        self._gate = gate
        shared = None
        if rpm is not None or tpm is not None:
            shared = RateLimiter(requests_per_minute=rpm, tokens_per_minute=tpm)
        client = clients[0] if len(clients) == 1 else _as_one(clients, max_concurrent)
        # A `Servers` has a limiter for each server, which is asked before the one for all of them.
        given = client._options.limiter  # pyright: ignore[reportPrivateUsage]
        own = Unlimited() if isinstance(client, Servers) else given or SeededLimiter(max_concurrent)
        self._client = client.with_options(limiter=JobLimiter(gate, shared, own))

    async def send(self, row: BatchRow, *, replaces: bool) -> BatchResult:
        """Send the request of a row.

        Raises:
            NotStartedError: The job stopped before the request began.
        """
        result = await self._gate.unless_closed(lambda: send_row(self._client, row))
        return attrs.evolve(result, replaces_failure=True) if replaces else result


def _as_one(clients: Sequence[TrioOpenAI], max_concurrent: int) -> Servers:
    """Return several clients as one, each with a limiter."""
    return Servers([_with_limiter(client, max_concurrent) for client in clients])


def _with_limiter(client: TrioOpenAI, max_concurrent: int) -> TrioOpenAI:
    if client._options.limiter is not None:  # pyright: ignore[reportPrivateUsage]
        return client
    return client.with_options(limiter=SeededLimiter(max_concurrent))
