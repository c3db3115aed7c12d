"""A read that a task of its own makes: whoever waits for it can be cancelled, or do something else meanwhile."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable

import trio


class BackgroundRead:
    """One read, made by a system task. Whoever starts it waits for it or cancels it. `done` is set at its end."""

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self.done = trio.Event()
        # Whoever cancels waits for an event of its own. `trio.Event.set` fails if one of several tasks that it wakes is
        # cancelled meanwhile, which an instrument can do; in a system task that would end the whole run.
        self._ended = trio.Event()
        self._read = read
        self._scope = trio.CancelScope()
        self._data = b""
        self._error: BaseException | None = None
        trio.lowlevel.spawn_system_task(self._run, context=contextvars.copy_context())

    async def _run(self) -> None:  # noqa: ASYNC910 - it is a task, and nobody waits for it
        try:
            with self._scope:
                self._data = await self._read()
        except trio.Cancelled:
            raise  # the whole run is ending
        except BaseException as error:  # noqa: BLE001 - `result` raises it to whoever waits; here it would end the run
            self._error = error
        finally:
            self.done.set()
            self._ended.set()

    async def cancel(self) -> None:
        """Cancel the read, and wait for its end."""
        self._scope.cancel()
        await self._ended.wait()

    def result(self) -> bytes:
        """Return the bytes, or raise what reading raised."""
        if self._error is not None:
            raise self._error
        return self._data
