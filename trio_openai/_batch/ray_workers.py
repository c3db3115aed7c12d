"""A job on many processes or machines: Ray actors send the requests, and this process does everything else.

The driver is the process that runs the job. It reads the input, skips what is done, keeps the budgets and is the only
writer, exactly as without Ray. Only the sending is elsewhere: a request goes to the worker with the fewest requests in
flight, and its result comes back. So all guarantees of a job on one machine hold here as well.

When a worker dies, its requests in flight go to a new worker. They are paid for twice, and nothing else is: results
that had arrived are not asked for again.

Ray has blocking functions. So each worker has a thread here, which waits for results and passes them to trio.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import math
import os
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs
import trio

from trio_openai.errors import BatchJobError

from .limits import Gate, NotStartedError
from .results import BatchResult
from .rows import BatchRow
from .settings import Settings

if TYPE_CHECKING:
    from .worker import Answer, Given

_MOST_DEATHS = 3  # of a worker in a row, without a result in between
_CLOSE_SECONDS = 10.0
_GATHER_SECONDS = 0.005


class RayWorkers:
    """Processes on this machine or on a Ray cluster that send the requests of a job. Pass it as `clients=`.

    Args:
        count: The number of workers. The limits of the job are divided among them.
        servers: For each server, the arguments of its `TrioOpenAI`, such as `{"base_url": ..., "api_key": ...}`.
        address: The address of a Ray cluster, such as `auto`. By default Ray is started on this machine.

    Raises:
        ValueError: `count` is less than 1.
        ModuleNotFoundError: Ray is missing. The extra `ray` installs it.
    """

    def __init__(self, count: int, servers: Sequence[Mapping[str, Any]] = ({},), *, address: str | None = None) -> None:
        if count < 1:
            raise ValueError(f"count takes a whole number of at least 1, not {count!r}")
        if importlib.util.find_spec("ray") is None:
            raise ModuleNotFoundError("batch.RayWorkers needs Ray: pip install 'trio-openai[ray]'", name="ray")
        self.count: int = count
        self.servers: list[Mapping[str, Any]] = list(servers)
        self.address: str | None = address
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self._is_connected, self._is_over = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self._jobs: list[WorkersOfJob] = []

    async def __aenter__(self) -> Self:
        """Connect to Ray, or start it.

        Raises:
            BatchJobError: Ray cannot be reached or started.
        """
        self._thread.start()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._is_connected.wait)
        if self._failure is not None:
            raise BatchJobError(f"Ray cannot be used: {self._failure}") from self._failure
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the workers. They cancel their requests first, so servers see the disconnects."""
        self._is_over.set()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)

    def _hold(self) -> None:
        """Connect to Ray, and close it in the end. Runs in a thread, since both take seconds.

        It is one thread for both: Linux ends the processes that Ray starts together with the thread that started them.
        """
        ray: Any = None
        try:
            ray = importlib.import_module("ray")
            is_ours = self._connect(ray)
        except Exception as error:  # noqa: BLE001 - `__aenter__` raises it
            self._failure = error
            return
        finally:
            self._is_connected.set()
        self._is_over.wait()
        for job in self._jobs:
            job.close()
        if is_ours:
            ray.shutdown()

    def _connect(self, ray: Any) -> bool:
        """Return whether the connection is ours."""
        if ray.is_initialized():
            return False
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a program that did not ask for Ray reports nothing
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self.address is None:
            options |= {"num_cpus": self.count, "include_dashboard": False}
        ray.init(address=self.address, **options)
        return True

    def for_job(self, gate: Gate, settings: Settings) -> WorkersOfJob:
        """Start the workers of a job."""
        job = WorkersOfJob(self, gate, settings)
        self._jobs.append(job)
        return job


@attrs.define(eq=False)
class _Sent:
    """A request that a worker has.

    Attributes:
        row: The request.
        ended: Set when there is an answer.
        answer: The result, the error that ends the job, or None if the request did not begin.
    """

    row: BatchRow
    ended: trio.Event = attrs.field(factory=trio.Event)
    answer: BatchResult | BaseException | None = None


