"""Many prompts: streams from a lazy supply of calls, so many at a time, through one channel.

A dispatcher takes a call from the supply when there is room for it, and not before: memory depends on how many run at a
time, and never on how many calls there are. Each call is a task that reads its stream, and hands over what comes of it
by a channel without a buffer, so that a slow consumer slows all of them.

What goes wrong with a call is its result and not an exception. What else is raised (by the supply, or by a key
function) comes out where the items are received, bare: of the supply after the calls that are under way, of the rest at
once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import attrs
import trio

from trio_openai._http.nursery import nursery_around_block, raise_all, split_cancelled
from trio_openai._http.session import Session
from trio_openai._http.transport import TrioTransport
from trio_openai._stream.stream import Stream, StreamCall
from trio_openai._stream.timings import Timings
from trio_openai._wire.usage import count_of
from trio_openai.errors import APIError

from .given_calls import check_call, check_calls

Call: TypeAlias = StreamCall[Any]
Calls: TypeAlias = Iterable[Call] | AsyncIterable[Call]

_LOOK_AHEAD = 2  # results that are held for the sake of order, in multiples of what may run at a time
_RATE_SECONDS = 5.0  # the span over which the rate of events is taken
_CLEANUP_SECONDS = 5.0  # for a supply that is an async generator and is not exhausted


@attrs.frozen
class Result:
    """What came of one call.

    Attributes:
        key: the call's.
        value: the whole completion or response; None if there was an error.
        error: why there is none. What had arrived is in its `partial`.
        timings: when things happened.
    """

    key: Any
    value: Any = None
    error: APIError | None = None
    timings: Timings = attrs.field(factory=Timings, repr=False)


@attrs.frozen
class Item:
    """One event of one of many streams; or, as the last of its key, what came of the call.

    Attributes:
        key: the call's.
        event: the event; None with a result.
        result: the result; None with an event.
    """

    key: Any
    event: Any = None
    result: Result | None = None


@attrs.frozen
class ManyStatistics:
    """How far it has got.

    Attributes:
        queued: calls that were taken from the supply and have no answer yet: they wait for a connection, a limiter,
            the server, or the pause before another attempt.
        running: streams that are being read.
        done: calls that came to their end.
        failed: calls that ended with an error.
        tokens: used by those that are done, as far as their servers say so.
        events: events that have arrived.
        events_per_second: of late, over a span of about five seconds that ends now.
        seconds: since the beginning.
    """

    queued: int
    running: int
    done: int
    failed: int
    tokens: int
    events: int
    events_per_second: float
    seconds: float


class _Progress:
    """The counts behind `ManyStatistics`."""

    def __init__(self) -> None:
        self.queued = self.running = self.done = self.failed = self.tokens = self.events = 0
        self._began = trio.current_time()
        self._samples = deque([(self._began, 0)])  # one a poll, for the rate

    def statistics(self) -> ManyStatistics:
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
        )


class Items(trio.abc.ReceiveChannel[Any]):
    """What `stream_many` and `run_many` hand out: `Item`s, or `Result`s. It ends when all calls have."""

    def __init__(self, channel: trio.MemoryReceiveChannel[Any], batch: _Batch) -> None:
        self._channel = channel
        self._batch = batch

    async def receive(self) -> Any:
        """The next one.

        Raises:
            trio.EndOfChannel: there are no more.
            APIError: a call failed, with `fail_fast`. The others have been closed.
            Exception: what the supply of calls raised, after the results of those before.
        """
        try:
            return await self._channel.receive()
        except trio.EndOfChannel:
            self._batch.raise_failure()
            raise

    async def aclose(self) -> None:
        """Close all streams. Idempotent."""
        self._batch.cancel()
        await self._channel.aclose()

    def statistics(self) -> ManyStatistics:
        """How far it has got, as of now. Made to be polled."""
        return self._batch.progress.statistics()


class _Batch:
    """The calls of one `stream_many` or `run_many`."""

    def __init__(
        self, calls: Calls, max_concurrent: int, session: Session, *, events: bool, ordered: bool, fail_fast: bool
    ) -> None:
        if type(max_concurrent) is not int or max_concurrent < 1:
            raise ValueError("max_concurrent takes a number of streams, at least 1")
        self._door = "stream_many" if events else "run_many"
        check_calls(self._door, calls)
        self.progress = _Progress()
        self._calls = calls
        self._with_events = events
        self._fail_fast = fail_fast
        self._order = _Order(max_concurrent * _LOOK_AHEAD) if ordered else None
        # More than the pool takes would only wait for each other's connections.
        self._room = trio.Semaphore(int(min(max_concurrent, _room(session))))
        self._send, receive = trio.open_memory_channel[Any](0)
        self.items = Items(receive, self)
        self._scope = trio.CancelScope()
        self._failure: BaseException | None = None
        self.cleanup_error: BaseException | None = None  # what the supply raised when it was closed

    @trio.lowlevel.enable_ki_protection  # Ctrl-C is for the user's own task, where it comes out bare
    async def run(self) -> None:
        """Make all calls. Whatever fails is kept for `raise_failure`."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await self._dispatch(nursery)
        finally:
            self._send.close()

    def cancel(self) -> None:
        """Close all streams."""
        self._scope.cancel()

    def raise_failure(self) -> None:
        """Raise what ended it before its end, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def own_failures(self) -> list[BaseException]:
        """Return what ended it before its end, if that is the program's own exception."""
        return [] if self._failure is None or isinstance(self._failure, APIError) else [self._failure]

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._scope.cancel()

    async def _dispatch(self, nursery: trio.Nursery) -> None:  # noqa: ASYNC910 - as `run`
        """Take calls from the supply while there is room, and start them."""
        supply: _Supply | None = None
        number = 0
        try:
            supply = _Supply(self._calls)
            while True:
                if self._order is not None:
                    await self._order.admit()
                await self._room.acquire()
                call = await supply.take()
                check_call(self._door, call)
                nursery.start_soon(self._one, call, number)
                number += 1
        except StopAsyncIteration:
            await trio.lowlevel.checkpoint()
        except BaseException as error:  # noqa: ASYNC103, BLE001 - the user's own, for the one who receives, when the others are done
            cancelled, rest = split_cancelled(error)
            self._failure = self._failure or rest
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104
        finally:
            if supply is not None:
                await self._clean_up(supply)  # noqa: ASYNC102 - it is shielded and bounded

    async def _clean_up(self, supply: _Supply) -> None:  # noqa: ASYNC910 - it is
        try:
            await supply.aclose()
        except BaseException as error:  # noqa: ASYNC103, BLE001 - the user's own, raised at the end of the block
            self.cleanup_error = error

    @trio.lowlevel.enable_ki_protection
    async def _one(self, call: Call, number: int) -> None:  # noqa: ASYNC910 - it is a task, and nobody waits for it
        """Make one call, and hand over what comes of it."""
        try:
            result = await self._result(call)
            if self._fail_fast and result.error is not None:
                self._fail(result.error)
            elif self._order is None:
                await self._hand_over(result)
                self._room.release()  # not before: results that nobody takes would pile up
            else:
                self._room.release()
                async with self._order.turn(number):
                    await self._hand_over(result)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - no failure of the API: the user's own, for the one who receives
            cancelled, rest = split_cancelled(error)
            if rest is not None:
                self._fail(rest)
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104

    async def _hand_over(self, result: Result) -> None:
        await self._send.send(Item(result.key, result=result) if self._with_events else result)

    async def _result(self, call: Call) -> Result:
        """Read one call's stream to its end."""
        progress = self.progress
        progress.queued += 1
        try:
            stream: Stream[Any, Any] = call.make()
            await stream.open()
        except APIError as error:
            progress.failed += 1
            return Result(call.key, error=error)  # noqa: ASYNC910 - to fail takes one
        finally:
            progress.queued -= 1
        progress.running += 1
        try:
            await self._read(call.key, stream)
        except APIError as error:
            progress.failed += 1
            return Result(call.key, error=error, timings=stream.timings)
        finally:
            progress.running -= 1
            await stream.aclose()  # noqa: ASYNC102 - the connection is closed before it waits
        progress.done += 1
        value = stream.snapshot
        progress.tokens += count_of(getattr(getattr(value, "usage", None), "total_tokens", None)) or 0
        return Result(call.key, value=value, timings=stream.timings)

    async def _read(self, key: object, stream: Stream[Any, Any]) -> None:
        async for event in stream:
            self.progress.events += 1
            if self._with_events:
                await self._send.send(Item(key, event))


