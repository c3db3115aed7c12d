"""Files to upload: read from disk piece by piece while they are sent, and anew for each attempt.

httpx writes the form. What it is given for a file is a `SizedFile`: httpx asks it for its length without opening it,
and reads it by 64 KiB. httpx would do that in the event loop; here every step of its writing runs in a thread, if there
is a file on disk in the form. (So a form from memory needs none, also in a test, whose clock would not wait for it.)

A file belongs to an attempt, which closes it whatever happens. While it is being sent it must not change: what is sent
is as long as the head of the request has said, or an `OSError` ends it.

Only regular files are taken. To open or read a pipe or a device may block for ever, and a thread cannot be cancelled.
Files of `/proc` have a size of 0 and content all the same; these are refused too, since an empty file would be sent.
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

_WAYS = 'a pathlib.Path, bytes, a file that is open in binary mode ("rb"), or (name, content[, content type])'

FormFile: TypeAlias = "tuple[str, SizedFile | bytes] | tuple[str, SizedFile | bytes, str]"
"""A file in the form that httpx takes: name, content and perhaps content type."""


@attrs.frozen(eq=False)
class Upload:
    """A file to upload.

    Attributes:
        name: the file's name, as the server sees it.
        content: its path, its bytes, or an open file, whose whole content is sent wherever it stands.
        content_type: if it was given; otherwise httpx guesses by the name.
    """

    name: str
    content: Path | bytes | IO[bytes] = attrs.field(repr=False)
    content_type: str | None = None

    @classmethod
    def of(cls, parameter: str, given: Any) -> Upload:
        """What was given for a parameter that is a file.

        Raises:
            TypeError: it is no file, or one that is open in text mode.
            ValueError: it is an open file that cannot be read from its beginning, as another attempt has to.
        """
        name: Any = None
        content_type: Any = None
        content: Any = given
        if _is_tuple(given):
            name, content, content_type = _unpacked(parameter, given)
        content = _content(parameter, getattr(content, "wrapped", content))  # as trio.open_file wraps it
        name = name or (content.name if isinstance(content, Path) else getattr(content, "name", None))
        name = printable(Path(name).name) if isinstance(name, str) else ""
        return cls(name or "upload", content, content_type)

    @property
    def is_on_disk(self) -> bool:
        """Whether to look at it may block."""
        return not isinstance(self.content, bytes | io.BytesIO)

    def measured(self) -> FormFile:
        """Return the file in the form that httpx takes. Looks for it and for its size, so call this in a thread.

        Raises:
            OSError: there is no such file, or it is a directory.
            ValueError: it is not a regular file, or has another size than it says.
            TypeError: it is open in text mode.
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
    try:
        return file.seek(0, os.SEEK_END)
    except OSError as error:  # a file of /proc, say
        raise ValueError(f"{name} has content of an unknown size; read it yourself, and give its bytes") from error


def open_regular(path: Path) -> IO[bytes]:
    """Open a file to read it, and never wait for a pipe's other end or for a device.

    Raises:
        OSError: there is no such file, or it is a directory.
        ValueError: it is a pipe, a socket, or a device.
    """
    _check_regular(path, path.stat().st_mode)  # a device may do something when it is opened
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 - Path.open takes no opener; the caller closes it
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)  # it may have been replaced since
    except BaseException:
        file.close()
        raise
    return file


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "this is a directory; give the path of a file", str(path))
    if not stat.S_ISREG(mode):
        raise ValueError(
            f"{str(path)!r} is {_kind(mode)}, which could block for ever; read it yourself, and give its bytes"
        )


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _is_tuple(given: object) -> TypeGuard[tuple[Any, ...]]:
    return isinstance(given, tuple)


