"""`run_many` and `stream_many`: many streams at once, from a lazy iterable of calls, through one channel.

The problem: a program has a million prompts and wants a few hundred in flight. It must not need memory for a million
tasks, a slow consumer must slow the servers down, one failing call must not end the others, and leaving the block must
close everything.

The idea: three parts, connected by a channel without a buffer.

* The dispatcher (`_ManyRun._dispatch`) takes a call from the iterable only when there is room to run it. So memory
  depends on `max_concurrent`, never on the number of calls.
* Each call runs in a task (`_ManyRun._run_call`), which takes another call afterwards (`workers.py`). It reads the
  call's stream to the end and sends events, results, or both.
* The program receives from `Items`. Since the channel has no buffer, a task can only send what is being received: a
  slow consumer pauses every task, every task stops reading its socket, and the backpressure reaches the servers.

Rules that hold it together:

* An `APIError` of a call is that call's `Result`. Anything else (an error in the user's iterable, a bug) ends the run
  and is raised once, bare, where the program receives. An error of the iterable waits until the calls that have already
  started are done, so their results are not lost.
* A call's slot is freed only after its result has been received. Otherwise results that nobody takes would pile up.
  `ordered=True` has to hold results back, so it has a bound of its own instead: `_LOOK_AHEAD` times `max_concurrent`.
* The nursery surrounds the user's block, and trio would wrap what the block raises in an exception group.
  `nursery_around_block` prevents that.

Where to look next: `_opened` is the block of the context manager, `_Order` makes results wait for their turn,
`_CallSource` hides whether the iterable is sync or async. `race.py` is the other way to run several calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sized
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, TypeAlias

import trio

from trio_openai._http.nursery import nursery_around_block, raise_all, split_cancelled
from trio_openai._mistakes import EntersAsync
from trio_openai._request.session import Session
from trio_openai._stream.results import Item, Items, ManyStatistics, Result
from trio_openai._stream.stream import Stream, StreamCall, open_stream, source_of, stream_of
from trio_openai._wire.usage import UsageTotal, count_of
from trio_openai.errors import APIError

from .checks import check_call, check_calls, check_total
from .workers import Workers

Calls: TypeAlias = Iterable[StreamCall[Any]] | AsyncIterable[StreamCall[Any]]

_LOOK_AHEAD = 2  # `ordered=True` holds at most this many times `max_concurrent` results back
_RATE_SECONDS = 5.0  # `events_per_second` is an average over this window
_CLEANUP_SECONDS = 5.0  # how long an async generator of calls may take to close


class _Counters:
    """The mutable counters behind `ManyStatistics`."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.taken = self.queued = self.running = self.done = self.failed = self.tokens = self.events = 0
        self.usage = UsageTotal()
        self._began = trio.current_time()
        self._samples = deque([(self._began, 0)])  # (time, events) pairs, taken when somebody polls

    def statistics(self) -> ManyStatistics:
        """Return the counters as of now."""
        now = trio.current_time()
        while len(self._samples) > 1 and self._samples[1][0] <= now - _RATE_SECONDS:
            self._samples.popleft()
        since, count = self._samples[0]
        if now - self._samples[-1][0] >= _RATE_SECONDS / 10:
            self._samples.append((now, self.events))
        return ManyStatistics(
            queued=self.queued,
            running=self.running,
            done=self.done,
            failed=self.failed,
            tokens=self.tokens,
            events=self.events,
            events_per_second=(self.events - count) / (now - since) if now > since else 0.0,
            seconds=now - self._began,
            total=None if self.total is None else max(self.total, self.taken),
            usage=self.usage.usage(),
        )


