"""Destinations of results: the protocol `Sink`, and `JSONLSink` for files of lines.

`JSONLSink` keeps three rules, so that killing the process at any moment loses and doubles nothing:

* A line is written with a single call, as soon as it is known. After that it survives the death of the process.
* If only a part of it could be written, because the disk is full, that part is cut off again.
* What a killed process left of its last line is repaired before anything is appended.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections import deque
from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, Self, cast

import trio

from trio_openai._wire.encode import encode_json
from trio_openai._wire.json import decode_json
from trio_openai.errors import BatchJobError

from .journal import LineSplitter, Written, read_line, repair
from .results import text_line, unstorable_line

_CHUNK = 256 * 1024
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_MOST_LINE = 1 << 40  # a line of the output is never cut


class Sink(Protocol):
    """The destination of a job's results. The methods are never called at the same time."""

    async def open(self) -> Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]:
        """Get ready, and return the output lines of earlier runs, as dictionaries. They are taken lazily."""
        ...

    async def write(self, lines: list[Mapping[str, Any]]) -> None:
        """Store output lines. When this returns, they survive the death of the process."""
        ...

    async def sync(self) -> None:
        """Make sure that everything stored survives a power cut. Called at intervals and before the end."""
        ...

    async def aclose(self) -> None:
        """Close the sink. No other call follows."""
        ...