def _unpacked(parameter: str, given: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    if len(given) not in (2, 3) or not isinstance(given[0], str | None):
        raise TypeError(f"{parameter} takes {_WAYS}")
    content_type = given[2] if len(given) == 3 else None
    if not isinstance(content_type, str | None):
        raise TypeError(f"{parameter}'s content type is a string, such as 'audio/mpeg'")
    if content_type is not None and not (content_type.isascii() and content_type.isprintable()):
        raise ValueError(f"{parameter}'s content type has a character that a header cannot have: {content_type!r}")
    return given[0], given[1], given[2] if len(given) == 3 else None


def _content(parameter: str, given: Any) -> Path | bytes | IO[bytes]:
    if isinstance(given, bytes | bytearray):
        return bytes(given)
    if isinstance(given, os.PathLike):
        return Path(cast("os.PathLike[str]", given))
    if isinstance(given, io.TextIOBase):
        raise TypeError(f'{parameter} is open in text mode; open it in binary mode, "rb"')
    if isinstance(given, str) or not hasattr(given, "read"):
        a_path = "; for the path of a file give a pathlib.Path" if isinstance(given, str) else ""
        raise TypeError(f"{parameter} takes {_WAYS}, not {type(given).__name__}{a_path}")
    if not (hasattr(given, "seekable") and given.seekable()):
        raise ValueError(f"{parameter} cannot be read twice, as another attempt may have to; give its bytes, or a path")
    return cast("IO[bytes]", given)


class SizedFile:
    """A file of a known size that is opened when it is first read; so much of a file as httpx needs.

    Args:
        open_file: opens it.
        size: in bytes.
        is_ours: whether to close it.
    """

    def __init__(self, open_file: Callable[[], IO[bytes]], size: int, *, is_ours: bool) -> None:
        self._open = open_file
        self._size = size
        self._is_ours = is_ours
        self._file: IO[bytes] | None = None
        self._at = 0

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to the beginning, or the end."""
        self._at = offset + (self._size if whence == os.SEEK_END else 0)
        self.close()
        return self._at

    def check(self, name: str) -> None:
        """Look at its beginning, and close it again. Raises as `Upload.measured`."""
        file = self._open()
        try:
            file.seek(0)
            beginning: object = file.read(0 if self._size else 1)
        finally:
            if self._is_ours:
                file.close()
        if isinstance(beginning, str):
            raise TypeError(f'{name} is open in text mode; open it in binary mode, "rb"')
        if not self._size and beginning:
            raise ValueError(
                f"{name} says that it has 0 bytes, but has content, as files of /proc and devices do; "
                "read it yourself, and give its bytes"
            )

    def read(self, size: int) -> bytes:
        """The next bytes, so many at the most.

        Raises:
            OSError: the file cannot be read, or has become shorter, or gives more than it was asked for.
        """
        if self._file is None:
            self._file = self._open()
            self._file.seek(self._at)
        wanted = min(size, self._size - self._at)
        data = self._file.read(wanted)
        self._at += len(data)
        if wanted and not data:
            raise OSError(f"a file became shorter while it was sent: it has {self._at} of its {self._size} bytes")
        if len(data) > wanted:
            raise OSError(
                f"a file gave {len(data)} bytes when it was asked for {wanted}; what is sent would be too long"
            )
        return data

    def close(self) -> None:
        """Close it if it is ours. It can be read again."""
        file, self._file = self._file, None
        if file is not None and self._is_ours:
            file.close()


class _FormChunks:
    """What httpx writes; in a thread, if it reads from a disk."""

    def __init__(self, written: Iterator[bytes], *, threaded: bool) -> None:
        self._written = written
        self._threaded = threaded

    def __aiter__(self) -> _FormChunks:
        return self

    async def __anext__(self) -> bytes:
        if self._threaded:
            piece = await in_thread(lambda: next(self._written, None))
        else:
            await trio.lowlevel.checkpoint()
            piece = next(self._written, None)
        if piece is None:
            raise StopAsyncIteration
        return piece


@attrs.frozen(eq=False)
class Form:
    """A body of fields and files, which are opened anew for each attempt and read while they are sent."""

    fields: list[tuple[str, str]] = attrs.field(repr=False)
    files: list[tuple[str, Upload]] = attrs.field(repr=False)

    def data(self) -> dict[str, list[str]]:
        """The fields as httpx takes them."""
        named: dict[str, list[str]] = {}
        for name, text in self.fields:
            named.setdefault(name, []).append(text)
        return named

    async def measured(self) -> list[tuple[str, FormFile]]:
        """The files as httpx takes them; `close` is for when they have been sent, or are not.

        Raises:
            OSError: a file is not there.
        """

        def measure() -> list[tuple[str, FormFile]]:
            return [(name, upload.measured()) for name, upload in self.files]

        if self._is_on_disk():
            return await in_thread(measure)
        await trio.lowlevel.checkpoint()
        return measure()

    def stream(self, written: Any) -> Any:
        """The body that httpx has made of this, of the same httpx's class, as one that does not block."""
        threaded = self._is_on_disk()

        def pieces(_: object) -> _FormChunks:
            return _FormChunks(iter(written), threaded=threaded)

        body = next(cls for cls in type(written).__mro__ if cls.__name__ == "AsyncByteStream")
        return type("FormStream", (body,), {"__aiter__": pieces})()

    @staticmethod
    def close(parts: list[tuple[str, FormFile]]) -> None:
        """Close the files that `measured` gave. Idempotent."""
        for _, part in parts:
            if isinstance(part[1], SizedFile):
                part[1].close()

    def _is_on_disk(self) -> bool:
        return any(upload.is_on_disk for _, upload in self.files)


async def in_thread(function: Callable[[], _T]) -> _T:
    """Call a function that may block for a moment. It is waited for, also by a cancelled task.

    Not in one of the program's own threads: those may all be workers that wait for this.
    """
    return await trio.to_thread.run_sync(function, limiter=trio.CapacityLimiter(1))
