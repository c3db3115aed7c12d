"""Uploads: files that are read chunk by chunk while they are sent, and opened anew for each attempt.

httpx writes the multipart form. For each file it gets a `SizedFile`. httpx asks that for its length without opening it,
so the head of the request can state the length, and later reads it in steps of 64 KiB. httpx would make these reads in
the event loop, where a slow disk would block every task. So if any file of a form is on disk, each step of httpx's
iterator runs in a thread. A form that is entirely in memory needs no thread, which also keeps it usable in tests with
`autojump_clock`, which does not wait for threads.

The rules:

* A file belongs to one attempt, which closes it whatever happens. A retry opens it again.
* A file must not change while it is sent. Its length is already in the head of the request, so if it becomes shorter,
  an `OSError` ends the attempt.
* Only regular files are accepted. Opening or reading a pipe or a device may block for ever, and a thread cannot be
  cancelled. Files of `/proc` report a size of 0 but have content; they are refused, because an empty file would be
  sent.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeGuard, TypeVar, cast

import attrs
import trio

from trio_openai._wire.text import printable

_T = TypeVar("_T")

_FORMS = 'a pathlib.Path, bytes, a file opened in binary mode ("rb"), or (name, content[, content type])'

FormFile: TypeAlias = "tuple[str, SizedFile | bytes] | tuple[str, SizedFile | bytes, str]"
"""A file in the form that httpx accepts: name, content and optionally content type."""


@attrs.frozen(eq=False)
class Upload:
    """A file to upload.

    Attributes:
        name: the file name that the server sees.
        content: a path, bytes, or an open file. All of an open file is sent, wherever its position is.
        content_type: the content type, or None to let httpx guess it from the name.
    """

    name: str
    content: Path | bytes | IO[bytes] = attrs.field(repr=False)
    content_type: str | None = None

    @classmethod
    def of(cls, parameter: str, given: Any) -> Upload:
        """Convert the argument for a parameter that is a file.

        Raises:
            TypeError: the argument is not a file, or is a file opened in text mode.
            ValueError: it is an open file that cannot be read a second time, as a retry would have to.
        """
        name: Any = None
        content_type: Any = None
        content: Any = given
        if _is_tuple(given):
            name, content, content_type = _unpacked(parameter, given)
        content = _content(parameter, getattr(content, "wrapped", content))  # trio.open_file wraps the real file
        name = name or (content.name if isinstance(content, Path) else getattr(content, "name", None))
        name = printable(Path(name).name) if isinstance(name, str) else ""
        return cls(name or "upload", content, content_type)

    @property
    def is_on_disk(self) -> bool:
        """True if reading the content may block."""
        return not isinstance(self.content, bytes | io.BytesIO)

    def measured(self) -> FormFile:
        """Return the file in the form that httpx accepts. This looks at the disk, so call it in a thread.

        Raises:
            OSError: the file does not exist or is a directory.
            ValueError: it is not a regular file, or its content does not match the size that it reports.
            TypeError: it is opened in text mode.
        """
        content = self.content
        if isinstance(content, bytes):
            part: SizedFile | bytes = content
        elif isinstance(content, Path):
            part = SizedFile(lambda: open_regular(content), content.stat().st_size, is_ours=True)
        else:
            part = SizedFile(lambda: content, _size_of(content, self.name), is_ours=False)
        if isinstance(part, SizedFile):
            part.check(self.name)
        return (self.name, part, self.content_type) if self.content_type else (self.name, part)


def _size_of(file: IO[bytes], name: str) -> int:
    """Return the size of an open file."""
    try:
        return file.seek(0, os.SEEK_END)
    except OSError as error:  # for example a file of /proc
        raise ValueError(f"{name} has content of an unknown size; read it and pass the bytes") from error


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading, without ever waiting for a pipe's other end or for a device.

    Raises:
        OSError: the file does not exist or is a directory.
        ValueError: it is a pipe, a socket, or a device.
    """
    _check_regular(path, path.stat().st_mode)  # before opening, because merely opening a device may have effects
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - Path.open takes no opener; the caller closes it
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)  # the path may have been replaced since the first check
    except BaseException:
        file.close()
        raise
    return file


def _open_at_once(path: str, flags: int) -> int:
    """Open a file with `O_NONBLOCK`, so that opening a pipe does not wait for its other end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(path: Path, mode: int) -> None:
    """Raise an error if a file's mode is not that of a regular file."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "this is a directory; pass the path of a file", str(path))
    if not stat.S_ISREG(mode):
        raise ValueError(
            f"{str(path)!r} is {_kind(mode)}, and reading it could block for ever; read it and pass the bytes"
        )


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _is_tuple(given: object) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(given, tuple)


