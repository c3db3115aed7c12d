"""Sources of requests: the protocol `Source`, and `JSONLSource` for files of lines."""

from __future__ import annotations

import gzip
import os
import stat
import sys
import zlib
from collections import deque
from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol, Self, TypeAlias, cast

import trio

from trio_openai.errors import BatchJobError

from .journal import LineSplitter
from .rows import MOST_LINE_BYTES, BatchRow

Line: TypeAlias = bytes | Mapping[str, Any] | BatchRow
"""A line of a source: JSON as bytes, a dictionary, or a request that has been read already."""

_CHUNK = 256 * 1024


class Source(Protocol):
    """The source of a job's requests. A program's own source needs only this method."""

    def lines(self) -> Iterable[Line] | AsyncIterable[Line]:
        """Return the lines: JSON as bytes, or dictionaries. They are taken lazily, one at a time."""
        ...


class JSONLSource:
    """A file of lines of JSON. It is read lazily, in a thread.

    Args:
        path: The file. `-` is the standard input. A name that ends in `.gz` is decompressed.

    Attributes:
        bytes_read: The bytes of the lines that have been taken. Of a compressed file, the compressed bytes that have
            been read.
        bytes_total: The size of the file; None until it is open, and if it has none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.bytes_read: int = 0
        self.bytes_total: int | None = None

    def lines(self) -> AsyncIterable[Line]:
        """Return the lines of the file, without their ends.

        Raises:
            BatchJobError: While iterating: the file cannot be read.
        """
        self.bytes_read, self.bytes_total = 0, None
        return _Lines(self)

    @property
    def is_stdin(self) -> bool:
        """True for the standard input."""
        return str(self.path) == "-"


class _Lines:
    """The lines of a file. Not an async generator, which would have to be closed."""

    def __init__(self, source: JSONLSource) -> None:
        self._source = source
        self._file: IO[bytes] | None = None
        self._counted: IO[bytes] | None = None  # the file whose position is the number of bytes read
        self._splitter = LineSplitter(MOST_LINE_BYTES)
        self._ready: deque[bytes] = deque()
        self._is_at_end = False
        self._is_compressed = str(source.path).endswith(".gz")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._ready:
            if self._is_at_end:
                raise StopAsyncIteration
            await self._read_more()
        line = self._ready.popleft()
        if not self._is_compressed:
            taken, total = self._source.bytes_read + len(line) + 1, self._source.bytes_total
            self._source.bytes_read = taken if total is None else min(taken, total)  # the last line may lack its end
        return line  # noqa: ASYNC910 - the dispatcher has its own checkpoints

    async def _read_more(self) -> None:
        # A pipe or a terminal may stay silent forever. Its thread is abandoned if the job ends.
        data = await trio.to_thread.run_sync(self._read, abandon_on_cancel=self._may_wait())
        if data:
            self._ready.extend(self._splitter.receive_data(data))
            return
        self._is_at_end = True
        if rest := self._splitter.finish():
            self._ready.append(rest)
        await self.aclose()

    def _may_wait(self) -> bool:
        if self._source.is_stdin:
            return True
        try:
            return not stat.S_ISREG(Path(self._source.path).stat().st_mode)
        except OSError:
            return False

    def _read(self) -> bytes:
        """Read the next piece of the file. Runs in a thread."""
        name = "the standard input" if self._source.is_stdin else str(self._source.path)
        try:
            file = self._file or self._open()
            data = cast("bytes", file.read1(_CHUNK))  # type: ignore[attr-defined]  # all our files are buffered
            if self._is_compressed and self._counted is not None:
                self._source.bytes_read = self._counted.tell()
        except OSError as error:
            raise BatchJobError(f"{name} cannot be read: {error.strerror or error}") from error
        except (EOFError, zlib.error) as error:
            raise BatchJobError(f"{name} cannot be decompressed: {error}") from error
        return data

    def _open(self) -> IO[bytes]:
        source = self._source
        if source.is_stdin:
            self._file = _stdin()
            return self._file
        file = Path(source.path).open("rb")  # noqa: SIM115 - closed by `aclose`
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            source.bytes_total, self._counted = status.st_size, file
        self._file = opened = cast("IO[bytes]", gzip.GzipFile(fileobj=file) if self._is_compressed else file)
        return opened

    async def aclose(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None and not self._source.is_stdin:  # closing that one waits for a thread that still reads
            if self._counted is not None:  # closing a `GzipFile` leaves its file open
                self._counted.close()
            file.close()
        await trio.lowlevel.checkpoint()


def _stdin() -> IO[bytes]:
    """Return the standard input as a file of our own.

    The interpreter closes its own one when it ends, and aborts if a thread still waits for a line of it.
    """
    try:
        number = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # somebody has replaced it, such as pytest
        return sys.stdin.buffer
    return open(number, "rb", closefd=False)


def source_of(given: object) -> Source:
    """Return the source of a job.

    Raises:
        TypeError: It is neither a path nor a source.
    """
    if isinstance(given, str | Path):
        return JSONLSource(given)
    if not callable(getattr(given, "lines", None)):
        raise TypeError(f"source takes a path or an object with a method lines(), not {type(given).__name__}")
    return cast("Source", given)
