"""`ParquetSink`: results as a Parquet file, for the extra `parquet`.

A Parquet file is written from its beginning to its end, and without its end it cannot be read. So it cannot survive
`kill -9`. The results therefore go to a file of lines next to it, with all the guarantees of one, and when the job ends
it is turned into a Parquet file.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio

from trio_openai._wire.encode import encode_json
from trio_openai._wire.json import decode_json, is_object
from trio_openai.errors import BatchJobError

from .journal import read_object
from .results import text_of
from .sinks import JSONLSink
from .table import DigestTable

_ROWS = 1000  # rows that are converted at a time


class ParquetSink(JSONLSink):
    """A Parquet file. While a job runs, its results are in a file of lines next to it.

    The columns are `id`, `custom_id`, `text`, `error`, `status_code`, `input_tokens`, `output_tokens`, `verdict`,
    `finish_reason`, `first_content` (seconds) and `line`, which is the whole output line as JSON. Of a line that failed
    and was sent again, only the last result is kept.

    Args:
        path: The Parquet file. The lines are in the file with `.jsonl` appended to its name; keep it to resume.

    Raises:
        BatchJobError: pyarrow is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(f"{path}.jsonl")
        self.parquet: Path = Path(path)
        _pyarrow()

    async def aclose(self) -> None:
        """Close the file of lines, and write the Parquet file.

        Raises:
            BatchJobError: It cannot be written. The lines are complete.
        """
        await super().aclose()
        await trio.to_thread.run_sync(self._convert)

    def _convert(self) -> None:
        """Write the Parquet file beside its place, then move it there. Runs in a thread."""
        arrow = _pyarrow()
        unfinished = self.parquet.with_name(self.parquet.name + ".tmp")
        try:
            with arrow.parquet.ParquetWriter(unfinished, _schema(arrow)) as writer:
                for rows in _batches(self._results()):
                    writer.write_table(arrow.Table.from_pylist(rows, schema=_schema(arrow)))
            unfinished.replace(self.parquet)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise BatchJobError(
                f"{self.parquet} cannot be written: {error}. The results are complete in {self.path}"
            ) from error

    def _results(self) -> Iterator[dict[str, Any]]:
        """Yield the output lines without failures that a later line replaces."""
        replaced = DigestTable()
        for found in self._decoded():
            if (line := read_object(found)) is not None and line.replaces_failure:
                replaced.set(line.identity, (replaced.get(line.identity) or 0) + 1)
        for found in self._decoded():
            line = read_object(found)
            if line is not None and line.is_failure and (left := replaced.get(line.identity)):
                replaced.set(line.identity, left - 1)
            else:
                yield found

    def _decoded(self) -> Iterator[dict[str, Any]]:
        with Path(self.path).open("rb") as file:
            for line in file:
                if line.strip() and is_object(found := decode_json(line)):
                    yield found


def _batches(lines: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    for line in lines:
        rows.append(_row(line))
        if len(rows) == _ROWS:
            yield rows
            rows = []
    yield rows


def _row(line: dict[str, Any]) -> dict[str, Any]:
    def part(name: str) -> dict[str, Any]:
        return line.get(name) or {}

    response, usage, verdict = part("response"), part("usage"), part("verdict")
    whole = response.get("body") if line.get("error") is None else line.get("partial")
    return {
        "id": line.get("id"),
        "custom_id": line.get("custom_id"),
        "text": text_of(whole),
        "error": None if line.get("error") is None else str(line["error"].get("message")),
        "status_code": response.get("status_code"),
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "verdict": verdict.get("state"),
        "finish_reason": verdict.get("reason"),
        "first_content": part("timings").get("first_content"),
        "line": encode_json(line).decode(),
    }


def _schema(arrow: Any) -> Any:
    text, whole, real = arrow.string(), arrow.int64(), arrow.float64()
    kinds = {"status_code": whole, "input_tokens": whole, "output_tokens": whole, "first_content": real}
    return arrow.schema([(name, kinds.get(name, text)) for name in _row({})])


def _pyarrow() -> Any:
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise BatchJobError(
            "a Parquet file needs pyarrow: pip install 'trio-openai[parquet]', or give a file that ends in .jsonl"
        ) from error
