"""The tasks of `run_many` run call after call, and no call can tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import CHAT, client_over, serve

from trio_openai import TrioOpenAI
from trio_openai._concurrent.workers import Workers
from trio_openai.testing import Reply

_variable: ContextVar[str] = ContextVar("_variable", default="unset")


async def test_a_job_sees_the_context_of_its_start_and_leaves_nothing_behind() -> None:
    seen: list[tuple[str, str]] = []

    async def run(job: str) -> None:
        seen.append((job, _variable.get()))
        _variable.set(f"of {job}")
        await trio.testing.wait_all_tasks_blocked()
        seen.append((job, _variable.get()))

    async with trio.open_nursery() as nursery:
        workers = Workers(nursery, run)
        for job in ("1", "2", "3"):
            token = _variable.set(f"started {job}")
            workers.start_soon(job)
            _variable.reset(token)
            await trio.testing.wait_all_tasks_blocked(0.001)
            assert len(nursery.child_tasks) == 1
        workers.close()
    assert seen == [pair for job in ("1", "2", "3") for pair in ((job, f"started {job}"), (job, f"of {job}"))]
    assert _variable.get() == "unset"


async def test_a_job_gets_a_new_task_only_if_all_others_have_one() -> None:
    gate = trio.Event()

    async def run(job: int) -> None:
        if job % 2:
            await gate.wait()
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        workers = Workers(nursery, run)
        for job in range(7):
            workers.start_soon(job)
            await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 4  # three that wait at the gate, and one whose job is done
        workers.close()
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 3
        gate.set()


async def test_cancelling_ends_tasks_without_a_job_and_those_that_have_just_got_one() -> None:
    ran: list[int] = []

    async def run(job: int) -> None:
        ran.append(job)
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        workers = Workers(nursery, run)
        workers.start_soon(1)
        workers.start_soon(2)
        await trio.testing.wait_all_tasks_blocked()
        workers.start_soon(3)
        nursery.cancel_scope.cancel()
    workers.close()
    assert ran[:2] in ([1, 2], [2, 1])
    assert len(ran) == 3


async def test_what_a_job_raises_ends_the_nursery() -> None:
    async def run(job: int) -> None:
        await trio.lowlevel.checkpoint()
        if job:
            raise LookupError(job)

    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="1")):
        async with trio.open_nursery() as nursery:
            workers = Workers(nursery, run)
            workers.start_soon(0)
            await trio.testing.wait_all_tasks_blocked()
            workers.start_soon(1)


async def test_a_call_sees_what_the_iterable_sets_for_it(nursery: trio.Nursery, autojump_clock: object) -> None:
    seen: list[str] = []

    async def api_key() -> str:
        await trio.lowlevel.checkpoint()
        seen.append(_variable.get())
        _variable.set("of another call")
        return "key"

    def supply(client: TrioOpenAI) -> Iterator[Any]:
        for number in range(6):
            token = _variable.set(str(number))
            yield client.chat.completions.call(key=number, **CHAT)
            _variable.reset(token)

    client, _ = client_over(await serve(nursery, lambda _: Reply.chat("Hello.")), api_key=api_key)
    async with client, client.run_many(supply(client), max_concurrent=2) as results:
        assert {result.key async for result in results} == set(range(6))
    assert sorted(seen) == [str(number) for number in range(6)]
