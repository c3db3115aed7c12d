"""Destinations of results: `Sink`, `JSONLSink`, and `ParquetSink`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol


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
            `{"custom_id", "text", "id"}`.
    """

    def __init__(self, path: str | Path, *, format: Literal["full", "text"] = "full") -> None:
        self.path = path
        self.format = format

    async def open(self) -> AsyncIterable[Mapping[str, Any]]:
        """Open the file, repair its last line, and return the lines that it has."""
        raise NotImplementedError

    async def write(self, lines: list[Mapping[str, Any]]) -> None:
        """Append lines."""
        raise NotImplementedError

    async def sync(self) -> None:
        """Call fsync."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close the file."""
        raise NotImplementedError


class ParquetSink(JSONLSink):
    """A Parquet file. Until the job is complete, the results are in a file of lines next to it.

    Args:
        path: The Parquet file. The lines are in the file with `.jsonl` appended to its name.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(f"{path}.jsonl")
        self.parquet = path
