"""Exceptions of the user's code inside `run_many`, `stream_many` and `race` are raised bare, and none is lost."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing
from net_helpers import CHAT, CancelAtStep, client_over, no_environment, outcome, serve

from trio_openai import TrioOpenAI
from trio_openai.testing import Reply, ScriptedServer

pytestmark = pytest.mark.promise(n=2)

HELLO = Reply.chat("Hello there, you.")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


class MineError(Exception):
    pass


class MineExit(BaseException):
    pass


async def raised_by(function: Callable[..., Any], *args: Any) -> BaseException:
    try:
        await function(*args)
    except (Exception, MineExit, BaseExceptionGroup) as error:  # noqa: BLE001
        return error
    raise AssertionError("it raised nothing")


async def opened(nursery: trio.Nursery, **options: Any) -> TrioOpenAI:
    client, _ = client_over(await serve(nursery, HELLO), **options)
    return client


class BadIter:
    def __iter__(self) -> Iterator[Any]:
        raise MineError


class BadNext:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        raise self.error


class BadAiter:
    def __aiter__(self) -> AsyncIterator[Any]:
        raise MineError


class BadAnext:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        raise self.error


DOORS = ["run_many", "stream_many"]


async def take_all(client: TrioOpenAI, door: str, calls: Any) -> None:
    async with getattr(client, door)(calls) as items:
        async for _ in items:
            pass


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("supply", "kind"),
    [
        (BadIter(), MineError),
        (BadAiter(), MineError),
        (BadNext(MineError()), MineError),
        (BadNext(MineExit()), MineExit),
        (BadAnext(MineError()), MineError),
        (BadAnext(MineExit()), MineExit),
        (BadNext(StopAsyncIteration()), RuntimeError),
        ([3], TypeError),
    ],
)
async def test_exception_in_the_iterable_of_calls_is_raised_bare(
    nursery: trio.Nursery, autojump_clock: object, door: str, supply: Any, kind: type[BaseException]
) -> None:
    async with await opened(nursery) as client:
        assert type(await raised_by(take_all, client, door, supply)) is kind


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("calls", [5, None, object()])
async def test_calls_that_are_not_iterable_are_refused_at_once(nursery: trio.Nursery, door: str, calls: Any) -> None:
    async with await opened(nursery) as client:
        with pytest.raises(TypeError, match=r"made by an endpoint's call"):
            getattr(client, door)(calls)
        with pytest.raises(TypeError, match=r"made by an endpoint's call"):
            getattr(client, door)(client.chat.completions.call(**CHAT))


async def test_race_refuses_anything_but_calls(nursery: trio.Nursery) -> None:
    async with await opened(nursery) as client:
        for calls in ([1], [client.chat.completions.call(**CHAT), "x"]):
            with pytest.raises(TypeError, match=r"made by an endpoint's call"):
                client.race(calls)  # type: ignore[arg-type]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("in_block", [None, MineError])
@pytest.mark.parametrize("cleanup", [ZeroDivisionError, MineExit])
async def test_exception_while_closing_the_generator_hides_no_other_exception(
    nursery: trio.Nursery,
    autojump_clock: object,
    door: str,
    in_block: type[Exception] | None,
    cleanup: type[BaseException],
) -> None:
    client = await opened(nursery)

    async def calls() -> AsyncIterator[Any]:
        try:
            while True:
                yield client.chat.completions.call(**CHAT)
        finally:
            raise cleanup

    async def leave_early() -> None:
        async with getattr(client, door)(calls(), max_concurrent=2) as items:
            await anext(items)
            if in_block is not None:
                raise in_block

    error = await raised_by(leave_early)
    if in_block is None:
        assert type(error) is cleanup
    else:
        assert isinstance(error, BaseExceptionGroup)
        assert {type(one) for one in error.exceptions} == {in_block, cleanup}
    await client.aclose()


async def test_exception_in_a_cancelled_generator_is_raised_bare(nursery: trio.Nursery, autojump_clock: object) -> None:
    client = await opened(nursery)

    async def calls() -> AsyncIterator[Any]:
        try:
            yield client.chat.completions.call(**CHAT)
            await trio.sleep_forever()
        finally:
            raise MineError

    async def run() -> None:
        with trio.move_on_after(1):
            await take_all(client, "run_many", calls())

    assert type(await raised_by(run)) is MineError
    await client.aclose()


@pytest.mark.parametrize("kind", [MineError, MineExit])
async def test_exception_in_an_api_key_function_is_raised_bare(
    nursery: trio.Nursery, autojump_clock: object, kind: type[BaseException]
) -> None:
    async def key() -> str:
        await trio.lowlevel.checkpoint()
        raise kind

    client = await opened(nursery, api_key=key)
    call = client.chat.completions.call(**CHAT)

    async def race() -> None:
        async with client.race([call, call]):
            pass

    async def plain() -> None:
        await client.chat.completions.create(**CHAT)

    async def block() -> None:
        async with client.chat.completions.stream(**CHAT):
            pass

    for act in (race, plain, block):
        assert type(await raised_by(act)) is kind
    for door in DOORS:
        assert type(await raised_by(take_all, client, door, [call, call])) is kind
    await client.aclose()


class RaisingLimiter:
    async def acquire(self, attempt: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return self

    def settle(self, outcome: Any) -> None:
        raise MineError


async def test_exception_in_a_limiter_for_the_loser_of_a_race_is_raised_bare(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    replies = [HELLO, Reply(delay=9), HELLO]
    client, transport = client_over(await serve(nursery, replies), limiter=RaisingLimiter())

    async def race() -> None:
        async with client.race([client.chat.completions.call(**CHAT)] * 3) as stream:
            await stream.until_done()

    error = await raised_by(race)
    assert type(error) is MineError
    assert transport.statistics().active == 0
    await client.aclose()


async def race(client: TrioOpenAI) -> None:
    async with client.race([client.chat.completions.call(**CHAT)] * 2, stagger=0.1) as stream:
        await stream.until_done()


async def many(client: TrioOpenAI) -> None:
    await take_all(client, "run_many", [client.chat.completions.call(**CHAT)] * 3)


async def events_of_many(client: TrioOpenAI) -> None:
    await take_all(client, "stream_many", [client.chat.completions.call(**CHAT)] * 3)


async def close(client: TrioOpenAI) -> None:
    stream = await client.chat.completions.create(**CHAT, stream=True)
    try:
        await client.aclose()
    finally:
        await stream.aclose()


async def tools(client: TrioOpenAI) -> None:
    def nothing() -> None:
        """Do nothing."""

    async with client.chat.completions.run_tools(model="m", messages=CHAT["messages"], tools=[nothing]) as run:
        await run.until_done()


@pytest.mark.parametrize("act", [race, many, events_of_many, close, tools])
@pytest.mark.parametrize("before", [True, False])
def test_ctrl_c_at_any_step_is_raised_bare(act: Any, before: bool) -> None:
    class Interrupt:
        """A stand-in for a cancel scope that `CancelAtStep` can cancel: it sends Ctrl-C instead."""

        @trio.lowlevel.enable_ki_protection  # through the signal handler, so that trio raises it in the main task
        def cancel(self) -> None:
            signal.raise_signal(signal.SIGINT)

    async def main(step: int) -> bool:
        async with trio.open_nursery() as home:
            server = ScriptedServer(HELLO)
            await server.start(home, memory=True)
            client, transport = client_over(server)
            interrupt: Any = Interrupt()
            canceller = CancelAtStep(interrupt, step, before=before)
            came: list[BaseException] = []
            trio.lowlevel.add_instrument(canceller)
            try:
                await act(client)
                await trio.lowlevel.checkpoint()  # a Ctrl-C that arrives at the end is raised here
            except BaseException as error:  # noqa: BLE001 - the test inspects whatever is raised
                came.append(error)
            finally:
                trio.lowlevel.remove_instrument(canceller)
            assert [type(error) for error in came] == [KeyboardInterrupt] * canceller.fired
            assert transport.statistics().active == 0
            with trio.CancelScope(shield=True):
                await client.aclose()
            home.cancel_scope.cancel()
        return canceller.fired

    clock = trio.testing.MockClock(autojump_threshold=0)
    for step in range(500):
        if not trio.run(main, step, clock=clock):
            assert step > 2
            return
        clock = trio.testing.MockClock(autojump_threshold=0)
    raise AssertionError("it never ends")


async def test_two_failures_of_one_block_form_one_group(nursery: trio.Nursery) -> None:
    from trio_openai._http.nursery import nursery_around_block

    async def fail_late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise MineError

    async def both() -> None:
        async with nursery_around_block() as inner:
            inner.start_soon(fail_late)
            await trio.testing.wait_all_tasks_blocked()
            raise ZeroDivisionError

    error = await outcome(both)
    assert isinstance(error, ExceptionGroup)
    assert {type(one) for one in error.exceptions} == {MineError, ZeroDivisionError}
