"""When the client has dealt with all that was sent to it: then its process sleeps, in its event loop's wait.

A packet over loopback wakes the process that waits for it before the `send` returns. So after a write the client runs,
and once it sleeps again it has read everything. Asking the kernel costs the client nothing; an answer by socket would.
"""

from __future__ import annotations

import os
import time

_SLEEPING = b"S"
_GUESS = 0.002  # seconds, where there is no /proc to ask


class ClientWatch:
    """Watches one process, by its id."""

    def __init__(self, pid: int) -> None:
        try:
            self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except FileNotFoundError:
            self._stat = -1

    def wait_idle(self) -> None:
        """Return when the process sleeps, or has ended. Without /proc: after a short while."""
        if self._stat < 0:
            time.sleep(_GUESS)
            return
        while self._state() not in (_SLEEPING, b""):
            self.give_way()

    def give_way(self) -> None:
        """Let another process have the core, if there is one that wants it."""
        time.sleep(0)

    def _state(self) -> bytes:
        """The state's letter, the field after the program's name in brackets (proc_pid_stat(5))."""
        try:
            line = os.pread(self._stat, 512, 0)
        except ProcessLookupError:
            return b""
        place = line.rindex(b")") + 2
        return line[place : place + 1]

    def __del__(self) -> None:
        if self._stat >= 0:
            os.close(self._stat)
