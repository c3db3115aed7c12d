"""`run_sync`: a batch job for programs without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import trio

from trio_openai.sync import SyncOpenAI

from .run import run
from .statistics import BatchStatistics

if TYPE_CHECKING:
    from trio_openai._client import TrioOpenAI
    from trio_openai._sync.portal import Portal

    from .prices import Price
    from .sinks import Sink
    from .sources import Source


class BatchOptions(TypedDict, total=False):
    """The options of `batch.run`, which describes them."""

    model: str | None
    system: str | None
    params: Mapping[str, Any] | None
    url: str
    max_concurrent: int
    rpm: float | None
    tpm: float | None
    max_tokens_total: int | None
    max_cost: float | None
    prices: Mapping[str, Price] | str | Path | None
    dedupe: bool
    retry_failed: bool
    max_failures: int | None
    limit: int | None
    shard: tuple[int, int] | None
    dry_run: bool
    sync_seconds: float


def run_sync(
    source: Source | str | Path,
    sink: Sink | str | Path,
    *,
    client: SyncOpenAI,
    progress: Callable[[BatchStatistics], object] | None = None,
    **options: Unpack[BatchOptions],
) -> BatchStatistics:
    """Run a batch job, and block until it has ended.

    An interrupt such as Ctrl+C cancels the requests in flight. The next run sends them again.

    Args:
        source: As in `run`.
        sink: As in `run`.
        client: The blocking client.
        progress: A function that is called with the statistics every second. It must not block.
        options: The other arguments of `run`.

    Returns:
        The final statistics.

    Raises:
        TypeError, ValueError: An argument is wrong.
        BatchJobError: The input cannot be read, or the output cannot be written.
        Exception: `progress` raised it. The job has been cancelled.
    """

    async def job(portal: Portal[TrioOpenAI]) -> BatchStatistics:
        clients = client._session.client(portal)  # pyright: ignore[reportPrivateUsage]
        async with run(source, sink, clients=clients, **options) as running:
            while progress is not None and not running.is_done:
                with trio.move_on_after(1):
                    await running.wait()
                progress(running.statistics())
            return await running.wait()

    return client._session.portals.run(job)  # pyright: ignore[reportPrivateUsage]
