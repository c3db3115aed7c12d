"""Run a batch job: take lines from the source, send what is not done yet, and write the results.

Three parts, none of which needs memory for more than the requests in flight:

* The dispatcher (`_BatchRun._dispatch`) takes one line at a time. It skips what the output has already, copies the
  answer of an identical request, and otherwise starts a task when there is room.
* Each request is one task (`_BatchRun._work`). It sends the request and writes the result before it gives its room
  back.
* `Index` (`journal.py`) knows what the output has.

What makes `kill -9` harmless: a result is in the file before its request stops being in flight, and a line of the input
is done exactly if its line of output is whole. So nothing else has to be remembered.

Rules that hold it together:

* An `APIError` is the result of its line. Anything else ends the job: no new request begins, those that run may finish,
  and the error is raised bare where the program waits, at the latest at the end of the block.
* If the output cannot be written, the lines are kept. Every later line tries again to write all of them, and the error
  that ends the job has those that are left.
* `stop` closes the `Gate`, so requests that wait for a limiter do not begin either. Nothing is written for a request
  that did not begin or was cancelled, so the next run sends it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from trio_openai._client import TrioOpenAI
from trio_openai._http.nursery import bare, nursery_around_block, raise_all, split_cancelled
from trio_openai._statistics import Usage
from trio_openai._wire.usage import INPUT_PARAMETERS, estimated_tokens
from trio_openai.errors import BatchJobError

from .clients import ClientsOfJob
from .given import clients_of, sink_of
from .input import Taker, read_row
from .limits import NO_USAGE, Budget, Gate, NotStartedError
from .output import Output
from .prices import Price, price_of
from .ray_workers import RayWorkers, WorkersOfJob
from .results import BatchResult, copied_line, invalid_line
from .rows import BatchRow, BatchRowError, Defaults
from .settings import Settings, settings_of
from .sinks import Sink
from .sources import Source, source_of
from .statistics import BatchCounters, BatchStatistics

DEFAULT_CONCURRENT = 256
STOP_SECONDS = 30.0
_MOST_HELD = 1000  # lines that wait for the answer of an identical request
_SLICE = 32  # lines that are taken between two checkpoints
_CLEANUP_SECONDS = 10.0


class _BatchRun:
    """One batch job: its tasks, its counters, and the error that ended it."""

    def __init__(
        self, source: Source, sink: Sink, clients: Sequence[TrioOpenAI] | RayWorkers, settings: Settings
    ) -> None:
        self.settings = settings
        self._source = source
        self._gate = Gate()
        self._clients = (
            clients.for_job(self._gate, settings)
            if isinstance(clients, RayWorkers)
            else ClientsOfJob(clients, self._gate, settings.max_concurrent, settings.rpm, settings.tpm)
        )
        self._output = Output(sink, settings)
        self.counters: BatchCounters = BatchCounters(trio.current_time())
        self._clock = trio.lowlevel.current_clock()
        self._room = trio.Semaphore(settings.max_concurrent)
        self._tokens = Budget(settings.max_tokens_total)
        self._money = Budget(settings.max_cost)
        self._pending: dict[bytes, list[tuple[BatchRow, bool]]] = {}  # rows that wait for an identical request
        self._held = 0
        self._sent = 0
        self._changed = trio.Event()  # set whenever a request has ended
        self._scope = trio.CancelScope()
        self._dispatch_scope = trio.CancelScope()
        self._failure: BaseException | None = None
        self.ended: trio.Event = trio.Event()

    # From the outside.

    def statistics(self) -> BatchStatistics:
        """Return the progress so far."""
        read, total = (getattr(self._source, name, None) for name in ("bytes_read", "bytes_total"))
        return self.counters.statistics(self._clock.current_time(), read, total)

    def stop(self, why: str, seconds: float) -> None:
        """Start no more requests. Cancel those that take longer than `seconds`."""
        self.counters.stopped_by = self.counters.stopped_by or why
        self._gate.close()
        self._dispatch_scope.cancel()
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + seconds)

    def cancel(self) -> None:
        """Cancel all requests."""
        self.counters.stopped_by = self.counters.stopped_by or "cancel"
        self._scope.cancel()

    def unsaved(self) -> list[dict[str, Any]]:
        """Return the output lines that could not be written."""
        return [dict(line) for line in self._output.unsaved]

    def raise_failure(self) -> None:
        """Raise the error that ended the job, if there is one. Raise it only once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def user_failures(self) -> list[BaseException]:
        """Return the error that ended the job, if it has not been raised yet."""
        return [] if self._failure is None else [self._failure]

    # The job.

    @trio.lowlevel.enable_ki_protection  # Ctrl-C must hit the user's own task, where it is raised bare
    async def run(self) -> None:  # noqa: ASYNC910 - nobody awaits this task
        """Run the job. Keep the failure for `raise_failure`."""
        try:
            with self._scope:  # noqa: ASYNC912 - opening the output is a checkpoint
                await self._output.open()
                async with trio.open_nursery() as syncing:
                    syncing.start_soon(self._sync_regularly)
                    async with trio.open_nursery() as workers:
                        with self._dispatch_scope:
                            await self._dispatch(workers)
                    syncing.cancel_scope.cancel()
        except BaseException as error:  # noqa: ASYNC103, BLE001 - the program gets it where it waits
            cancelled, rest = split_cancelled(bare(error))
            self._failure = self._failure or rest
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104
        finally:
            await self._close()  # noqa: ASYNC102 - shielded and bounded
            self.counters.end(trio.current_time())
            if isinstance(self._clients, WorkersOfJob):
                with trio.CancelScope(shield=True):  # bounded by itself
                    await self._clients.aclose()  # noqa: ASYNC102
            self.ended.set()

    async def _close(self) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLEANUP_SECONDS):
            await trio.lowlevel.checkpoint()
            try:
                await self._output.close()
            except BaseException as error:  # noqa: ASYNC103, BLE001 - raised where the program waits
                self._failure = self._failure or split_cancelled(error)[1]
        if (unsaved := self.unsaved()) and isinstance(self._failure, BatchJobError):
            self._failure = _with_unsaved(self._failure, unsaved)

    def fail(self, error: BaseException) -> None:
        """End the job. What runs may finish, so that what was paid for is not lost."""
        self._failure = self._failure or error
        self.stop("error", STOP_SECONDS)

    async def _sync_regularly(self) -> None:
        while True:
            await trio.sleep(self.settings.sync_seconds)
            try:
                await self._output.sync()
            except Exception as error:  # noqa: BLE001 - the sink's own, raised where the program waits
                self.fail(error)

    async def _dispatch(self, workers: trio.Nursery) -> None:
        """Take all lines, and start a task for each request that has to be sent."""
        taker = Taker(self._source)
        try:
            number = 0
            while (line := await taker.take()) is not None:
                number += 1
                if number % _SLICE == 0:
                    await trio.lowlevel.checkpoint()
                row = read_row(line, number, self.settings.defaults)
                if row is not None and self._is_mine(row) and not await self._handle(row, workers):
                    break
        except BaseException as error:  # noqa: ASYNC103, BLE001 - the source's; the program gets it after the running requests
            cancelled, rest = split_cancelled(error)
            if rest is not None:  # the lines before it still get their results
                self._failure = self._failure or rest
                self.counters.stopped_by = self.counters.stopped_by or "error"
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLEANUP_SECONDS):
                await taker.aclose()  # noqa: ASYNC102
        await trio.lowlevel.checkpoint()

    def _is_mine(self, row: BatchRow | BatchRowError) -> bool:
        """Return whether a row belongs to the shard. Identical requests belong to the same one."""
        shard = self.settings.shard
        return shard is None or int.from_bytes(row.digest) % shard[1] == shard[0] - 1

    async def _handle(self, row: BatchRow | BatchRowError, workers: trio.Nursery) -> bool:
        """Do what a row needs, and return whether the job goes on."""
        self.counters.read += 1
        state = self._output.index.take(row.identity)
        if state is True:
            self.counters.skipped += 1
            self.counters.skipped_failed += isinstance(row, BatchRowError) or self._output.index.took_failure
        elif isinstance(row, BatchRowError):
            self.counters.invalid += 1
            await self._write(invalid_line(row).to_dict(), "InvalidLine")
        elif not await self._copied(row, replaces=state is False):
            return await self._start(row, workers, replaces=state is False)
        return True  # noqa: ASYNC910 - `_dispatch` has checkpoints

    async def _copied(self, row: BatchRow, *, replaces: bool) -> bool:
        """Give a row the answer of an identical request. Return whether there is one."""
        if not self.settings.dedupe:
            return False  # noqa: ASYNC910 - `_dispatch` has checkpoints
        while self._held >= _MOST_HELD and row.digest in self._pending:
            await self._changed.wait()
        if (waiting := self._pending.get(row.digest)) is not None:
            waiting.append((row, replaces))
            self._held += 1
            return True  # noqa: ASYNC910 - `_dispatch` has checkpoints
        if (line := self._output.answer_of(row.digest)) is None:
            return False  # noqa: ASYNC910 - `_dispatch` has checkpoints
        await self._write_copy(line, row, replaces=replaces)
        return True  # noqa: ASYNC910 - `_dispatch` has checkpoints

    async def _start(self, row: BatchRow, workers: trio.Nursery, *, replaces: bool) -> bool:
        """Start the request of a row when there is room. Return False if the job has used enough."""
        settings = self.settings
        if settings.limit is not None and self._sent >= settings.limit:
            self.counters.stopped_by = "limit"
            return False  # noqa: ASYNC910 - `_dispatch` has checkpoints
        tokens = estimated_tokens(row.body)
        cost = self._cost_estimate(row, tokens)
        if settings.dry_run:
            self._count_dry(row, tokens, cost)
            return True  # noqa: ASYNC910 - `_dispatch` has checkpoints
        for budget, estimate, name in ((self._tokens, tokens, "max_tokens_total"), (self._money, cost, "max_cost")):
            while not budget.has_room(estimate):
                if not self.counters.running:
                    self.counters.stopped_by = name
                    return False  # noqa: ASYNC910 - `_dispatch` has checkpoints
                await self._changed.wait()
        await self._room.acquire()
        self._sent += 1
        self.counters.running += 1
        self._tokens.reserve(tokens)
        self._money.reserve(cost)
        if settings.dedupe:
            self._pending[row.digest] = []
        workers.start_soon(self._work, row, replaces, tokens, cost)
        return True  # noqa: ASYNC910 - `_dispatch` has checkpoints

    @trio.lowlevel.enable_ki_protection
    async def _work(self, row: BatchRow, replaces: bool, tokens: int, cost: float) -> None:  # noqa: ASYNC910
        """Send one request, and write its result."""
        result: BatchResult | None = None
        try:
            result = await self._clients.send(row, replaces=replaces)
            await self._finish(row, result)
        except NotStartedError:
            await trio.lowlevel.checkpoint()
        except BaseException as error:  # noqa: ASYNC103, BLE001 - not an `APIError`: it ends the job
            cancelled, rest = split_cancelled(error)
            if rest is not None:
                self.fail(rest)
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104
        finally:
            self._held -= len(self._pending.pop(row.digest, ()))
            self.counters.running -= 1
            self._settle(row, result, tokens, cost)
            self._room.release()
            self._changed.set()
            self._changed = trio.Event()

    async def _finish(self, row: BatchRow, result: BatchResult) -> None:  # noqa: ASYNC910 - sending had checkpoints
        """Write a result, also for the rows that have waited for it."""
        self.counters.count_timings(result.timings)
        line = result.to_dict()
        with trio.CancelScope(shield=True):  # it is paid for; a failure ends the job, and the sink has a time limit
            await self._write(line, _kind_of(line), row.digest)
            while self._failure is None and (waiting := self._pending.get(row.digest)):
                other, replaces = waiting.pop(0)
                self._held -= 1
                await self._write_copy(line, other, replaces=replaces)

    def _settle(self, row: BatchRow, result: BatchResult | None, tokens: int, cost: float) -> None:
        """Count what a request has used."""
        usage = None if result is None else result.usage
        is_unknown = usage is None and result is not None and result.error is None
        self._tokens.settle(tokens, tokens if is_unknown else (usage or NO_USAGE).total_tokens)
        self.counters.usage += usage or NO_USAGE
        prices = self.settings.prices
        if prices is not None:
            used = cost if is_unknown else price_of(prices, row.body.get("model")).of(usage or NO_USAGE)
            self._money.settle(cost, used)
            self.counters.cost = self._money.used

    # The output.

    async def _write_copy(self, line: Mapping[str, Any], row: BatchRow, *, replaces: bool) -> None:
        self.counters.copied += 1
        await self._write(copied_line(line, row, replaces_failure=replaces), _kind_of(line))

    async def _write(  # noqa: ASYNC910 - the callers have checkpoints
        self, line: Mapping[str, Any], failure: str | None, digest: bytes | None = None
    ) -> None:
        """Write a line of output, and count it."""
        if not self.settings.dry_run:
            try:
                await self._output.write(line, digest)
            except Exception as error:  # noqa: BLE001 - the sink's own, raised where the program waits
                self.fail(error)
                return  # noqa: ASYNC910
        self.counters.count_line(failure)
        most = self.settings.max_failures
        if most is not None and self.counters.failed >= most and failure is not None:
            self.stop("max_failures", STOP_SECONDS)

    # Estimates.

    def _cost_estimate(self, row: BatchRow, tokens: int) -> float:
        """Return what a request may cost, if its answer is as long as it allows."""
        if self.settings.prices is None:
            return 0.0
        price = price_of(self.settings.prices, row.body.get("model"))
        given = min(estimated_tokens({name: row.body[name] for name in INPUT_PARAMETERS if name in row.body}), tokens)
        return price.of(Usage(given, tokens - given))

    def _count_dry(self, row: BatchRow, tokens: int, cost: float) -> None:
        self._sent += 1
        counters = self.counters
        counters.would_send = self._sent
        counters.estimated_tokens = (counters.estimated_tokens or 0) + tokens
        if self.settings.prices is not None:
            counters.estimated_cost = (counters.estimated_cost or 0.0) + cost
        if self.settings.dedupe:
            self._output.remember(row.digest)


