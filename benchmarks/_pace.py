"""When the client has dealt with all that was sent to it: then its process sleeps, in its event loop's wait.

A packet over loopback wakes the process that waits for it before the `send` returns. So after a write the client runs,
and once it sleeps again it has read everything. Asking the kernel costs the client nothing; an answer by socket would.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

_SLEEPING = b"S"
_GUESS = 0.002  # seconds, where there is no /proc to ask


class ClientWatch:
    """Watches the threads that one process has now, by its id."""

    def __init__(self, pid: int) -> None:
        self._stats = [os.open(stat, os.O_RDONLY) for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
        # Between two looks at two threads one may have woken the other: so all have to be seen asleep twice.
        self._looks = min(2, len(self._stats))

    def wait_idle(self) -> None:
        """Return when the process sleeps, or has ended. Without /proc: after a short while."""
        if not self._stats:
            time.sleep(_GUESS)
            return
        while not all(self._sleeps() for _ in range(self._looks)):
            self.give_way()

    def give_way(self) -> None:
        """Let another process have the core, if there is one that wants it."""
        time.sleep(0)

    def _sleeps(self) -> bool:
        return all(_state(stat) in (_SLEEPING, b"") for stat in self._stats)

    def __del__(self) -> None:
        for stat in self._stats:
            os.close(stat)


def _state(stat: int) -> bytes:
    """The state's letter, the field after the program's name in brackets (proc_pid_stat(5)), or nothing."""
    try:
        line = os.pread(stat, 512, 0)
    except ProcessLookupError:
        return b""
    place = line.rindex(b")") + 2
    return line[place : place + 1]