class WorkersOfJob:
    """The workers of one job."""

    def __init__(self, workers: RayWorkers, gate: Gate, settings: Settings) -> None:
        from .worker import BatchWorker  # it imports the clients, which import this file

        ray: Any = importlib.import_module("ray")
        count = workers.count
        per_worker = (
            math.ceil(settings.max_concurrent / count),
            None if settings.rpm is None else settings.rpm / count,
            None if settings.tpm is None else settings.tpm / count,
        )
        actor = ray.remote(num_cpus=1, max_concurrency=1000, scheduling_strategy="SPREAD")(BatchWorker)
        servers = [{"max_connections": per_worker[0], **server} for server in workers.servers]

        def start() -> Any:
            return actor.remote(servers, *per_worker)

        self._ray = ray
        self._gate = gate
        self._is_closed = False
        self._workers = [_Worker(ray, start) for _ in range(count)]
        gate.when_closed(self._stop)

    async def send(self, row: BatchRow, *, replaces: bool) -> BatchResult:
        """Have a worker send the request of a row.

        Raises:
            NotStartedError: The job stopped before the request began.
            BatchJobError: The workers die again and again.
        """
        if self._gate.is_closed:
            await trio.lowlevel.checkpoint()
            raise NotStartedError
        answer = await min(self._workers, key=len).send(row)
        if answer is None:
            raise NotStartedError
        if isinstance(answer, BaseException):
            raise answer
        return attrs.evolve(answer, row=row, replaces_failure=replaces)

    def _stop(self) -> None:
        for worker in self._workers:
            worker.stop()

    async def aclose(self) -> None:
        """End the workers, so that their CPUs are free for the next job."""
        await trio.to_thread.run_sync(self.close)

    def close(self) -> None:
        """Close the workers, and wait for their end. Blocks, at most for some seconds."""
        if self._is_closed:
            return
        self._is_closed = True
        closing = [closed for worker in self._workers if (closed := worker.close()) is not None]
        self._ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS)
        for worker in self._workers:
            worker.kill()


class _Worker:
    """One worker as the driver sees it: its actor, the requests that it has, and the thread that waits for results.

    Args:
        ray: The module.
        start: The function that starts an actor.
    """

    def __init__(self, ray: Any, start: Any) -> None:
        self._ray = ray
        self._start = start
        self._token = trio.lowlevel.current_trio_token()
        self._numbers = itertools.count()
        self._sent: dict[int, _Sent] = {}
        self._outbox: list[Given] = []
        self._deaths = 0
        self._is_closing = self._is_stopped = False
        self._begin()

    def __len__(self) -> int:
        return len(self._sent)

    def _begin(self) -> None:
        self._actor = self._start()
        threading.Thread(target=self._receive, args=[self._actor], daemon=True).start()

    async def send(self, row: BatchRow) -> BatchResult | BaseException | None:
        """Return the answer to a request."""
        number = next(self._numbers)
        sent = self._sent[number] = _Sent(row)
        is_first = not self._outbox
        self._outbox.append((number, row))
        try:
            if is_first:
                await self._gather()
            await sent.ended.wait()
        finally:
            self._sent.pop(number, None)
        return sent.answer

    async def _gather(self) -> None:
        """Let the requests of the next moments travel together, since a call of Ray costs more than a line."""
        try:
            await trio.sleep(_GATHER_SECONDS)
        finally:
            self._flush()

    def _flush(self) -> None:
        rows, self._outbox = self._outbox, []
        if rows:
            self._actor.send.remote(rows)

    def _receive(self, actor: Any) -> None:
        """Pass the results of an actor to trio, until it ends. Runs in a thread."""
        died = "it ended"
        try:
            for reference in actor.results.options(num_returns="streaming").remote():
                self._soon(self._received, self._ray.get(reference))
        except Exception as error:  # noqa: BLE001 - whatever happened to the worker, it is gone
            died = " ".join(str(error).split()) or type(error).__name__
        self._soon(self._lost, actor, died)

    def _soon(self, function: Any, *arguments: object) -> None:
        try:
            self._token.run_sync_soon(function, *arguments)
        except trio.RunFinishedError:
            pass

    def _received(self, answers: Sequence[Answer]) -> None:
        self._deaths = 0
        for number, answer in answers:
            if (sent := self._sent.get(number)) is not None:
                sent.answer = answer
                sent.ended.set()

    def _lost(self, actor: Any, died: str) -> None:
        """Give the requests of a dead worker to a new one."""
        if self._is_closing or actor is not self._actor:
            return
        self._deaths += 1
        if self._deaths >= _MOST_DEATHS or self._is_stopped:
            failure = None if self._is_stopped else BatchJobError(f"a worker died {self._deaths} times: {died[:500]}")
            for sent in self._sent.values():
                sent.answer = failure
                sent.ended.set()
            return
        self._begin()
        self._outbox = [(number, sent.row) for number, sent in self._sent.items()]
        self._flush()

    def stop(self) -> None:
        """Begin no more requests."""
        self._is_stopped = True
        self._flush()
        self._actor.stop.remote()

    def close(self) -> Any:
        """Cancel all requests. Return the reference of the call."""
        self._is_closing = True
        return self._actor.close.remote()

    def kill(self) -> None:
        """End the process."""
        self._ray.kill(self._actor)
