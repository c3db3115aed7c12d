"""Wait for many sockets with one epoll descriptor, which one of the waiting tasks looks after for all of them.

`trio.lowlevel.wait_readable` tells the kernel anew for every wait which socket it is about. For a model's tokens, which
come one by one, this costs as much as the read. Here each socket is registered once, edge-triggered: the kernel reports
it whenever something new arrives. With 100 sockets, a read of one event takes 4.2 µs instead of 5.7, and 9.0 with
`SocketStream.receive_some`; with 1,000 sockets 5.6 instead of 8.9 and 13.8 (`benchmarks/reads.py`).

There is no background task. The first task that has to wait for its socket becomes the driver. It waits for the epoll
descriptor itself, by `trio.lowlevel.wait_readable`. All other tasks are parked. When the driver wakes, it asks the
kernel once which sockets have something, and schedules their tasks. It stays the driver until its own socket is among
them.

Rules that hold it together:

* While a task is parked, there is a driver. A driver that stops for any reason (its data came, it was cancelled, its
  socket was closed) makes a parked task the driver before it goes on. That task is the one that has waited longest,
  since a silent socket keeps the role longest.
* A report is never lost. It sets `SharedReader.is_ready`, which stays until a read has found the socket empty. Only
  then a task waits for the next report. A keyboard interrupt cannot hit between asking the kernel and setting it.
* The end of a connection is reported once. It sets `has_ended`, and from then on the socket counts as ready.
* Parking, cancelling and closing have no checkpoint. A cancelled task only removes itself.
* One look at the descriptor schedules `_AT_ONCE` tasks at the most. So a thousand ready sockets do not keep other tasks
  waiting until all of them have been read.
* Only `SharedReader.close` may close a socket that is registered, because it has to wake the task that waits. So
  sockets that a program opened itself are read in another way (`byte_streams.py`).

The epoll descriptor is open while sockets are registered. If it cannot be opened, because the process has no descriptor
left, or on another system than Linux, sockets are waited for by `trio.lowlevel.wait_readable`.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import Any, Final

import attrs
import trio

READ_SIZE: Final = 64 * 1024
"""The most bytes of one read. A parser gets through this in well under a millisecond."""

_EPOLLIN: Final = getattr(select, "EPOLLIN", 0)  # missing on systems without epoll, as the others are
_EVENTS: Final = sum(getattr(select, name, 0) for name in ("EPOLLIN", "EPOLLRDHUP", "EPOLLET"))
_AT_ONCE = 64  # the most tasks to schedule by one look at the epoll descriptor: about a millisecond of reading


@attrs.frozen
class EpollStatistics:
    """A look at a `SharedEpoll`.

    Attributes:
        sockets: the number of registered sockets.
        tasks_waiting: the number of tasks that wait for them, with the driver.
    """

    sockets: int
    tasks_waiting: int


class SharedEpoll:
    """The epoll descriptor of one trio run, the sockets that are registered with it, and the tasks that wait for them.

    Attributes:
        waiting: the task that waits for each socket, by the socket's descriptor, in the order in which they began.
        driver: the task that waits for the epoll descriptor, or is about to; None if no task waits.
    """

    __slots__ = ("_epoll", "_readers", "driver", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, trio.lowlevel.Task] = {}
        self.driver: trio.lowlevel.Task | None = None
        self._readers: dict[int, SharedReader] = {}
        self._epoll: Any = None  # a `select.epoll`, which is missing on other systems, while there are sockets

    def statistics(self) -> EpollStatistics:
        """Return what this is doing right now."""
        return EpollStatistics(sockets=len(self._readers), tasks_waiting=len(self.waiting))

    def register(self, reader: SharedReader, fd: int) -> None:
        """Have the kernel report what happens to a socket from now on, and what has happened already.

        Raises:
            OSError: there is no file descriptor or no memory left.
        """
        if self._epoll is None:
            self._epoll = select.epoll()
        try:
            self._epoll.register(fd, _EVENTS)
            self._readers[fd] = reader
        finally:
            self._close_if_unused()

    def unregister(self, reader: SharedReader, fd: int) -> None:
        """Forget a socket that is about to be closed, and wake the task that waits for it."""
        if self._readers.get(fd) is not reader:
            return
        del self._readers[fd]
        self._epoll.unregister(fd)
        task = self.waiting.pop(fd, None)
        if task is not None and task is self.driver:
            trio.lowlevel.notify_closing(self._epoll)  # wakes the driver, if it is not awake already
        elif task is not None:
            trio.lowlevel.reschedule(task)
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if not self._readers:
            self._epoll.close()
            self._epoll = None

    def park(self, fd: int) -> None:
        """Note that this task waits for a socket, and that the driver has to schedule it.

        Raises:
            trio.BusyResourceError: another task waits for it.
        """
        if fd in self.waiting:
            raise trio.BusyResourceError("another task is reading this connection")
        self.waiting[fd] = trio.lowlevel.current_task()

    async def drive(self, reader: SharedReader, fd: int) -> None:  # noqa: ASYNC910 - a task that parked before has waited
        """Wait for all sockets until this reader's has something to read or is closed."""
        self.driver = task = trio.lowlevel.current_task()
        try:
            while not (reader.is_ready or reader.is_closed):
                self.waiting[fd] = task
                with contextlib.suppress(trio.ClosedResourceError):  # this task's socket was closed
                    await trio.lowlevel.wait_readable(self._epoll)
                if not reader.is_closed:
                    self._schedule_ready(task)
            if reader.is_closed:
                await trio.lowlevel.checkpoint_if_cancelled()  # a task that is scheduled as the driver missed this
        finally:
            if self.waiting.get(fd) is task:  # a new socket may have the number of one that was closed
                del self.waiting[fd]
            self._hand_over()

    @trio.lowlevel.enable_ki_protection
    def _schedule_ready(self, driver: trio.lowlevel.Task) -> None:
        """Ask the kernel once, and schedule the tasks whose sockets have something to read."""
        waiting, readers, reschedule = self.waiting, self._readers, trio.lowlevel.reschedule
        for fd, flags in self._epoll.poll(0, _AT_ONCE):
            reader = readers[fd]
            reader.is_ready = True
            if flags != _EPOLLIN:
                reader.has_ended = True
            task = waiting.get(fd)
            if task is not None and task is not driver:
                del waiting[fd]
                reschedule(task)

    @trio.lowlevel.enable_ki_protection
    def _hand_over(self) -> None:
        """Make the task that has waited longest the driver."""
        self.driver = next(iter(self.waiting.values()), None)
        if self.driver is not None:
            trio.lowlevel.reschedule(self.driver)