def _unpacked(parameter: str, given: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """Return the name, content and content type of a tuple, after checking them."""
    if len(given) not in (2, 3) or not isinstance(given[0], str | None):
        raise TypeError(f"{parameter} takes {_FORMS}")
    content_type = given[2] if len(given) == 3 else None
    if not isinstance(content_type, str | None):
        raise TypeError(f"{parameter}'s content type is a string, such as 'audio/mpeg'")
    if content_type is not None and not (content_type.isascii() and content_type.isprintable()):
        raise ValueError(f"{parameter}'s content type contains a character that HTTP forbids: {content_type!r}")
    return given[0], given[1], content_type


def _content(parameter: str, given: Any) -> Path | bytes | IO[bytes]:
    """Return the content as a path, bytes or a seekable binary file."""
    if isinstance(given, bytes | bytearray):
        return bytes(given)
    if isinstance(given, os.PathLike):
        return Path(cast("os.PathLike[str]", given))
    if isinstance(given, io.TextIOBase):
        raise TypeError(f'{parameter} is opened in text mode; open it in binary mode, "rb"')
    if isinstance(given, str) or not hasattr(given, "read"):
        hint = "; if it is the path of a file, wrap it in pathlib.Path" if isinstance(given, str) else ""
        raise TypeError(f"{parameter} takes {_FORMS}, not {type(given).__name__}{hint}")
    if not (hasattr(given, "seekable") and given.seekable()):
        raise ValueError(f"{parameter} cannot be read twice, which a retry may have to; pass its bytes or a path")
    return cast("IO[bytes]", given)


class SizedFile:
    """A file of known size that is opened when it is first read. It has the methods of a file that httpx needs.

    Args:
        open_file: opens the file.
        size: the size in bytes.
        is_ours: True to close the file after use, False if it belongs to the program.
    """

    def __init__(self, open_file: Callable[[], IO[bytes]], size: int, *, is_ours: bool) -> None:
        self._open = open_file
        self._size = size
        self._is_ours = is_ours
        self._file: IO[bytes] | None = None
        self._at = 0  # the position at which the next read starts

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to the start or, for `os.SEEK_END`, the end. httpx finds the size in this way."""
        self._at = offset + (self._size if whence == os.SEEK_END else 0)
        self.close()
        return self._at

    def check(self, name: str) -> None:
        """Read the first byte to validate the file, and close it again. Raises what `Upload.measured` documents."""
        file = self._open()
        try:
            file.seek(0)
            beginning: object = file.read(0 if self._size else 1)
        finally:
            if self._is_ours:
                file.close()
        if isinstance(beginning, str):
            raise TypeError(f'{name} is opened in text mode; open it in binary mode, "rb"')
        if not self._size and beginning:
            raise ValueError(
                f"{name} reports a size of 0 bytes but has content, as files of /proc and devices do; "
                "read it and pass the bytes"
            )

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`.

        Raises:
            OSError: the file cannot be read, became shorter, or returned more bytes than requested.
        """
        if self._file is None:
            self._file = self._open()
            self._file.seek(self._at)
        wanted = min(size, self._size - self._at)
        data = self._file.read(wanted)
        self._at += len(data)
        if wanted and not data:
            raise OSError(f"a file became shorter while it was sent: it has {self._at} of {self._size} bytes")
        if len(data) > wanted:
            raise OSError(
                f"a file returned {len(data)} bytes when asked for {wanted}, so the request would be too long"
            )
        return data

    def close(self) -> None:
        """Close the file if it is ours. It can be read again afterwards."""
        file, self._file = self._file, None
        if file is not None and self._is_ours:
            file.close()


class _FormChunks:
    """The bytes of a form as httpx writes them, read in a thread if a file is on disk."""

    def __init__(self, written: Iterator[bytes], *, threaded: bool) -> None:
        self._written = written
        self._threaded = threaded

    def __aiter__(self) -> _FormChunks:
        return self

    async def __anext__(self) -> bytes:
        if self._threaded:
            chunk = await in_thread(lambda: next(self._written, None))
        else:
            await trio.lowlevel.checkpoint()
            chunk = next(self._written, None)
        if chunk is None:
            raise StopAsyncIteration
        return chunk


@attrs.frozen(eq=False)
class Form:
    """A body of fields and files. The files are opened for each attempt and read while they are sent."""

    fields: list[tuple[str, str]] = attrs.field(repr=False)
    files: list[tuple[str, Upload]] = attrs.field(repr=False)

    def data(self) -> dict[str, list[str]]:
        """Return the fields in the form that httpx accepts."""
        named: dict[str, list[str]] = {}
        for name, text in self.fields:
            named.setdefault(name, []).append(text)
        return named

    async def measured(self) -> list[tuple[str, FormFile]]:
        """Return the files in the form that httpx accepts. Call `close` when they have been sent or given up.

        Raises:
            OSError: a file does not exist.
        """

        def measure() -> list[tuple[str, FormFile]]:
            return [(name, upload.measured()) for name, upload in self.files]

        if self._is_on_disk():
            return await in_thread(measure)
        await trio.lowlevel.checkpoint()
        return measure()

    def stream(self, written: Any) -> Any:
        """Return the form as a body that does not block the event loop.

        Args:
            written: the body that httpx made from the form. Its synchronous iterator reads the files. The result is of
                the same base class, because httpx2 checks for its own.
        """
        threaded = self._is_on_disk()

        def chunks(_: object) -> _FormChunks:
            return _FormChunks(iter(written), threaded=threaded)

        body = next(cls for cls in type(written).__mro__ if cls.__name__ == "AsyncByteStream")
        return type("FormStream", (body,), {"__aiter__": chunks})()

    @staticmethod
    def close(parts: list[tuple[str, FormFile]]) -> None:
        """Close the files that `measured` returned. Idempotent."""
        for _, part in parts:
            if isinstance(part[1], SizedFile):
                part[1].close()

    def _is_on_disk(self) -> bool:
        return any(upload.is_on_disk for _, upload in self.files)


async def in_thread(function: Callable[[], _T]) -> _T:
    """Call a function that may block for a moment. A cancelled task waits for it too.

    The threads have a limiter of their own. trio's default limiter may be used up by worker threads of the program that
    are all waiting for this upload.
    """
    return await trio.to_thread.run_sync(function, limiter=trio.CapacityLimiter(1))