def _kind_of(line: Mapping[str, Any]) -> str | None:
    """Return the kind of an output line's error, or None."""
    error: Any = line.get("error")
    return None if error is None else str(error.get("type"))


def _with_unsaved(error: BatchJobError, unsaved: list[dict[str, Any]]) -> BatchJobError:
    lost = f"{error}. {len(unsaved)} answers could not be saved; they are in the error's `unsaved`"
    changed = BatchJobError(lost, unsaved)
    changed.__cause__ = error.__cause__
    return changed


class Job:
    """A running batch job. Leaving its block waits for its end."""

    def __init__(self, run: _BatchRun) -> None:
        self._run = run

    def statistics(self) -> BatchStatistics:
        """Return the progress so far. Cheap enough to poll. Also usable after the block."""
        return self._run.statistics()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Start no more requests, and let the running ones finish.

        Args:
            seconds: How long they have. Those that take longer are cancelled, and sent again by the next run.
        """
        self._run.stop("stop", seconds)

    def cancel(self) -> None:
        """Cancel all requests now. The next run sends them again."""
        self._run.cancel()

    @property
    def unsaved(self) -> list[dict[str, Any]]:
        """The output lines that could not be written, as dictionaries. A `BatchJobError` has them, too."""
        return self._run.unsaved()

    @property
    def is_done(self) -> bool:
        """True once the job has ended."""
        return self._run.ended.is_set()

    async def wait(self) -> BatchStatistics:
        """Wait until the job has ended, and return its final statistics.

        Raises:
            BatchJobError: The input cannot be read, or the output cannot be written.
        """
        await self._run.ended.wait()
        self._run.raise_failure()
        return self.statistics()


def run(
    source: Source | str | Path,
    sink: Sink | str | Path,
    *,
    clients: TrioOpenAI | Sequence[TrioOpenAI] | RayWorkers,
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
            `AdaptiveLimiter`. Or `RayWorkers`, which send the requests from other processes.
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
    settings = settings_of(
        defaults=Defaults(model=model, system=system, params=dict(params or {}), url=url),
        max_concurrent=max_concurrent,
        rpm=rpm,
        tpm=tpm,
        max_tokens_total=max_tokens_total,
        max_cost=max_cost,
        prices=prices,
        dedupe=dedupe,
        retry_failed=retry_failed,
        max_failures=max_failures,
        limit=limit,
        shard=shard,
        dry_run=dry_run,
        sync_seconds=sync_seconds,
    )
    return _opened(source_of(source), sink_of(sink), clients_of(clients), settings)


@asynccontextmanager
async def _opened(
    source: Source, sink: Sink, clients: Sequence[TrioOpenAI] | RayWorkers, settings: Settings
) -> AsyncGenerator[Job]:
    """Run a job while the block runs, and wait for its end. An exception of the block cancels it."""
    errors: list[BaseException] = []
    running = _BatchRun(source, sink, clients, settings)
    try:
        async with nursery_around_block() as nursery:
            nursery.start_soon(running.run)
            yield Job(running)
            await running.ended.wait()
        running.raise_failure()
    except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below
        errors.append(error)
    raise_all("the block failed, and so did the batch job", [*errors, *running.user_failures()])
