"""Run many jobs in few tasks: one that has finished its job waits for the next one.

A task of its own for every job would cost up to 5 % of a short call (`benchmarks/scale.py`, the table of calls).

Nobody notices that a job's task has run others. Each job gets its own copy of the context of whoever starts it, just as
a new task would: it sees their context variables, and what it sets itself is gone when it ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Generic, TypeVar

import trio

JobT = TypeVar("JobT")


class Workers(Generic[JobT]):
    """The tasks of one nursery that run jobs.

    Args:
        nursery: what the tasks belong to.
        run: runs one job. What it raises ends its task, and so the nursery.
    """

    def __init__(self, nursery: trio.Nursery, run: Callable[[JobT], Awaitable[None]]) -> None:
        self._nursery = nursery
        self._run = run
        self._waiting: dict[trio.lowlevel.Task, None] = {}  # tasks without a job, the last one to finish last
        self._jobs: dict[trio.lowlevel.Task, JobT] = {}  # of tasks that have been woken, and have not run yet
        self._is_closed = False

    def start_soon(self, job: JobT) -> None:
        """Run a job in a task that has none, or in a new one."""
        if not self._waiting:
            self._nursery.start_soon(self._work, job)
            return
        task, _ = self._waiting.popitem()
        task.context = copy_context()  # it counts from the task's next step on, which is the first of this job
        self._jobs[task] = job
        trio.lowlevel.reschedule(task)

    def close(self) -> None:
        """Let every task end after its job."""
        self._is_closed = True
        while self._waiting:  # an instrument that cancels at this moment removes others
            task, _ = self._waiting.popitem()
            trio.lowlevel.reschedule(task)

    @trio.lowlevel.enable_ki_protection
    async def _work(self, job: JobT) -> None:  # noqa: ASYNC910 - nobody awaits this task
        task = trio.lowlevel.current_task()
        while True:
            await self._run(job)
            del job  # it may hold a large prompt
            if self._is_closed:
                return
            await self._wait(task)
            if task not in self._jobs:
                return
            job = self._jobs.pop(task)

    async def _wait(self, task: trio.lowlevel.Task) -> None:
        """Wait until the task has a job, or until there are no more."""

        def abort(_raise_cancel: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            del self._waiting[task]
            return trio.lowlevel.Abort.SUCCEEDED

        self._waiting[task] = None
        await trio.lowlevel.wait_task_rescheduled(abort)