class _ManyRun:
    """One `stream_many` or `run_many`: its tasks, its channel, and the error that ended it."""

    def __init__(
        self,
        calls: Calls,
        max_concurrent: int,
        session: Session,
        *,
        total: int | None,
        events: bool,
        ordered: bool,
        fail_fast: bool,
    ) -> None:
        if type(max_concurrent) is not int or max_concurrent < 1:
            raise ValueError("max_concurrent must be an integer of at least 1")
        self._function = "stream_many" if events else "run_many"
        check_calls(self._function, calls)
        total = _total_of(calls) if total is None else check_total(total)
        self._counters = _Counters()
        self._counters.total = total
        self.statistics = self._counters.statistics
        self.observers = session.options.observer
        self._calls = calls
        self._with_events = events
        self._fail_fast = fail_fast
        self._order = _Order(max_concurrent * _LOOK_AHEAD) if ordered else None
        # Calls beyond the pool's size could only wait for a connection, so do not start them.
        self._room = trio.Semaphore(int(min(max_concurrent, session.most_at_once)))
        self._send, receive = trio.open_memory_channel[Any](0)
        self.items: Items[Any] = Items(receive, self)
        self._scope = trio.CancelScope()
        self._failure: BaseException | None = None
        self.cleanup_error: BaseException | None = None  # raised by the user's async generator while closing

    @trio.lowlevel.enable_ki_protection  # Ctrl-C must hit the user's own task, where it is raised bare
    async def run(self) -> None:
        """Run all calls. Keep the first failure for `raise_failure`."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await self._dispatch(Workers(nursery, self._run_call))
        finally:
            self._send.close()

    def cancel(self) -> None:
        """Close all streams."""
        self._scope.cancel()

    def tell_end(self, error: BaseException | None) -> None:
        """Tell the observers that the run has ended, with the exception that the block raises."""
        from trio_openai._observers.records import ManyEnded  # most programs observe nothing
        from trio_openai._observers.watch import tell

        so_far, taken = self.statistics(), self._counters.taken
        record = ManyEnded(
            function=self._function,
            done=so_far.done,
            failed=so_far.failed,
            closed=taken - so_far.done - so_far.failed,
            usage=so_far.usage,
            seconds=so_far.seconds,
            error=error,
        )
        tell(self.observers, "many", record)

    def raise_failure(self) -> None:
        """Raise the error that ended the run early, if there is one. Raise it only once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def user_failures(self) -> list[BaseException]:
        """Return the error that ended the run early, if the user's code raised it."""
        return [] if self._failure is None or isinstance(self._failure, APIError) else [self._failure]

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._scope.cancel()

    async def _dispatch(self, workers: Workers[tuple[StreamCall[Any], int]]) -> None:  # noqa: ASYNC910 - as `run`
        """Take calls from the iterable while there is room, and start each."""
        source: _CallSource | None = None
        number = 0
        try:
            source = _CallSource(self._calls)
            while True:
                if self._order is not None:
                    await self._order.admit()
                await self._room.acquire()
                call = await source.take()
                check_call(self._function, call)
                self._counters.taken += 1
                workers.start_soon((call, number))
                number += 1
        except StopAsyncIteration:
            self._counters.total = self._counters.taken
            await trio.lowlevel.checkpoint()
        except BaseException as error:  # noqa: ASYNC103, BLE001 - the user's error; the receiver gets it after the running calls
            cancelled, rest = split_cancelled(error)
            self._failure = self._failure or rest
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104
        finally:
            workers.close()
            if source is not None:
                await self._close_source(source)  # noqa: ASYNC102 - shielded and bounded by `_CLEANUP_SECONDS`

    async def _close_source(self, source: _CallSource) -> None:  # noqa: ASYNC910 - `aclose` is a checkpoint
        try:
            await source.aclose()
        except BaseException as error:  # noqa: ASYNC103, BLE001 - the user's error, raised at the end of the block
            self.cleanup_error = error

    async def _run_call(self, job: tuple[StreamCall[Any], int]) -> None:  # noqa: ASYNC910 - nobody awaits this task
        """Run one call and send its result."""
        call, number = job
        try:
            result = await self._result(call)
            if self._fail_fast and result.error is not None:
                self._fail(result.error)
            elif self._order is None:
                await self._send_result(result)
                self._room.release()  # not earlier, or results that nobody takes would pile up
            else:
                self._room.release()  # here `_Order` bounds how many results can pile up
                async with self._order.turn(number):
                    await self._send_result(result)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - not an `APIError`: the receiver gets it
            cancelled, rest = split_cancelled(error)
            if rest is not None:
                self._fail(rest)
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104

    async def _send_result(self, result: Result[Any]) -> None:  # noqa: ASYNC910 - waiting for the next call is one
        item: Any = Item(result.key, result=result) if self._with_events else result
        try:
            self._send.send_nowait(item)
        except trio.WouldBlock:
            await self._send.send(item)

    async def _result(self, call: StreamCall[Any]) -> Result[Any]:
        """Read one call's stream to its end and return the outcome."""
        counters = self._counters
        counters.queued += 1
        try:
            stream: Stream[Any, Any] = stream_of(call)
            await open_stream(stream)
        except APIError as error:
            counters.failed += 1
            return Result(call.key, error=error)  # noqa: ASYNC910 - a request that failed has passed a checkpoint
        finally:
            counters.queued -= 1
        counters.running += 1
        try:
            await self._read(call.key, stream)
        except APIError as error:
            counters.failed += 1
            return Result(call.key, error=error, timings=stream.timings)
        finally:
            counters.running -= 1
            counters.usage.add(source_of(stream).protocol.usage)
            await stream.aclose()  # noqa: ASYNC102 - it closes the connection before its checkpoint
        counters.done += 1
        value = stream.snapshot
        counters.tokens += count_of(getattr(getattr(value, "usage", None), "total_tokens", None)) or 0
        return Result(call.key, value=value, timings=stream.timings)

    async def _read(self, key: object, stream: Stream[Any, Any]) -> None:
        async for event in stream:
            self._counters.events += 1
            if self._with_events:
                await self._send.send(Item(key, event))