class JSONLSink:
    """A file of lines of JSON, which only grows. A torn last line is repaired.

    Args:
        path: The file. `-` is the standard output, which cannot be resumed.
        format: `full` for the result lines of OpenAI's Batch API with our own members, `text` for
            `{"id", "custom_id", "text"}`.
    """

    def __init__(self, path: str | Path, *, format: Literal["full", "text"] = "full") -> None:
        if format not in ("full", "text"):
            raise ValueError(f"format takes 'full' or 'text', not {format!r}")
        self.path = path
        self.format = format
        self._fd = -1
        self._size = 0
        self._is_file = False  # a regular file: it can be resumed, repaired, and read again
        self._is_changed = False

    async def open(self) -> AsyncIterable[Mapping[str, Any]]:
        """Open the file, and return the lines that it has. Its last line is repaired when they have been taken.

        Raises:
            BatchJobError: The file cannot be opened, is in use by another job, or is no output of a batch job.
        """
        await trio.lowlevel.checkpoint()
        self.open_file()
        return _Decoded(EarlierLines(self))

    async def write(self, lines: list[Mapping[str, Any]]) -> None:
        """Append lines.

        Raises:
            BatchJobError: They could not be written. The file ends after its last whole line.
        """
        await trio.lowlevel.checkpoint()
        for line in lines:
            self.append(line)

    async def sync(self) -> None:
        """Call fsync, in a thread.

        Raises:
            BatchJobError: The data could not be stored.
        """
        if not (self._is_file and self._is_changed):
            await trio.lowlevel.checkpoint()
            return
        self._is_changed = False
        try:
            await trio.to_thread.run_sync(os.fsync, self._fd)
        except OSError as error:
            self._is_changed = True
            raise self.failed(error) from error

    async def aclose(self) -> None:
        """Close the file."""
        self.close_file()
        await trio.lowlevel.checkpoint()

    # For `run.py`, without checkpoints.

    def open_file(self) -> None:
        """Open the file and lock it.

        Raises:
            BatchJobError: As `open`.
        """
        if str(self.path) == "-":
            self._fd = sys.stdout.fileno()
            return
        try:
            self._fd = os.open(self.path, _FLAGS, 0o644)
            self._is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError as error:
            raise self.failed(error) from error
        if self._is_file and not _locked(self._fd):
            self.close_file()
            raise BatchJobError(f"{self.path} is being written by another job: wait for it, or choose another output")

    def close_file(self) -> None:
        """Close the file. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and str(self.path) != "-":
            os.close(fd)

    def append(self, line: Mapping[str, Any]) -> int | None:
        """Append a line, and return where it is; None if it cannot be read again.

        Raises:
            BatchJobError: It could not be written. The file ends after its last whole line.
        """
        data = self._encoded(line) + b"\n"
        location = self._size
        try:
            self._write_all(data)
        except OSError as error:
            self._cut(location)
            raise self.failed(error) from error
        self._size += len(data)
        self._is_changed = True
        return location if self._is_file else None

    def read(self, location: int) -> Mapping[str, Any]:
        """Return the line at a place that `append` or `EarlierLines` has given.

        Raises:
            BatchJobError: The file cannot be read.
        """
        try:
            with Path(self.path).open("rb") as file:
                file.seek(location)
                return cast("Mapping[str, Any]", decode_json(file.readline()))
        except (OSError, ValueError) as error:
            raise self.failed(error) from error

    def failed(self, error: Exception) -> BatchJobError:
        """Return the error for a file that cannot be used."""
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return BatchJobError(f"the output {self.path} cannot be written: {why}")

    def _encoded(self, line: Mapping[str, Any]) -> bytes:
        line = text_line(line) if self.format == "text" else line
        try:
            return encode_json(line)
        except TypeError as error:  # servers can nest more deeply than an encoder can
            return encode_json(unstorable_line(line, str(error)))

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]

    def _cut(self, size: int) -> None:
        """Cut the file off after its last whole line. If that fails too, the next run repairs it."""
        if self._is_file:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)

    # For `EarlierLines`.

    def read_piece(self, position: int) -> bytes:
        """Return a piece of the file. Runs in a thread."""
        try:
            with Path(self.path).open("rb") as file:
                file.seek(position)
                return file.read(_CHUNK)
        except OSError as error:
            raise self.failed(error) from error

    def repair(self, position: int, rest: bytes, number: int) -> None:
        """Repair the last line. All bytes before `position` are whole lines."""
        found = repair(rest)
        if found is None:
            raise self.not_ours(number)
        try:
            if found.cut:
                os.ftruncate(self._fd, position)
            if found.append:
                self._write_all(found.append)
        except OSError as error:
            raise self.failed(error) from error
        self._size = position + len(rest) - found.cut + len(found.append)
        self._is_changed = bool(rest)

    def not_ours(self, number: int) -> BatchJobError:
        """Return the error for a file with something else in it."""
        return BatchJobError(
            f"{self.path} is not the output of a batch job: line {number} is something else. Nothing was changed. "
            "Choose another output"
        )

    def exists(self) -> bool:
        """Return whether there is output of an earlier run. The file is not opened."""
        return str(self.path) != "-" and Path(self.path).is_file()

    @property
    def can_be_read(self) -> bool:
        """True if the output is a regular file."""
        return self._is_file


class EarlierLines:
    """The lines that the output has when a job starts, each with its place. Taking the last one repairs the file.

    Args:
        sink: The output.
        only_look: Whether to leave the file as it is, for a dry run.
    """

    def __init__(self, sink: JSONLSink, *, only_look: bool = False) -> None:
        self._sink = sink
        self._only_look = only_look
        self._splitter = LineSplitter(_MOST_LINE)
        self._lines: deque[bytes] = deque()
        self._read = 0
        self._position = 0
        self._number = 0
        self._is_at_end = not (only_look or sink.can_be_read)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Written, bytes, int]:  # noqa: ASYNC910 - lines already read need no checkpoint
        while True:  # noqa: ASYNC913
            while self._lines:
                line, location = self._lines.popleft(), self._position
                self._position += len(line) + 1
                self._number += 1
                if not line.strip():
                    continue
                if (written := read_line(line)) is None:
                    raise self._sink.not_ours(self._number)
                return written, line, location
            if self._is_at_end:
                raise StopAsyncIteration
            await self._read_more()

    async def _read_more(self) -> None:
        data = await trio.to_thread.run_sync(self._sink.read_piece, self._read)
        if data:
            self._read += len(data)
            self._lines.extend(self._splitter.receive_data(data))
            return
        self._is_at_end = True
        if not self._only_look:
            self._sink.repair(self._position, rest := self._splitter.finish(), self._number + 1)
            if rest and read_line(rest) is not None:
                self._lines.append(rest)


class _Decoded:
    """The lines of the output as dictionaries."""

    def __init__(self, lines: EarlierLines) -> None:
        self._lines = lines

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Mapping[str, Any]:
        _, line, _ = await self._lines.__anext__()
        return cast("Mapping[str, Any]", decode_json(line))


def _locked(fd: int) -> bool:
    """Lock a file for this process, and return whether that worked. The lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have no locks
        return True
    return True
