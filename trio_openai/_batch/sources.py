"""Sources of requests: `Source`, and `JSONLSource` for files of lines."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .rows import BatchRow, BatchRowError, Defaults


class Source(Protocol):
    """The source of a job's requests.

    A program's own source needs only this method.
    """

    def lines(self) -> Iterable[bytes | Mapping[str, Any]] | AsyncIterable[bytes | Mapping[str, Any]]:
        """Return the lines: JSON as bytes, or dictionaries. They are taken lazily, one at a time."""
        ...


class JSONLSource:
    """A file of lines of JSON, read lazily.

    Args:
        path: The file. `-` is the standard input. A name that ends in `.gz` is decompressed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def lines(self) -> AsyncIterable[bytes | Mapping[str, Any]]:
        """Return the lines of the file."""
        raise NotImplementedError


__all__ = ["BatchRow", "BatchRowError", "Defaults", "JSONLSource", "Source"]
