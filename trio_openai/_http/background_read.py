"""A read that runs in its own task, so that waiting for it can be cancelled without cancelling the read.

Two places need this. `ForeignBody` must never cancel another client's read. `send_until_refused` watches for an early
response while it sends a request.

The task is a trio system task, because its caller may be cancelled, or be an object without a nursery. Every
`BackgroundRead` is therefore either finished or cancelled by its owner (promise 1).
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable

import trio


class BackgroundRead:
    """One read in a system task.

    Args:
        read: an async function that returns bytes.

    Attributes:
        done: an event that is set when the read has finished, failed or been cancelled.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self.done = trio.Event()
        # `cancel` waits for a separate event, so that each event has one waiter. `trio.Event.set` fails if one of
        # several waiters is cancelled while it wakes another, and an exception in a system task would crash the run.
        self._ended = trio.Event()
        self._read = read
        self._scope = trio.CancelScope()
        self._data = b""
        self._error: BaseException | None = None
        trio.lowlevel.spawn_system_task(self._run, context=contextvars.copy_context())

    async def _run(self) -> None:  # noqa: ASYNC910 - the main function of a task
        try:
            with self._scope:
                self._data = await self._read()
        except trio.Cancelled:
            raise  # trio cancels system tasks only when the whole run ends
        except BaseException as error:  # noqa: BLE001 - `result` raises it to the caller; here it would crash the run
            self._error = error
        finally:
            self.done.set()
            self._ended.set()

    async def cancel(self) -> None:
        """Cancel the read and wait until its task has ended."""
        self._scope.cancel()
        await self._ended.wait()

    def result(self) -> bytes:
        """Return the bytes, or raise the read's exception. Call this after `done` is set."""
        if self._error is not None:
            raise self._error
        return self._data