_EPOLL: trio.lowlevel.RunVar[SharedEpoll] = trio.lowlevel.RunVar("trio_openai_epoll")


def shared_epoll() -> SharedEpoll:
    """Return the epoll descriptor of this trio run."""
    try:
        return _EPOLL.get()
    except LookupError:
        epoll = SharedEpoll()
        _EPOLL.set(epoll)
        return epoll


class SharedReader:
    """A reader of one socket, which it also closes.

    Attributes:
        is_ready: whether the socket may have something to read without waiting.
        has_ended: whether the end of the connection has been reported, which happens only once.
    """

    __slots__ = ("_epoll", "_fd", "_sock", "has_ended", "is_ready")

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.is_ready = False
        self.has_ended = False
        self._sock = sock
        self._fd = sock.fileno()  # -1 once it is closed
        self._epoll: SharedEpoll | None = None  # None until the first read

    @property
    def is_closed(self) -> bool:
        """True once `close` has been called."""
        return self._fd < 0

    async def read(self) -> bytes:
        """Return the next bytes, or `b""` at the end of the stream. A checkpoint.

        Raises:
            OSError: the connection broke.
            trio.BusyResourceError: another task waits for this socket.
            trio.ClosedResourceError: the socket was closed, before this call or while it waited.
        """
        while (fd := self._fd) >= 0:
            epoll = self._epoll or self._registered()
            if self.is_ready:
                await trio.lowlevel.checkpoint()
            elif epoll is None:
                await trio.lowlevel.wait_readable(self._sock)
            elif epoll.driver is None:
                await epoll.drive(self, fd)
            else:
                epoll.park(fd)
                await trio.lowlevel.wait_task_rescheduled(self._abort)
                if epoll.driver is trio.lowlevel.current_task():
                    await epoll.drive(self, fd)
            if self._fd < 0:  # it was closed meanwhile, and another socket may have got its number
                break
            try:
                data = os.read(fd, READ_SIZE)
            except BlockingIOError:
                self.is_ready = self.has_ended = False
            else:
                # Less than was asked for is all there was (epoll(7)), unless the end follows.
                self.is_ready = self.has_ended or len(data) == READ_SIZE
                return data
        raise trio.ClosedResourceError("this connection has been closed")

    def _registered(self) -> SharedEpoll | None:
        """Register the socket, and return the descriptor that reports it, or None if there is none."""
        if hasattr(select, "epoll"):
            epoll = shared_epoll()
            with contextlib.suppress(OSError):  # EMFILE, ENFILE, ENOMEM, ENOSPC: the next read tries again
                epoll.register(self, self._fd)
                self._epoll = epoll
        return self._epoll

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        """Stop waiting, because the task is cancelled."""
        assert self._epoll is not None
        del self._epoll.waiting[self._fd]
        return trio.lowlevel.Abort.SUCCEEDED

    def close(self) -> None:
        """Close the socket, and wake the task that waits for it. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            if self._epoll is not None:
                self._epoll.unregister(self, fd)
            self._sock.close()