def _room(session: Session) -> float:
    """Return how many requests the client's pool takes at a time."""
    transport = getattr(session.http, "_transport", None)
    if isinstance(transport, TrioTransport):
        return transport.max_connections
    return session.slots.count if session.slots is not None else math.inf


class _Order:
    """Lets tasks pass in the order of their numbers, and admits so many at a time."""

    def __init__(self, most: int) -> None:
        self._room = trio.Semaphore(most)
        self._next = 0
        self._waiting: dict[int, trio.Event] = {}

    async def admit(self) -> None:
        """Wait until there is room for one more."""
        await self._room.acquire()

    @asynccontextmanager
    async def turn(self, number: int) -> AsyncGenerator[None]:
        """Wait until all before have passed."""
        if number != self._next:
            self._waiting[number] = trio.Event()
            await self._waiting[number].wait()
        yield
        self._next += 1
        self._room.release()
        if (following := self._waiting.pop(self._next, None)) is not None:
            following.set()


class _Supply:
    """Any iterable or async iterable of calls, taken one by one."""

    def __init__(self, calls: Calls) -> None:
        if isinstance(calls, AsyncIterable):
            self._async: AsyncIterator[Call] | None = aiter(calls)
        else:
            self._async = None
            self._sync = iter(calls)

    async def take(self) -> Call:  # noqa: ASYNC910 - who takes one has just waited for room
        """The next one; `StopAsyncIteration` after the last."""
        if self._async is not None:
            return await anext(self._async)
        try:
            return next(self._sync)  # noqa: ASYNC910
        except StopIteration:
            raise StopAsyncIteration from None
        except StopAsyncIteration as error:  # it would pass for the end
            raise RuntimeError("the iterable of calls raised StopAsyncIteration") from error

    async def aclose(self) -> None:
        """Let an async generator clean up."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLEANUP_SECONDS):
            await trio.lowlevel.checkpoint()
            if (close := getattr(self._async, "aclose", None)) is not None:
                await close()


@asynccontextmanager
async def _running(batch: _Batch) -> AsyncGenerator[Items]:
    """Run a batch while the block runs. What the block raises comes out bare."""
    errors: list[BaseException] = []
    try:
        async with nursery_around_block() as nursery:
            nursery.start_soon(batch.run)
            yield batch.items
        batch.raise_failure()
    except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below
        errors.append(error)
    if any(isinstance(error, trio.Cancelled) for error in errors):
        errors += batch.own_failures()  # else a cancellation would hide what the program itself raised meanwhile
    if batch.cleanup_error is not None:
        errors.append(batch.cleanup_error)
    raise_all("the block failed, and so did the cleanup of its calls", errors)


def stream_many(
    calls: Calls, max_concurrent: int, session: Session, *, fail_fast: bool
) -> AbstractAsyncContextManager[Items]:
    """The events of all calls as they come, and their results."""
    return _running(_Batch(calls, max_concurrent, session, events=True, ordered=False, fail_fast=fail_fast))


def run_many(
    calls: Calls, max_concurrent: int, session: Session, *, ordered: bool, fail_fast: bool
) -> AbstractAsyncContextManager[Items]:
    """The results of all calls, as they come or in order."""
    return _running(_Batch(calls, max_concurrent, session, events=False, ordered=ordered, fail_fast=fail_fast))
