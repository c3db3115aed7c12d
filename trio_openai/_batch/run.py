"""Run a batch job: take lines from the source, send what is not done yet, and write the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from trio_openai._client import TrioOpenAI

from .prices import Price
from .sinks import Sink
from .sources import Source
from .statistics import BatchStatistics

DEFAULT_CONCURRENT = 256
STOP_SECONDS = 30.0


class Job:
    """A running batch job. Leaving its block waits for its end."""

    def statistics(self) -> BatchStatistics:
        """Return the progress so far. Cheap enough to poll. Also usable after the block."""
        raise NotImplementedError

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Start no more requests, and let the running ones finish.

        Args:
            seconds: How long they have. Those that take longer are cancelled, and sent again by the next run.
        """
        raise NotImplementedError

    def cancel(self) -> None:
        """Cancel all requests now. The next run sends them again."""
        raise NotImplementedError

    @property
    def is_done(self) -> bool:
        """True once the job has ended."""
        raise NotImplementedError

    async def wait(self) -> BatchStatistics:
        """Wait until the job has ended, and return its final statistics.

        Raises:
            BatchJobError: The input cannot be read, or the output cannot be written.
        """
        raise NotImplementedError


def run(
    source: Source | str | Path,
    sink: Sink | str | Path,
    *,
    clients: TrioOpenAI | Sequence[TrioOpenAI],
    model: str | None = None,
    system: str | None = None,
    params: Mapping[str, Any] | None = None,
    url: str = "/v1/chat/completions",
    max_concurrent: int = DEFAULT_CONCURRENT,
    rpm: float | None = None,
    tpm: float | None = None,
    max_tokens_total: int | None = None,
    max_cost: float | None = None,
    prices: Mapping[str, Price] | str | Path | None = None,
    dedupe: bool = True,
    retry_failed: bool = False,
    max_failures: int | None = None,
    limit: int | None = None,
    shard: tuple[int, int] | None = None,
    dry_run: bool = False,
    sync_seconds: float = 1.0,
) -> AbstractAsyncContextManager[Job]:
    """Run a batch job inside an `async with` block. Leaving the block waits for its end.

    Args:
        source: Where the requests come from: a file of lines (`-` is the standard input), or your own `Source`.
        sink: Where the results go: a file of lines, or your own `Sink`.
        clients: One client, or several whose servers share the work. A client with a limiter keeps it. Others get an
            `AdaptiveLimiter`.
        model: The model, for lines that name none.
        system: The system message, for short lines that have none.
        params: Parameters of the API for short lines, such as `{"temperature": 0}`.
        url: The endpoint of lines that name none.
        max_concurrent: The number of requests at a time.
        rpm: Requests per minute, over all clients.
        tpm: Tokens per minute, over all clients.
        max_tokens_total: Start no more requests when this run may use more tokens than this.
        max_cost: As `max_tokens_total`, in the currency of `prices`, which it needs.
        prices: The prices of models, or a file that `load_prices` reads.
        dedupe: Send identical requests once. Each line still gets its own result.
        retry_failed: Send lines again that failed in an earlier run.
        max_failures: Start no more requests after this many failed lines.
        limit: Send at most this many requests.
        shard: `(i, n)` takes the i-th of n parts, from 1. Every request is in exactly one, whatever the order of lines.
        dry_run: Only read and count. Nothing is sent and nothing is written.
        sync_seconds: The time between two calls of fsync.

    Raises:
        TypeError, ValueError: An argument is wrong.
        BatchJobError: The input cannot be read, or the output cannot be written.
    """
    raise NotImplementedError
