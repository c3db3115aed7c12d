"""A race: several calls for one answer. The first that has content wins, the others are closed.

The nursery in which they run ends before the winner is handed over, so nothing is left of the losers then, and the
block holds nothing but one stream.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import TracebackType
from typing import Generic

import trio

from trio_openai._http.nursery import bare_nursery, raise_all, split_cancelled
from trio_openai._stream.mistakes import EntersAsync
from trio_openai._stream.stream import StreamCall, StreamT
from trio_openai.errors import APIError, RaceError

from .given_calls import check_call


class Race(EntersAsync, Generic[StreamT]):
    """`async with client.race(...) as stream`."""

    _what = "race(...)"

    def __init__(self, calls: Sequence[StreamCall[StreamT]], stagger: float) -> None:
        for call in calls:
            check_call("race", call)
        if not calls:
            raise ValueError("a race needs at least one call")
        if not 0 <= stagger < math.inf:
            raise ValueError("stagger takes seconds, zero or more")
        self._calls = calls
        self._stagger = stagger
        self._winner: StreamT | None = None
        self._silent: list[StreamT] = []  # whole, but without content: they win if nobody else does
        self._errors: list[tuple[int, APIError]] = []
        self._crash: BaseException | None = None
        self._failed = trio.Event()  # one more has failed, so that the next may start

    async def __aenter__(self) -> StreamT:
        try:
            async with bare_nursery() as nursery:
                nursery.start_soon(self._start_all, nursery)
        except BaseException:
            await self._close()  # noqa: ASYNC102 - the connections are closed before it waits
            raise
        if self._crash is not None:
            await self._close()
            raise self._crash
        if self._winner is None:
            self._winner = self._silent.pop(0) if self._silent else None
        if self._winner is None:
            raise self._lost()
        return self._winner

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()  # noqa: ASYNC102 - the connections are closed before it waits

    async def _close(self) -> None:
        errors: list[BaseException] = []
        for stream in [self._winner, *self._silent]:
            try:
                if stream is not None:
                    await stream.aclose()
            except BaseException as error:  # noqa: ASYNC103, BLE001 - raised below, when all are closed
                errors.append(error)
        await trio.lowlevel.cancel_shielded_checkpoint()
        raise_all("errors while the streams of a race were closed", errors)

    @trio.lowlevel.enable_ki_protection  # Ctrl-C is for the user's own task, where it comes out bare
    async def _start_all(self, nursery: trio.Nursery) -> None:  # noqa: ASYNC910 - a task, for which nobody waits
        """Start one after the other: after the stagger, or at once when one has failed."""
        for number, call in enumerate(self._calls):
            self._failed = trio.Event()
            nursery.start_soon(self._run, call, number, nursery.cancel_scope)
            if number < len(self._calls) - 1:
                with trio.move_on_after(self._stagger):
                    await self._failed.wait()

    @trio.lowlevel.enable_ki_protection
    async def _run(self, call: StreamCall[StreamT], number: int, all_of_them: trio.CancelScope) -> None:  # noqa: ASYNC910
        """Run one call. Whatever is raised that is no failure of the API is kept for `__aenter__`."""
        try:
            await self._run_call(call, number, all_of_them)
        except BaseException as error:  # noqa: ASYNC103, BLE001 - the user's own, raised bare in `__aenter__`
            cancelled, rest = split_cancelled(error)
            if rest is not None:
                self._crash = self._crash or rest
                all_of_them.cancel()
            if cancelled is not None:
                raise cancelled from None  # noqa: ASYNC104

    async def _run_call(self, call: StreamCall[StreamT], number: int, all_of_them: trio.CancelScope) -> None:  # noqa: ASYNC910
        """Read one stream until it has content."""
        stream: StreamT = call.make()
        try:
            await stream.open()
            has_content = await stream.read_ahead()
        except APIError as error:
            self._errors.append((number, error))
            self._failed.set()
        else:
            if has_content and self._winner is None:
                self._winner = stream
                all_of_them.cancel()
                return
            if not has_content:
                self._silent.append(stream)
                self._failed.set()
                return
        finally:
            if stream is not self._winner and stream not in self._silent:
                await stream.aclose()  # noqa: ASYNC102 - the connection is closed before it waits

    def _lost(self) -> APIError:
        """The error when all have failed: of one call its own."""
        errors = [error for _, error in sorted(self._errors, key=lambda item: item[0])]
        return errors[0] if len(errors) == 1 else RaceError(errors)
