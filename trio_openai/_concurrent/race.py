"""`race`: several calls for one answer. The first stream with content wins, and the others are closed.

The problem: a provider is sometimes slow, and a second request, to it or to another one, often answers sooner. The
program wants one stream, whichever that is, and no trace of the losers.

The idea: read ahead, and finish the race before handing over. The first event says little, since servers send a role or
`response.created` before the model has done anything. So each contender reads until it has content and keeps what it
read; the winner's reader gets those events first.

Rules that hold it together:

* The nursery of the contenders ends inside `__aenter__`. Inside the user's block there is one stream and no task of
  ours, so an exception of the block is raised bare and cleanup means closing one stream.
* The next call starts after `stagger` seconds, or at once when the previous one has failed or ended without content.
* A stream that completes without content only wins if nobody else does (`_silent`).
* If all fail, a single error is raised as it is; several are raised as one `RaceError`.

Where to look next: `EventSource.read_ahead` in `_stream/source.py` reads up to the first content.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic

import trio

from trio_openai._http.nursery import bare_nursery, raise_all, split_cancelled
from trio_openai._mistakes import EntersAsync
from trio_openai._stream.stream import StreamCall, StreamT, open_stream, source_of, stream_of
from trio_openai.errors import APIError, RaceError

from .checks import check_call

if TYPE_CHECKING:
    from trio_openai._observers.records import Observer


class Race(EntersAsync, Generic[StreamT]):
    """The context manager of `async with client.race(...) as stream`."""

    _what = "race(...)"

    def __init__(
        self, calls: Sequence[StreamCall[StreamT]], stagger: float, observers: Sequence[Observer] = ()
    ) -> None:
        for call in calls:
            check_call("race", call)
        if not calls:
            raise ValueError("a race needs at least one call")
        if not isinstance(stagger, int | float) or not 0 <= stagger < math.inf:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError("stagger must be a number of seconds, zero or more")
        self._calls = calls
        self._stagger = stagger
        self._observers = observers
        self._started: list[int] = []  # the numbers of the calls that were made
        self._winner: StreamT | None = None
        self._winners_number: int | None = None
        self._silent: list[tuple[int, StreamT]] = []  # complete but without content: they win if nobody else does
        self._errors: list[tuple[int, APIError]] = []
        self._crash: BaseException | None = None
        self._servers: Counter[Any] = Counter()  # how many contenders each server has, for clients of several servers
        self._out = trio.Event()  # the latest contender is out of the race, so the next may start at once

    async def __aenter__(self) -> StreamT:
        began = trio.current_time()
        try:
            winner = await self._decide()
        except BaseException as error:
            if self._observers:
                self._tell_end(began, error)
            raise
        if self._observers:
            try:
                self._tell_end(began, None)
            except BaseException:  # an observer may raise KeyboardInterrupt, and the block is not entered then
                await self._close()  # noqa: ASYNC102 - it closes the connections before its checkpoint
                raise
        return winner

    async def _decide(self) -> StreamT:
        """Run the calls until one has won, and return its stream."""
        try:
            async with bare_nursery() as nursery:
                nursery.start_soon(self._start_all, nursery)
        except BaseException:
            await self._close()  # noqa: ASYNC102 - it closes the connections before its checkpoint
            raise
        if self._crash is not None:
            await self._close()
            raise self._crash
        if self._winner is None and self._silent:
            self._winners_number, self._winner = self._silent.pop(0)
        if self._winner is None:
            raise self._error()
        return self._winner

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()  # noqa: ASYNC102 - as above

    async def _close(self) -> None:
        errors: list[BaseException] = []
        for stream in [self._winner, *(stream for _, stream in self._silent)]:
            try:
                if stream is not None:
                    await stream.aclose()
            except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, after all streams are closed
                errors.append(error)
        await trio.lowlevel.cancel_shielded_checkpoint()
        raise_all("several streams of a race raised an error while closing", errors)

    @trio.lowlevel.enable_ki_protection  # Ctrl-C must hit the user's own task, where it is raised bare
    async def _start_all(self, nursery: trio.Nursery) -> None:  # noqa: ASYNC910 - nobody awaits this task
        """Start the calls one by one, after the stagger or as soon as the previous one is out of the race."""
        for number, call in enumerate(self._calls):
            self._out = trio.Event()
            nursery.start_soon(self._run, call, number, nursery.cancel_scope)
            if number < len(self._calls) - 1:
                with trio.move_on_after(self._stagger):
                    await self._out.wait()

    @trio.lowlevel.enable_ki_protection
    async def _run(self, call: StreamCall[StreamT], number: int, everyone: trio.CancelScope) -> None:  # noqa: ASYNC910
        """Run one call. Keep an exception that is not an `APIError` for `__aenter__`."""
        try:
            await self._run_call(call, number, everyone)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - the user's error, raised bare in `__aenter__`
            cancelled, rest = split_cancelled(error)
            if rest is not None:
                self._crash = self._crash or rest
                everyone.cancel()
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104

    async def _run_call(self, call: StreamCall[StreamT], number: int, everyone: trio.CancelScope) -> None:  # noqa: ASYNC910
        """Read one stream until it has content, then end the race."""
        stream = stream_of(call)
        self._started.append(number)
        source_of(stream).keep_apart(self._servers)
        try:
            await open_stream(stream)
            has_content = await source_of(stream).read_ahead()
        except APIError as error:
            self._errors.append((number, error))
            self._out.set()
        else:
            if has_content and self._winner is None:
                self._winners_number, self._winner = number, stream
                everyone.cancel()
                return
            if not has_content:
                self._silent.append((number, stream))
                self._out.set()
                return
        finally:
            if stream is not self._winner and all(stream is not silent for _, silent in self._silent):
                await stream.aclose()  # noqa: ASYNC102 - it closes the connection before its checkpoint

    def _tell_end(self, began: float, error: BaseException | None) -> None:
        from trio_openai._observers.records import RaceEnded  # most programs observe nothing
        from trio_openai._observers.watch import tell

        winner = None if error is not None else self._winners_number
        failed = dict(self._errors)
        losers = [number for number in self._started if number != winner and number not in failed]
        record = RaceEnded(
            winner=None if winner is None else self._name(winner),
            losers=[self._name(number) for number in losers],
            errors={self._name(number): failure for number, failure in sorted(failed.items())},
            seconds=trio.current_time() - began,
            error=error,
        )
        tell(self._observers, "race", record)

    def _name(self, number: int) -> Any:
        key = self._calls[number].key
        return number if key is None else key

    def _error(self) -> APIError:
        """Return the error to raise when every call has failed."""
        errors = [error for _, error in sorted(self._errors, key=lambda item: item[0])]
        return errors[0] if len(errors) == 1 else RaceError(errors)
