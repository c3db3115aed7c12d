"""Find out when the client has processed everything that was sent to it: then its process sleeps in its event loop.

A packet over loopback wakes the waiting process before `send` returns. So the client is running after a write, and once
it sleeps again it has read everything. Asking the kernel costs the client nothing, while a reply over a socket would.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_SLEEPING = b"S"
_GUESS = 0.002  # seconds to wait where there is no /proc


class ClientWatch:
    """Watches all threads that a process has at the moment of creation."""

    def __init__(self, pid: int) -> None:
        self._stats = [os.open(stat, os.O_RDONLY) for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
        # While we look at one thread, another may wake it. So all of them must be seen asleep twice in a row.
        self._looks = min(2, len(self._stats))

    def wait_idle(self) -> None:
        """Wait until the process sleeps or has ended. Without /proc, wait for a short fixed time."""
        if not self._stats:
            time.sleep(_GUESS)
            return
        while not all(self._sleeps() for _ in range(self._looks)):
            self.give_way()

    def give_way(self) -> None:
        """Yield the core to another process, if one is ready to run."""
        time.sleep(0)

    def _sleeps(self) -> bool:
        return all(_state(stat) in (_SLEEPING, b"") for stat in self._stats)

    def __del__(self) -> None:
        for stat in self._stats:
            os.close(stat)


def _state(stat: int) -> bytes:
    """Return the thread's state letter, the field after the program name (proc_pid_stat(5)); empty if it has ended."""
    try:
        line = os.pread(stat, 512, 0)
    except ProcessLookupError:
        return b""
    place = line.rindex(b")") + 2
    return line[place : place + 1]