def _total_of(calls: object) -> int | None:
    """Return the number of calls if their iterable has a length."""
    return len(calls) if isinstance(calls, Sized) else None


class _Order:
    """A turnstile that tasks pass in the order of their numbers.

    At most `limit` numbers are between `admit` and the end of their `turn`.
    """

    def __init__(self, limit: int) -> None:
        self._room = trio.Semaphore(limit)
        self._next = 0
        self._waiting: dict[int, trio.Event] = {}

    async def admit(self) -> None:
        """Wait until another number may be handed out."""
        await self._room.acquire()

    @asynccontextmanager
    async def turn(self, number: int) -> AsyncGenerator[None]:
        """Wait until all smaller numbers have passed, then let the block run."""
        if number != self._next:
            self._waiting[number] = trio.Event()
            await self._waiting[number].wait()
        yield
        self._next += 1
        self._room.release()
        if (following := self._waiting.pop(self._next, None)) is not None:
            following.set()


class _CallSource:
    """The calls of a sync or async iterable, taken one at a time."""

    def __init__(self, calls: Calls) -> None:
        if isinstance(calls, AsyncIterable):
            self._async: AsyncIterator[StreamCall[Any]] | None = aiter(calls)
        else:
            self._async = None
            self._sync = iter(calls)

    async def take(self) -> StreamCall[Any]:  # noqa: ASYNC910 - the dispatcher has just passed a checkpoint
        """Return the next call. Raise `StopAsyncIteration` after the last one."""
        if self._async is not None:
            return await anext(self._async)
        try:
            return next(self._sync)  # noqa: ASYNC910
        except StopIteration:
            raise StopAsyncIteration from None
        except StopAsyncIteration as error:  # the dispatcher would mistake it for the end
            raise RuntimeError("the iterable of calls raised StopAsyncIteration") from error

    async def aclose(self) -> None:
        """Close an async generator, so that its `finally` blocks run now and not at garbage collection."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLEANUP_SECONDS):
            await trio.lowlevel.checkpoint()
            if (close := getattr(self._async, "aclose", None)) is not None:
                await close()


@asynccontextmanager
async def _opened(run: _ManyRun) -> AsyncGenerator[Items[Any]]:
    """Run all calls while the block runs. An exception of the block is raised bare."""
    errors: list[BaseException] = []
    try:
        async with nursery_around_block() as nursery:
            nursery.start_soon(run.run)
            yield run.items
        run.raise_failure()
    except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below
        errors.append(error)
    if any(isinstance(error, trio.Cancelled) for error in errors):
        errors += run.user_failures()  # a cancellation must not hide an exception that the user's code raised meanwhile
    if run.cleanup_error is not None:
        errors.append(run.cleanup_error)
    if run.observers:
        try:
            run.tell_end(errors[0] if errors else None)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - an observer's KeyboardInterrupt; raised below
            errors.append(error)
    raise_all("the block failed, and closing the iterable of calls failed too", errors)


class _Many(EntersAsync, AbstractAsyncContextManager[Items[Any]]):
    """The context manager that `run_many(...)` and `stream_many(...)` return."""

    def __init__(self, run: _ManyRun, function: str, names: tuple[str, str]) -> None:
        self._block = _opened(run)
        self._what, self._names = f"{function}(...)", names

    async def __aenter__(self) -> Items[Any]:
        return await self._block.__aenter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._block.__aexit__(exc_type, exc, traceback)  # noqa: ASYNC102 - it is the block's own end


def stream_many(
    calls: Calls, max_concurrent: int, session: Session, *, total: int | None, fail_fast: bool
) -> AbstractAsyncContextManager[Items[Any]]:
    """Return a context manager for the events of all calls, as they arrive, and their results."""
    run = _ManyRun(calls, max_concurrent, session, total=total, events=True, ordered=False, fail_fast=fail_fast)
    return _Many(run, "stream_many", ("items", "item"))


def run_many(
    calls: Calls, max_concurrent: int, session: Session, *, total: int | None, ordered: bool, fail_fast: bool
) -> AbstractAsyncContextManager[Items[Any]]:
    """Return a context manager for the results of all calls, as they complete or in order."""
    run = _ManyRun(calls, max_concurrent, session, total=total, events=False, ordered=ordered, fail_fast=fail_fast)
    return _Many(run, "run_many", ("results", "result"))
