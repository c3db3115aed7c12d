"""The clients of a job: each with its limiter, and the choice between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import attrs

from trio_openai._client import TrioOpenAI
from trio_openai._limits.limiter import RateLimiter

from .limits import Gate, JobLimiter
from .results import BatchResult
from .rows import BatchRow
from .send import send_row


def clients_of(given: object) -> list[TrioOpenAI]:
    """Return the clients of a job.

    Raises:
        TypeError: There are none, or they are something else.
    """
    clients = [given] if isinstance(given, TrioOpenAI) else list(cast("Iterable[Any]", given))
    if not clients or not all(isinstance(one, TrioOpenAI) for one in clients):
        raise TypeError("clients takes a TrioOpenAI, or a list of them")
    return clients


class ClientsOfJob:
    """The clients of a job. A request goes to the one with the fewest requests in flight.

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
        shared = None
        if rpm is not None or tpm is not None:
            shared = RateLimiter(requests_per_minute=rpm, tokens_per_minute=tpm)
        self._clients: list[TrioOpenAI] = []
        for client in clients:
            own = client._options.limiter  # pyright: ignore[reportPrivateUsage]
            self._clients.append(client.with_options(limiter=JobLimiter(gate, shared, own, max_concurrent)))
        self._running = [0] * len(self._clients)

    async def send(self, row: BatchRow, *, replaces: bool) -> BatchResult:
        """Send the request of a row.

        Raises:
            NotStartedError: The job stopped before the request began.
        """
        running = self._running
        index = running.index(min(running))
        running[index] += 1
        try:
            result = await send_row(self._clients[index], row)
        finally:
            running[index] -= 1
        return attrs.evolve(result, replaces_failure=True) if replaces else result
